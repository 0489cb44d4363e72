"""The claims of twistcorn.worker.heartbeat: the worker beats, and each beat says how late it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import (
    W_CPU,
    W_FDS,
    W_HEARTBEAT,
    W_LAG,
    W_OS_THREADS,
    W_PSS,
    W_RSS,
    W_WORST_LAG,
    Scoreboard,
)
from twistcorn.worker.heartbeat import HEARTBEAT_SECONDS, Heartbeat


class Heart:
    """A worker's heart, on a clock that a test moves."""

    def __init__(self, timeout: float = 5.0) -> None:
        self.board = Scoreboard.create(1, 1)
        self.clock = Clock()
        base = self.board.worker_base(0)
        self.vitals = Heartbeat(self.clock, self.board, base, timeout, lambda: int(self.clock.seconds() * 1e9) + 1)
        self.vitals.start()

    def word(self, word: int) -> int:
        return int(self.board.words[self.board.worker_base(0) + word])

    def lags(self) -> tuple[float, float]:
        """The last one and the worst, in seconds."""
        return round(self.word(W_LAG) / 1e9, 3), round(self.word(W_WORST_LAG) / 1e9, 3)


@pytest.fixture
def heart() -> Iterator[Heart]:
    """One that has beaten once."""
    made = Heart()
    yield made
    made.board.close()


def test_it_beats(heart: Heart) -> None:
    """Each beat writes the time."""
    first = heart.word(W_HEARTBEAT)
    heart.clock.advance(HEARTBEAT_SECONDS)
    assert heart.word(W_HEARTBEAT) - first == HEARTBEAT_SECONDS * 1e9


@pytest.mark.parametrize(("timeout", "interval"), [(0.4, 0.1), (60.0, 1.0)])
def test_time_out_changes(heart: Heart, timeout: float, interval: float) -> None:
    """It beats at once, and then as often as the new one asks for."""
    heart.clock.advance(0.3)
    heart.vitals.configure(Settings(heartbeat_timeout=timeout))
    first = heart.word(W_HEARTBEAT)
    assert first == int(heart.clock.seconds() * 1e9) + 1

    heart.clock.advance(interval)
    assert heart.word(W_HEARTBEAT) - first == pytest.approx(interval * 1e9)


@pytest.mark.parametrize(("timeout", "interval"), [(0.0, 1.0), (2.0, 0.5), (60.0, 1.0)])
def test_it_beats_often_enough(timeout: float, interval: float) -> None:
    """Several times within the time after which it counts as dead, and at least once a second."""
    assert Heart(timeout).vitals.interval == interval


def test_what_the_process_uses(heart: Heart) -> None:
    """Memory, processor time, threads and descriptors are those of this process."""
    assert heart.word(W_RSS) > 1 << 20
    assert 1 << 20 < heart.word(W_PSS) <= heart.word(W_RSS) * 2
    assert heart.word(W_CPU) > 0
    assert heart.word(W_OS_THREADS) == len(os.listdir("/proc/self/task"))
    assert 0 < heart.word(W_FDS) <= len(os.listdir("/proc/self/fd"))


def test_expensive_figures_are_rare(heart: Heart) -> None:
    """PSS and descriptors are written every ten seconds."""
    heart.board.words[heart.board.worker_base(0) + W_PSS] = 0
    heart.clock.advance(9)
    assert heart.word(W_PSS) == 0
    heart.clock.advance(1)
    assert heart.word(W_PSS) > 0


class TestLag:
    def test_in_time(self, heart: Heart) -> None:
        """A loop that is not blocked is not late."""
        heart.clock.pump([HEARTBEAT_SECONDS] * 3)
        assert heart.lags() == (0, 0)

    def test_late(self, heart: Heart) -> None:
        """The last lag is that of this beat, the worst that of the last minute."""
        heart.clock.advance(HEARTBEAT_SECONDS + 0.25)
        assert heart.lags() == (0.25, 0.25)
        heart.clock.advance(0.75)
        assert heart.lags() == (0, 0.25)
        heart.clock.pump([HEARTBEAT_SECONDS] * 61)
        assert heart.lags() == (0, 0)

    def test_beats_were_missed(self, heart: Heart) -> None:
        """A loop that stood still for longer than a beat is late by all of that."""
        heart.clock.advance(4.5)
        assert heart.lags() == (3.5, 3.5)

    def test_it_is_always_late_by_the_same(self, heart: Heart) -> None:
        """Each beat counts from when it was due, not from the last one."""
        heart.clock.advance(1.25)
        heart.clock.advance(1.0)
        assert heart.lags()[0] == 0.25
