"""The claims of twistcorn.policy.balance: who gives how many connections back, as cases and for any numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.balance import MAX_GIVEN_BACK, TOLERANCE_DIVISOR, surplus

#: situation: connections of each worker -> how many each gives back
CASES = [
    ("no worker", [], []),
    ("one worker", [7], [0]),
    ("nobody has any", [0, 0], [0, 0]),
    ("a new worker has none", [10, 10, 0], [3, 3, 0]),
    ("what cannot be divided stays where most are", [4, 3, 3], [0, 0, 0]),
    ("only one of the old ones has more than its share", [9, 3, 0], [5, 0, 0]),
    ("a few more of very many are not worth it", [1020, 1000, 980], [0, 0, 0]),
    ("so many more are", [1060, 1000, 940], [60, 0, 0]),
    ("thousands go in portions", [5000, 0], [MAX_GIVEN_BACK, 0]),
]


@pytest.mark.parametrize(("situation", "connections", "given_back"), CASES, ids=[case[0] for case in CASES])
def test_surplus(situation: str, connections: list[int], given_back: list[int]) -> None:
    """Each gives back what is over its share, where that is worth it."""
    assert surplus(connections) == given_back


COUNTS = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


@given(COUNTS)
def test_any_numbers(connections: list[int]) -> None:
    """Nobody goes below the share because of it, and nobody gives more at once than the master can bear."""
    share = sum(connections) // len(connections)

    for count, given_back in zip(connections, surplus(connections), strict=True):
        assert 0 <= given_back <= MAX_GIVEN_BACK
        assert given_back == 0 or count - given_back >= share


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8))
def test_again_and_again(connections: list[int]) -> None:
    """When the least busy ones get what is given back, it comes to rest, and everybody is near the share."""
    counts = list(connections)
    for _ in range(sum(counts) + 1):
        over = surplus(counts)
        if not any(over):
            break
        counts = [count - given_back for count, given_back in zip(counts, over, strict=True)]
        for _ in range(sum(over)):
            counts[counts.index(min(counts))] += 1

    share = sum(counts) // len(counts)
    assert sum(counts) == sum(connections)
    assert not any(surplus(counts))
    assert max(counts) <= share + max(1, share // TOLERANCE_DIVISOR + 1)
