"""Histograms of times: which bucket, and what the buckets say.

Law: pure; a histogram is a list of counts, which only grow. Bucket n counts what took less than 2**n * 64 us, the last
one all others: wide enough for a cached page and for a report that takes minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

#: As many as a worker's region of the scoreboard has room for.
BUCKETS = 24
#: The first bound, in nanoseconds.
FIRST_BOUND_NANOSECONDS = 64_000
#: Upper bounds in seconds, all but the last bucket's, which has none.
BOUNDS = tuple((FIRST_BOUND_NANOSECONDS << number) / 1e9 for number in range(BUCKETS - 1))


def bucket(nanoseconds: int) -> int:
    """The bucket of a time."""
    return min((nanoseconds // FIRST_BOUND_NANOSECONDS).bit_length(), BUCKETS - 1) if nanoseconds > 0 else 0


def percentile(counts: Sequence[int], fraction: float) -> float:
    """The time in seconds that this fraction of all stayed below, interpolated within its bucket; 0 without any.

    A time in the last bucket counts as its lower bound.
    """
    wanted = fraction * sum(counts)
    if wanted <= 0:
        return 0.0
    below = 0
    for number, count in enumerate(counts):
        if count and below + count >= wanted:
            low = BOUNDS[number - 1] if number else 0.0
            high = BOUNDS[number] if number < len(BOUNDS) else low
            return low + (high - low) * (wanted - below) / count
        below += count
    return BOUNDS[-1]


def add_buckets(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Both together."""
    return [one + other for one, other in zip(first, second, strict=True)]


def subtract(later: Sequence[int], earlier: Sequence[int]) -> list[int]:
    """The difference."""
    return [one - other for one, other in zip(later, earlier, strict=True)]
