"""Whether a worker in which a request was interrupted still makes progress. Pure.

Law: values in, values out. The interruption may have left a lock of the application held: then all threads end up
waiting for it, while the heartbeat goes on.
"""

from __future__ import annotations

from typing import NamedTuple

#: Seconds in which a worker with all of its threads in calls answers nothing, after which it is not waited for: longer
#: than nearly all requests, and much less than the time-out that each of them would have to reach.
STALLED_SECONDS = 10.0


class Progress(NamedTuple):
    """What is known of a worker's progress.

    :ivar answered: requests that it had answered at the last look.
    :ivar since: from when on that has not changed while all threads were in calls; negative: it has, or they were not.
    """

    answered: int = -1
    since: float = -1.0

    def advance(self, answered: int, busy: int, threads: int, now: float) -> Progress:
        """The state after another look."""
        if answered != self.answered or busy < threads:
            return Progress(answered)
        return self if self.since >= 0 else Progress(answered, now)

    def has_stalled(self, now: float) -> bool:
        """Whether it has made no progress for too long."""
        return self.since >= 0 and now - self.since >= STALLED_SECONDS
