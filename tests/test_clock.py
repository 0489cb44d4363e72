"""A clock that stops while its process cannot run."""

from __future__ import annotations

import math

from twistcorn.clock import TOLERANCE_SECONDS, SteadyClock


class Steps:
    """Monotonic time in the test's hands."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def clock() -> tuple[SteadyClock, Steps]:
    steps = Steps()
    return SteadyClock(steps), steps


def test_goes_on_with_monotonic_time() -> None:
    """No reading is expected: every time is shown."""
    steady, steps = clock()
    steps.now += 1000
    assert steady.seconds() == 1100.0
    assert steady.take_gap() == 0.0


def test_late_look_is_no_gap() -> None:
    """A reading that is late by less than the tolerance counts in full."""
    steady, steps = clock()
    steady.wake_by(101.0)
    steps.now = 101.0 + TOLERANCE_SECONDS
    assert steady.seconds() == steps.now
    assert steady.take_gap() == 0.0


def test_gap_is_left_out() -> None:
    """Time in which the process could not run does not pass, and is reported once."""
    steady, steps = clock()
    steady.wake_by(101.0)
    steps.now = 161.0
    assert steady.seconds() == 101.0
    steps.now = 162.0
    assert steady.seconds() == 102.0
    assert steady.take_gap() == 60.0
    assert steady.take_gap() == 0.0


def test_gaps_add_up() -> None:
    """Two gaps before the report add up."""
    steady, steps = clock()
    for _ in range(2):
        steady.wake_by(steady.seconds() + 1.0)
        steps.now += 11.0
        steady.seconds()
    assert steady.take_gap() == 20.0
    assert steady.seconds() == 102.0


def test_no_expectation() -> None:
    """A wait without an end is no gap."""
    steady, steps = clock()
    steady.wake_by(101.0)
    steady.wake_by(math.inf)
    steps.now = 1e6
    assert steady.seconds() == 1e6
