"""How a reload proceeds: how many workers to spawn and to retire next. Pure.

Law: spawn first, retire second; never fewer ready workers than the target because of a reload. The first new worker
goes alone: until it is ready nothing else happens.
"""

from __future__ import annotations

from typing import NamedTuple

#: Once the first new worker is ready, this share of the target boots at a time: short reloads without a crowd of
#: imports competing with the serving workers for the processors.
SHARE = 4


class Step(NamedTuple):
    """What to do now: spawn so many of the new generation, retire so many of the old ones."""

    spawn: int
    retire: int


def step(target: int, old: int, new_ready: int, new_starting: int) -> Step:
    """The next step of a reload.

    :param target: workers wanted.
    :param old: workers of earlier generations that still count.
    :param new_ready: workers of the new generation that are ready.
    :param new_starting: workers of the new generation that boot or wait to be started again.

    Workers that died meanwhile are missing, and are replaced by new ones without waiting for their turn.
    """
    retire = max(0, min(old, old + new_ready - target))
    missing = target - old - new_ready
    at_once = max(1 if new_ready == 0 else target // SHARE, 1, missing)
    spawn = max(0, min(at_once, target - new_ready) - new_starting)
    return Step(spawn, retire)


def finished(old: int, new_ready: int, target: int) -> bool:
    """Whether the reload is over: nothing old is left and the new workers are ready."""
    return old == 0 and new_ready >= target
