"""The claims of twistcorn.master.lag: what is measured of a loop that is late, and for how long it is kept."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twistcorn.master.lag import INTERVAL_SECONDS, KEPT_MEASUREMENTS, Lag


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lag(clock: Clock) -> Lag:
    made = Lag(clock)
    made.start()
    return made


def test_nothing_was_measured(lag: Lag) -> None:
    """There is no lag yet."""
    assert (lag.last, lag.worst) == (0.0, 0.0)


def test_loop_is_in_time(clock: Clock, lag: Lag) -> None:
    """There is none."""
    clock.pump([INTERVAL_SECONDS] * 10)

    assert lag.last == lag.worst == pytest.approx(0)


@pytest.mark.parametrize("late", [0.04, INTERVAL_SECONDS, 0.25, 3 * INTERVAL_SECONDS, 60.0])
def test_loop_was_blocked_once(clock: Clock, lag: Lag, late: float) -> None:
    """That is the worst; the next measurement says that it is over."""
    clock.advance(INTERVAL_SECONDS + late)
    assert lag.last == pytest.approx(late)

    clock.pump([INTERVAL_SECONDS] * 3)
    assert [lag.last, lag.worst] == pytest.approx([0, late])


def test_loop_is_late_each_time(clock: Clock, lag: Lag) -> None:
    """Each time counts by itself: it does not add up."""
    clock.pump([INTERVAL_SECONDS + 0.03] * 20)

    assert [lag.last, lag.worst] == pytest.approx([0.03, 0.03])


def test_it_is_long_ago(clock: Clock, lag: Lag) -> None:
    """The worst is that of the last minute."""
    clock.advance(INTERVAL_SECONDS + 1)
    clock.pump([INTERVAL_SECONDS] * KEPT_MEASUREMENTS)

    assert lag.worst == pytest.approx(0)


def test_end(clock: Clock, lag: Lag) -> None:
    """Nothing is measured any more, and nothing is left on the clock; twice is once."""
    lag.stop()
    lag.stop()

    assert clock.getDelayedCalls() == []
