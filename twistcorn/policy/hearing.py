"""Whether a worker with a heartbeat reads its channel: it must acknowledge what it is lent. Pure.

The heartbeat runs on the loop that reads the channel, so a worker with a heartbeat has had its chance to read. One
without is `freeze`'s.
"""

from __future__ import annotations

from typing import NamedTuple

#: Seconds for which lends may stay unacknowledged, and heartbeats that must have come meanwhile.
DEAF_SECONDS, MIN_BEATS = 2.0, 2
#: Seconds from an error of its channel until a worker that lives on is ended: one that is dying is gone by then.
GRACE_SECONDS = 1.0


class Hearing(NamedTuple):
    """What is known of a worker's hearing.

    :ivar since: since when nothing of what it was lent is acknowledged, in seconds; 0: nothing is on its way.
    :ivar acknowledged: how much it had acknowledged then.
    :ivar beat: the last heartbeat that was seen; `beats`: how many since.
    """

    since: float = 0.0
    acknowledged: int = 0
    beat: int = 0
    beats: int = 0

    def advance(self, unacknowledged: int, acknowledged: int, beat: int, now: float) -> Hearing:
        """Look again.

        :param unacknowledged: lends on their way to it; `acknowledged`: how many it has acknowledged so far.
        :param beat: what the worker wrote last.
        """
        if not unacknowledged:
            return Hearing(0.0, acknowledged, beat, 0)
        if not self.since or acknowledged != self.acknowledged:
            return Hearing(now, acknowledged, beat, 0)
        return Hearing(self.since, acknowledged, beat, self.beats + (beat != self.beat))

    def is_deaf(self, now: float) -> bool:
        """Whether it had time and heartbeats enough, and has acknowledged nothing."""
        return self.since > 0 and now - self.since >= DEAF_SECONDS and self.beats >= MIN_BEATS


#: Of a worker before the first check.
UNHEARD = Hearing()


def why_deaf(hearing: Hearing, channel_failed: float, now: float) -> str:
    """Why a worker that serves is to be ended; empty when it hears.

    :param channel_failed: since when its channel is broken, in seconds; 0: it is not.
    """
    if channel_failed and now - channel_failed > GRACE_SECONDS:
        return "alive, but its channel is broken"
    if hearing.is_deaf(now):
        return f"alive, but it acknowledged no connection for {now - hearing.since:.1f} s"
    return ""
