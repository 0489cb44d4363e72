"""Methods and paths that killed workers, and are kept from the application for a while.

Law: the master says which and for how long; here they are only looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...pristine import time
from ...wire.scoreboard import HEAD_ROOM


class QuarantinedRequests:
    """Who is kept out.

    :ivar until: for each method and path, when that is over, in the seconds of `now`.

    :param now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.until: dict[str, float] = {}

    def set(self, times: Mapping[str, float]) -> None:
        """Keep these out for so many seconds, and nobody else."""
        now = self._now()
        self.until = {name: now + time for name, time in times.items()}

    def left(self, name: str) -> int:
        """Whole seconds for which this method and path is kept out, at least 1 while it is; 0 when it is not."""
        # The master knows names from the scoreboard, which has no room for long ones.
        times, name = self.until, name[:HEAD_ROOM]
        until = times.get(name)
        if until is None:
            return 0
        left = until - self._now()
        if left <= 0:
            # Several threads may come here at once.
            times.pop(name, None)
            return 0
        return int(left) + 1
