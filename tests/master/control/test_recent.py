"""The claims of twistcorn.master.control.recent: the latest events, bounded, for whoever asks."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from twistcorn.master.control.recent import MAX_EVENT_CHARS, MAX_EVENTS, Recent


class Book:
    """A log with `Recent` as its observer, and a follower whose calls are delivered at once."""

    def __init__(self) -> None:
        self.recent = Recent(lambda call, *arguments: call(*arguments))
        self.log = Logger(observer=LogPublisher(self.recent))
        self.heard: list[dict[str, Any]] = []

    @property
    def texts(self) -> list[str]:
        return [entry["text"] for entry in self.recent.last(MAX_EVENTS)]


def test_an_event() -> None:
    """It is kept with time, level and text."""
    book = Book()
    book.log.warn("worker {ident} is late", ident=7)
    (entry,) = book.recent.last(5)

    assert entry.pop("time") > 1.7e9
    assert entry == {"level": "warn", "text": "worker 7 is late"}


def test_debug() -> None:
    """What is below info is not kept."""
    book = Book()
    book.log.debug("a detail")
    book.log.info("a fact")
    assert book.texts == ["a fact"]


def test_a_failure() -> None:
    """It is kept with its traceback."""
    book = Book()
    try:
        raise LookupError("on purpose")
    except LookupError:
        book.log.failure("it broke", failure=Failure())

    (entry,) = book.recent.last(1)
    assert entry["level"] == "critical"
    assert entry["text"].startswith("it broke\nTraceback")
    assert "LookupError: on purpose" in entry["text"]


def test_it_is_bounded() -> None:
    """The oldest are forgotten, and a long text is cut."""
    book = Book()
    for number in range(MAX_EVENTS + 5):
        book.log.info("{number}", number=number)
    book.log.info("{text}", text="x" * (MAX_EVENT_CHARS + 1))

    assert len(book.texts) == MAX_EVENTS
    assert book.texts[0] == "6"
    assert len(book.texts[-1]) == MAX_EVENT_CHARS


def test_the_last_ones() -> None:
    """So many as are asked for, oldest first; none for none."""
    book = Book()
    for text in ("one", "two", "three"):
        book.log.info(text)

    assert [entry["text"] for entry in book.recent.last(2)] == ["two", "three"]
    assert book.recent.last(0) == book.recent.last(-1) == []


def test_a_follower() -> None:
    """It hears what comes while it follows."""
    book = Book()
    book.log.info("before")
    end = book.recent.follow(book.heard.append)
    book.log.info("meanwhile")
    end()
    book.log.info("after")

    assert [entry["text"] for entry in book.heard] == ["meanwhile"]
