"""Seconds that go on only while somebody can look at them.

Law: monotonic, and no process, timer or descriptor. A wall clock that is set back would stop every time-out, and one
that is set forward would end everything at once; a process that was stopped had no time to do what it was to do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Seconds by which a look may be late before that is a gap: no turn of a healthy loop takes as long.
TOLERANCE_SECONDS = 2.0


class SteadyClock:
    """A monotonic clock that leaves out gaps.

    :param now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left_out = 0.0
        self._by = math.inf
        self._untold = 0.0

    def seconds(self) -> float:
        """What it shows. It goes on from where it was expected to be when nobody has looked for too long."""
        now = self._now() - self._left_out
        if now > self._by + TOLERANCE_SECONDS:
            gap = now - self._by
            self._left_out += gap
            self._untold += gap
            return self._by
        return now

    def look_by(self, at: float) -> None:
        """Somebody looks again by then, unless the process does not run; infinity: nobody can say."""
        self._by = at

    def take_gap(self) -> float:
        """Seconds that were left out since this was asked last."""
        gap, self._untold = self._untold, 0.0
        return gap
