"""The claims of twistcorn.worker.process.stacks: what is shown of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.integration.harness import wait_until
from twistcorn.worker.process.stacks import format_places, format_stacks

PATIENCE = 10.0


class Waiting:
    """A thread that waits in a function with a given name."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, name="app-17")
        self.thread.start()
        assert self.inside.wait(PATIENCE)

    def run(self) -> None:
        self.wait_for_a_lost_database()

    def wait_for_a_lost_database(self) -> None:
        self.inside.set()
        assert self.go.wait(PATIENCE)

    def end(self) -> None:
        self.go.set()
        self.thread.join(PATIENCE)


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    yield made
    made.end()


def places() -> dict[str, str]:
    """The stack of each place by its first line."""
    found = {}
    for paragraph in ("\n" + format_places()).split("\nthread")[1:]:
        title, _, stack = paragraph.partition(":\n")
        found["thread" + title] = stack
    return found


def paragraphs() -> dict[str, str]:
    """The stack of each thread by its first line."""
    found = {}
    for paragraph in ("\n" + format_stacks()).split("\nthread ")[1:]:
        title, _, stack = paragraph.partition(":\n")
        found[title] = stack
    return found


def test_thread_waits(waiting: Waiting) -> None:
    """Its name, its native id, and where it is, the innermost call last."""
    stack = paragraphs()[f"app-17 ({waiting.thread.native_id})"]

    assert "test_stacks.py" in stack
    assert stack.index("in run\n") < stack.index("in wait_for_a_lost_database\n") < stack.index("in wait\n")


def test_thread_that_asks(waiting: Waiting) -> None:
    """It is included, with its own call."""
    stack = paragraphs()[f"{threading.current_thread().name} ({threading.get_native_id()})"]

    assert "in format_stacks\n" in stack


def test_thread_has_ended(waiting: Waiting) -> None:
    """It is not there."""
    waiting.end()

    assert not any(title.startswith("app-17 ") for title in paragraphs())


def test_threads_at_the_same_place(waiting: Waiting) -> None:
    """They share a paragraph, before the threads that are alone."""
    other = Waiting()
    names = f"threads {', '.join(f'app-17 ({each.thread.native_id})' for each in (waiting, other))}"
    # Each has said that it is about to wait; no event says that it does.
    wait_until(lambda: names in places(), "both wait at the same place")
    found = places()
    other.end()

    assert "in wait_for_a_lost_database\n" in found[names]
    alone = f"thread MainThread ({threading.get_native_id()})"
    assert list(found).index(names) < list(found).index(alone)
