"""When a worker that died is started again, and when its dying is worth a warning.

Law: pure. Values go in and new values come out; the time is a parameter, the timer is the supervisor's, and
nothing here gives up: a pool that had a ready worker once is never taken down by its restarts.

Two questions, kept apart. A worker that was ready and died is respawned at once: its code boots, so waiting
only costs capacity. `Intensity` counts these deaths, for the log. A worker that died before it was ready says
that the next one is likely to die as well; `BackOff` counts these, and spaces the attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Seconds before the attempt that follows the first failed boot. About what a small app takes to import, so
#: that a boot failing at once keeps at most half a core busy. systemd waits 0.1 s, s6 1 s, Kubernetes 10 s.
FIRST_DELAY_SECONDS = 0.5

#: Each further failed boot doubles the wait, as in Kubernetes and in most reconnecting clients.
FACTOR = 2.0

#: The longest wait while other workers serve: a database that came back is used again within half a minute.
MAX_DELAY_SECONDS = 30.0

#: The longest wait while no worker is ready. No client is served then, and waiting longer protects nothing.
MAX_UNSERVED_DELAY_SECONDS = 1.0


@dataclass(frozen=True)
class BackOff:
    """The deaths before ready since a worker last got ready, and the wait that follows from them.

    One value for the whole pool: that any worker gets ready shows that the code on disk boots.

    :ivar failures: how many workers died before ready, with none getting ready in between.
    """

    failures: int = 0

    def died_before_ready(self) -> BackOff:
        """One failed boot more."""
        return BackOff(self.failures + 1)

    def got_ready(self) -> BackOff:
        """A worker is ready: what failed before no longer counts."""
        return BackOff()

    def delay(self, any_ready: bool) -> float:
        """The seconds to wait before the next spawn.

        :param any_ready: whether another worker serves meanwhile.
        """
        longest = MAX_DELAY_SECONDS if any_ready else MAX_UNSERVED_DELAY_SECONDS
        wait = 0.0 if self.failures == 0 else FIRST_DELAY_SECONDS
        for _ in range(self.failures - 1):
            wait *= FACTOR
            if wait >= longest:
                break
        return min(wait, longest)


@dataclass(frozen=True)
class Intensity:
    """How often something happened lately, after OTP's restart intensity.

    :ivar period: the seconds that count as lately.
    :ivar limit: how many times within the period are nothing to speak of.
    :ivar times: when it happened, newest first; never more than say whether the limit is passed.
    :ivar told: when the limit was last reported as passed.
    """

    period: float
    limit: int
    times: tuple[float, ...] = ()
    told: float | None = None

    def add_death(self, now: float) -> tuple[Intensity, bool]:
        """It happened now: the new record, and whether to say that the limit is passed.

        True comes once per period however often it happens, so that a crash loop fills no log.
        """
        kept = tuple(time for time in (now, *self.times) if now - time <= self.period)[: self.limit + 1]
        exceeded = len(kept) > self.limit and not self._logged_recently(now)
        told = now if exceeded else self.told
        return replace(self, times=kept, told=told), exceeded

    def _logged_recently(self, now: float) -> bool:
        """A report from the future, left by a clock that was set back, does not count."""
        return self.told is not None and 0 <= now - self.told <= self.period
