"""The claims of twistcorn.policy.health: when a worker counts as lost, and when its master was merely late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.health import MAX_INTERVALS, Pulse

EVERY = 0.25


def looks(*seen: tuple[float, int]) -> Pulse:
    """A pulse after some looks: when, and the beat that was there."""
    pulse = Pulse()
    for now, beat in seen:
        pulse = pulse.advance(beat, now, EVERY)
    return pulse


#: situation: the looks -> for how long the heart stood still
CASES = [
    ("nobody has looked", (), 0.0),
    ("one look", ((10.0, 5),), 0.0),
    ("it beats", ((10.0, 5), (10.25, 6), (10.5, 7)), 0.0),
    ("it has stopped", ((10.0, 5), (10.25, 5), (10.5, 5)), 0.5),
    ("it beats again", ((10.0, 5), (10.25, 5), (10.5, 6)), 0.0),
    ("it has no heart yet", ((10.0, 0), (20.0, 0), (30.0, 0)), 0.0),
    ("a look came a little late", ((10.0, 5), (10.4, 5)), 0.4),
    ("the master was stopped for a minute", ((10.0, 5), (70.0, 5)), MAX_INTERVALS * EVERY),
    ("the clock was set back", ((10.0, 5), (9.0, 5)), 0.0),
]


@pytest.mark.parametrize(("situation", "seen", "still"), CASES, ids=[case[0] for case in CASES])
def test_how_long_it_stood_still(situation: str, seen: tuple[tuple[float, int], ...], still: float) -> None:
    """Only time in which somebody looked counts."""
    assert looks(*seen).still == pytest.approx(still)


def test_time_is_over() -> None:
    """It is lost when it stood still for longer than allowed, not before."""
    assert not Pulse(5, 10.0, 5.0).is_lost(5.0)
    assert Pulse(5, 10.0, 5.1).is_lost(5.0)


def test_nobody_asks() -> None:
    """A time-out of 0 means that no worker is ever lost."""
    assert not Pulse(5, 10.0, 1e9).is_lost(0)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=50))
def test_master_is_late_at_any_time(gaps: list[float]) -> None:
    """A worker is never charged with more than its master's looks."""
    pulse, now = looks((1.0, 5)), 1.0
    for gap in gaps:
        now += gap
        pulse = pulse.advance(5, now, EVERY)

    assert pulse.still <= MAX_INTERVALS * EVERY * len(gaps) + 1e-9
