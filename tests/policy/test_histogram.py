"""The claims of twistcorn.policy.histogram: the bounds of the buckets, and percentiles that keep to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.histogram import (
    BOUNDS,
    BUCKETS,
    FIRST_BOUND_NANOSECONDS,
    add_buckets,
    bucket,
    percentile,
    subtract,
)
from twistcorn.wire import scoreboard

COUNTS = st.lists(st.integers(0, 1 << 40), min_size=BUCKETS, max_size=BUCKETS)

#: a time in nanoseconds -> its bucket
CASES = [
    (-5, 0), (0, 0), (63_999, 0), (64_000, 1), (127_999, 1), (128_000, 2), (1_000_000, 4), (1_000_000_000, 14),
    ((64_000 << 22) - 1, 22), (64_000 << 22, 23), (1 << 62, 23),
]  # fmt: skip


@pytest.mark.parametrize(("nanoseconds", "number"), CASES)
def test_bucket(nanoseconds: int, number: int) -> None:
    """Bucket n holds what took less than 2**n * 64 us, and not less than half of that; the last one the rest."""
    assert bucket(nanoseconds) == number


def test_buckets_are_those_of_the_scoreboard() -> None:
    """Worker and master mean the same by a bucket."""
    assert (BUCKETS, FIRST_BOUND_NANOSECONDS) == (scoreboard.LATENCY_BUCKETS, scoreboard.LATENCY_STEP)


class TestPercentile:
    def test_nothing(self) -> None:
        """Without a request there is no time."""
        assert percentile([0] * BUCKETS, 0.99) == 0

    def test_is_interpolated(self) -> None:
        """Where all are in one bucket the median is in its middle."""
        counts = [0, 0, 10] + [0] * (BUCKETS - 3)
        assert percentile(counts, 0.5) == pytest.approx((BOUNDS[1] + BOUNDS[2]) / 2)
        assert percentile(counts, 1.0) == pytest.approx(BOUNDS[2])

    def test_last_bucket(self) -> None:
        """What took longer than every bound is told as the largest one."""
        assert percentile([0] * (BUCKETS - 1) + [3], 0.5) == BOUNDS[-1]

    @given(st.lists(st.integers(0, 1 << 38), min_size=1, max_size=200), st.floats(0.01, 1.0))
    def test_is_in_the_bucket_of_the_true_one(self, times: list[int], fraction: float) -> None:
        """The answer is never further off than the width of a bucket."""
        counts = [0] * BUCKETS
        for time in times:
            counts[bucket(time)] += 1
        true = sorted(times)[min(len(times) - 1, max(0, -int(-fraction * len(times) // 1) - 1))]
        low = BOUNDS[bucket(true) - 1] if bucket(true) else 0.0
        high = BOUNDS[min(bucket(true), BUCKETS - 2)]
        assert low * 0.999 <= percentile(counts, fraction) <= high * 1.001


@given(COUNTS, COUNTS)
def test_what_came_in_between(one: list[int], other: list[int]) -> None:
    """Adding and subtracting undo each other."""
    assert subtract(add_buckets(one, other), one) == other
