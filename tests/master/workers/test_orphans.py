"""What dead workers have left: whom it ends, in which order, and when it says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from twistcorn.master.workers.orphans import AFTER_KILL_SECONDS, EXEC_SECONDS, TERM_SECONDS, Orphans

IMAGE = b"image of 7"
WORKER: Any = SimpleNamespace(ident=1, pid=7)


class Left:
    """Orphans of a worker, in memory."""

    def __init__(self) -> None:
        self.alive: set[int] = set()
        self.sent: list[tuple[int, int]] = []
        self.clock = Clock()
        self.said: list[str] = []
        self.orphans = Orphans(self.clock, self._copies_of, lambda pid: b"image of %d" % pid, self._kill)

    def _copies_of(self, image: bytes) -> list[int]:
        return sorted(self.alive) if image == IMAGE else []

    def _kill(self, pid: int, number: int) -> None:
        self.sent.append((pid, number))
        if pid not in self.alive:
            raise ProcessLookupError

    def ends(self, *pids: int) -> None:
        self.alive -= set(pids)
        self.orphans.search()

    def begin(self, *pids: int) -> None:
        self.alive |= set(pids)
        self.orphans.know(WORKER)
        self.orphans.left(WORKER)

    def waits(self) -> bool:
        """Whether the end of the server has to wait."""
        return not self.orphans.when_ended().called


@pytest.fixture
def left() -> Iterator[Left]:
    left = Left()

    def hear(event: LogEvent) -> None:
        if event.get("log_namespace", "").endswith("Orphans"):
            assert event["log_level"] in (LogLevel.info, LogLevel.warn)
            left.said.append(event["log_format"].format(**event))

    observer: Any = hear
    globalLogPublisher.addObserver(observer)
    yield left
    globalLogPublisher.removeObserver(observer)


def test_nothing_is_left(left: Left) -> None:
    """No timer, no word, nothing to wait for."""
    left.begin()
    assert not left.waits()
    assert left.clock.getDelayedCalls() == []
    assert left.said == []


def test_of_a_worker_that_never_ran(left: Left) -> None:
    """One whose process died before it could say anything had nothing of the application."""
    left.alive = {8}
    left.orphans.left(WORKER)
    assert not left.waits()


def test_what_becomes_a_program_is_let_go(left: Left) -> None:
    """It was between fork and exec when its worker died."""
    left.begin(8)
    left.alive.clear()
    left.clock.advance(EXEC_SECONDS)
    assert (left.sent, left.said, left.waits()) == ([], [], False)


def test_term_is_enough(left: Left) -> None:
    """Each gets it once, one line says so when all have ended, and nothing follows."""
    left.begin(8, 9)
    left.clock.advance(EXEC_SECONDS)
    left.ends(8)
    assert left.waits()
    left.ends(9)
    assert left.sent == [(8, signal.SIGTERM), (9, signal.SIGTERM)]
    assert left.said == ["worker 1 (pid 7): terminated 2 processes forked by its application (8, 9)"]
    assert not left.waits()
    assert left.clock.getDelayedCalls() == []


def test_one_that_does_not_hear(left: Left) -> None:
    """KILL, a moment later, to those that are left."""
    left.begin(8, 9)
    left.clock.advance(EXEC_SECONDS)
    left.ends(8)
    left.clock.advance(TERM_SECONDS)
    left.ends(9)
    assert left.sent[2:] == [(9, signal.SIGKILL)]
    (line,) = left.said
    assert line.endswith("application (8, 9; by SIGKILL: 9)")


def test_what_comes_later(left: Left) -> None:
    """A child of an orphan is one when that has ended."""
    left.begin(8)
    left.clock.advance(EXEC_SECONDS)
    left.alive.add(9)
    left.ends(8)
    assert left.sent[-1] == (9, signal.SIGTERM)
    left.ends(9)
    assert not left.waits()


def test_one_that_is_gone_already(left: Left) -> None:
    """A signal that finds nobody does no harm."""
    left.begin(8)
    left.clock.advance(EXEC_SECONDS / 2)
    left.orphans._copies_of = lambda image: [8] if left.alive else []
    left.clock.advance(EXEC_SECONDS / 2)
    left.ends(8)
    assert not left.waits()


def test_one_that_nothing_ends(left: Left) -> None:
    """What the kernel holds is told, and waited for no longer."""
    left.begin(8)
    left.clock.advance(EXEC_SECONDS)
    left.clock.advance(TERM_SECONDS)
    left.clock.advance(AFTER_KILL_SECONDS)
    (line,) = left.said
    assert line.endswith("survive SIGKILL: 8")
    assert not left.waits()
    assert left.clock.getDelayedCalls() == []


def test_two_workers(left: Left) -> None:
    """The orphans of one do not wait for those of another."""
    left.begin(8)
    other: Any = SimpleNamespace(ident=2, pid=77)
    left.orphans.know(other)
    left.orphans.left(other)
    left.clock.advance(EXEC_SECONDS)
    left.ends(8)
    assert left.said == ["worker 1 (pid 7): terminated 1 process forked by its application (8)"]


def test_images_are_forgotten(left: Left) -> None:
    """A worker is known until it is dead, and no longer."""
    for ident in range(3):
        worker: Any = SimpleNamespace(ident=ident, pid=os.getpid())
        left.orphans.know(worker)
        left.orphans.left(worker)
    assert left.orphans._images == {}
