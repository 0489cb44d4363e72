"""The claims of twistcorn.policy.hearing: deaf is who had time and heartbeats, and acknowledged nothing."""

from __future__ import annotations

import pytest

from twistcorn.policy.hearing import UNHEARD

#: (situation, looks as (seconds, on the way, acknowledged, beat), whether it is deaf at the last)
LIVES = [
    ("nothing is on its way", [(1.0, 0, 0, 1), (9.0, 0, 0, 9)], False),
    ("it had too little time", [(1.0, 1, 0, 1), (1.5, 1, 0, 2), (2.9, 1, 0, 3)], False),
    ("its heart stands still", [(1.0, 1, 0, 1), (2.0, 1, 0, 1), (9.0, 1, 0, 1)], False),
    ("one heartbeat is not enough", [(1.0, 1, 0, 1), (2.0, 1, 0, 2), (9.0, 1, 0, 2)], False),
    ("it acknowledges some all the time", [(1.0, 5, 0, 1), (2.0, 5, 1, 2), (3.0, 5, 2, 3), (4.0, 5, 3, 4)], False),
    ("it acknowledged all, then got more", [(1.0, 1, 0, 1), (2.0, 0, 1, 2), (3.1, 1, 1, 3), (4.0, 1, 1, 4)], False),
    ("it acknowledges nothing", [(1.0, 1, 0, 1), (2.0, 1, 0, 2), (3.0, 1, 0, 3)], True),
    ("it stopped to", [(1.0, 5, 0, 1), (2.0, 5, 3, 2), (3.0, 5, 3, 3), (4.0, 5, 3, 4)], True),
]


@pytest.mark.parametrize(("situation", "looks", "deaf"), LIVES, ids=[each[0] for each in LIVES])
def test_worker(situation: str, looks: list[tuple[float, int, int, int]], deaf: bool) -> None:
    """What follows from one look after the other."""
    hearing = UNHEARD
    for now, unacknowledged, acknowledged, beat in looks:
        hearing = hearing.advance(unacknowledged, acknowledged, beat, now)
    assert hearing.is_deaf(looks[-1][0]) is deaf
