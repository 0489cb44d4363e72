"""The claims of twistcorn.policy.recycling: when a worker is due, and what the log says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.recycling import RecyclingLimits, due

MIB = 1 << 20

#: situation: limits; requests, memory, age, chance -> why it is due
CASES = [
    ("there is no limit", RecyclingLimits(), (10**9, 10**12, 1e9, 0.5), ""),
    ("a request is left", RecyclingLimits(requests=100), (99, 0, 0.0, 0.5), ""),
    ("the last request was answered", RecyclingLimits(requests=100),
     (100, 0, 0.0, 0.5), "100 requests answered"),
    ("requests came faster than looks", RecyclingLimits(requests=100),
     (250, 0, 0.0, 0.5), "250 requests answered"),
    ("its jitter gives it some more", RecyclingLimits(requests=100, jitter=50), (124, 0, 0.0, 0.5), ""),
    ("and those are answered", RecyclingLimits(requests=100, jitter=50),
     (125, 0, 0.0, 0.5), "125 requests answered"),
    ("jitter of no limit", RecyclingLimits(jitter=50), (1000, 0, 0.0, 0.0), ""),
    ("its memory is just allowed", RecyclingLimits(rss=64 * MIB), (0, 64 * MIB, 0.0, 0.5), ""),
    ("its memory is more", RecyclingLimits(rss=64 * MIB), (0, 65 * MIB, 0.0, 0.5), "65 MiB resident"),
    ("its memory is not known", RecyclingLimits(rss=64 * MIB), (0, 0, 0.0, 0.5), ""),
    ("it is young", RecyclingLimits(age=3600.0), (0, 0, 3599.0, 0.5), ""),
    ("it is old", RecyclingLimits(age=3600.0), (0, 0, 3600.0, 0.5), "3600 s old"),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "limits", "facts", "reason"), CASES, ids=[case[0] for case in CASES])
def test_due(situation: str, limits: RecyclingLimits, facts: tuple[int, int, float, float], reason: str) -> None:
    """A worker is due at the first limit that it reaches."""
    assert due(limits, *facts) == reason


@given(st.integers(1, 1000), st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_any_chance(requests: int, jitter: int, chance: float) -> None:
    """Nobody is due before the limit, everybody by the end of the jitter."""
    limits = RecyclingLimits(requests=requests, jitter=jitter)

    assert due(limits, requests - 1, 0, 0.0, chance) == ""
    assert due(limits, requests + jitter, 0, 0.0, chance) != ""
