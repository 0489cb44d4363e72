"""How workers are replaced: how many to spawn and to retire next. Pure.

Law: spawn first, retire second; never fewer ready workers than the target because of it. The first new worker
goes alone: until it is ready nothing else happens. STOP_FIRST is the exception that an operator can choose, for an
application that can run only once at a time, because it locks a file, say.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Once the first new worker is ready, this share of the target boots at a time: short reloads without a crowd of
#: imports competing with the serving workers for the processors.
BATCH_DIVISOR = 4


class Step(NamedTuple):
    """The next step: how many new workers to spawn, and how many old ones to retire."""

    spawn: int
    retire: int


#: After the first new worker: a share of the target at a time; one at a time; all at once, next to the old ones. Or new
#: ones after the old ones have ended.
ROLLING, SINGLE, TOGETHER, STOP_FIRST = "rolling", "single", "together", "stop-first"

#: What an application says that found something taken which the workers before it hold (flock(2), bind(2)).
_TAKEN = re.compile(r"lock|in use|temporarily unavailable|BlockingIOError", re.IGNORECASE)


def step(
    target: int, old: int, new_ready: int, new_starting: int, strategy: str = ROLLING, leaving: int = 0
) -> Step:
    """The next step of a reload, or of the replacement of workers that have served their time.

    :param target: the number of workers to keep.
    :param old: workers to be replaced that still count.
    :param new_ready: workers that take their place, or need no replacement, and are ready.
    :param new_starting: those of them that boot or wait to be started again.
    :param strategy: ROLLING, SINGLE, TOGETHER or STOP_FIRST.
    :param leaving: workers that count no longer and are not gone yet.

    Workers that died meanwhile are missing, and are replaced by new ones without waiting for their turn.
    """
    if strategy == STOP_FIRST:
        return Step(0 if old or leaving else max(0, target - new_ready - new_starting), old)
    missing = target - old - new_ready
    if strategy == TOGETHER and new_ready < target:
        retire = max(0, old - target)
    else:
        retire = max(0, min(old, old + new_ready - target))
    at_once = 1
    if new_ready and strategy != SINGLE:
        at_once = target if strategy == TOGETHER else target // BATCH_DIVISOR
    spawn = max(0, min(max(1, at_once, missing), target - new_ready) - new_starting)
    return Step(spawn, retire)


def afterwards(reason: str, strategy: str) -> str:
    """The state after a reload whose first new worker failed to boot, and what to do, for the log."""
    if strategy == STOP_FIRST:
        return "the old workers are gone; new ones boot with the previous settings"
    if not _TAKEN.search(reason):
        return "the old workers keep serving"
    return (
        "the old workers keep serving. If the application needs an exclusive lock, --reload-strategy stop-first"
        " stops the old workers first"
    )


def finished(old: int, new_ready: int, target: int) -> bool:
    """Whether the reload is over: nothing old is left and the new workers are ready."""
    return old == 0 and new_ready >= target
