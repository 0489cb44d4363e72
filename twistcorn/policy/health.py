"""Whether a worker is alive: a judgement on its heartbeat. Pure.

Law: only time without a heartbeat that the master observed counts. A master that was itself stopped, or late, holds no
worker responsible for the time in which it did not check.
"""

from __future__ import annotations

from typing import NamedTuple

#: The time between two checks counts up to this many intervals.
MAX_INTERVALS = 2


class Pulse(NamedTuple):
    """What is known of a heartbeat.

    :ivar beat: the last one that was seen.
    :ivar looked: when that was, in seconds; 0: never.
    :ivar still: for how many seconds of looking it has been the last.
    """

    beat: int = 0
    looked: float = 0.0
    still: float = 0.0

    def advance(self, beat: int, now: float, every: float) -> Pulse:
        """Look again.

        :param beat: what the worker wrote last; 0 before it has a heart.
        :param every: seconds from one look to the next, as they should be.
        """
        if beat != self.beat or beat == 0 or self.looked == 0:
            return Pulse(beat, now, 0.0)
        return Pulse(beat, now, self.still + min(max(now - self.looked, 0.0), MAX_INTERVALS * every))

    def is_lost(self, timeout: float) -> bool:
        """Whether it stood still for longer than `timeout` seconds; 0: that is never asked."""
        return 0 < timeout < self.still
