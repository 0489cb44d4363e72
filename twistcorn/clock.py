"""A clock that runs only while this process can run.

Law: monotonic; uses no process, timer or descriptor. A wall clock set back would stop every time-out, and one set
forward would fire all of them at once; a process that was stopped had no time to meet its deadlines.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Seconds by which a reading may be late before it counts as a gap: no round of a healthy loop takes as long.
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
        """The time. After a gap it continues from the time of the expected reading."""
        now = self._now() - self._left_out
        if now > self._by + TOLERANCE_SECONDS:
            gap = now - self._by
            self._left_out += gap
            self._untold += gap
            return self._by
        return now

    def wake_by(self, at: float) -> None:
        """Expect the next reading by then, unless the process does not run; infinity: no expectation."""
        self._by = at

    def take_gap(self) -> float:
        """Seconds left out since the last call."""
        gap, self._untold = self._untold, 0.0
        return gap
