"""Quarantined requests: methods and paths that killed workers, and do not reach the application for a while.

Law: lookup only; the master decides which and for how long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...pristine import time
from ...wire.scoreboard import HEAD_ROOM


class QuarantinedRequests:
    """The quarantined methods and paths.

    :param now: monotonic seconds.
    :ivar until: for each method and path, the time at which its quarantine ends.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.until: dict[str, float] = {}

    def set(self, times: Mapping[str, float]) -> None:
        """Replace the quarantine: names, and for how many seconds each."""
        now = self._now()
        self.until = {name: now + time for name, time in times.items()}

    def left(self, name: str) -> int:
        """Seconds for which this method and path stays quarantined, rounded up; 0 when it is not."""
        # The master reads names from the scoreboard, which cuts long ones.
        times, name = self.until, name[:HEAD_ROOM]
        until = times.get(name)
        if until is None:
            return 0
        left = until - self._now()
        if left <= 0:
            # Several threads may do this at once.
            times.pop(name, None)
            return 0
        return int(left) + 1
