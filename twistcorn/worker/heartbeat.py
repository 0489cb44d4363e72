"""A worker's heartbeat: that its loop runs, how late it is, and what the process uses.

Law: writes the worker's region of the scoreboard, on the thread that leads the loop; decides nothing.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from ..pristine import time
from ..recurring import Recurring
from ..settings import Settings
from ..wire import vitals
from ..wire.scoreboard import (
    W_CPU,
    W_EXPORTS,
    W_FDS,
    W_HEARTBEAT,
    W_LAG,
    W_OS_THREADS,
    W_PSS,
    W_RSS,
    W_WORST_LAG,
    Scoreboard,
)
from .process import failing

#: Seconds between two heartbeats, at most.
HEARTBEAT_SECONDS = 1.0
#: At least this many heartbeats per heartbeat time-out.
MIN_BEATS_PER_TIMEOUT = 4
#: Nanoseconds between two expensive measurements: PSS costs milliseconds for a large process.
MEMORY_INTERVAL_NANOSECONDS = 10_000_000_000
#: Nanoseconds over which the worst lag is taken.
LAG_PERIOD_NANOSECONDS = 60_000_000_000


class Heartbeat:
    """The heartbeat of a worker.

    :param region: the first word of this worker on the scoreboard.
    :param timeout: seconds without a heartbeat after which a worker counts as dead; 0: never.
    :param now: monotonic nanoseconds.
    :param prove: called before each heartbeat; ends a worker that is deaf.
    """

    def __init__(
        self,
        clock: Any,
        board: Scoreboard,
        region: int,
        timeout: float,
        now: Callable[[], int] = time.monotonic_ns,
        prove: Callable[[], object] = lambda: None,
    ) -> None:
        self._words = board.words
        self._region = region
        self._now = now
        self.interval = _pace(timeout)
        self._heart = Recurring(clock, "the heartbeat", self._beat, failing.fail)
        self._prove = prove
        self._began = self._last = self._rare = 0
        self._lags: deque[tuple[int, int]] = deque()
        #: Called at each beat.
        self.on_beat: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start beating."""
        self._began = self._last = self._now()
        self._rare = self._began - MEMORY_INTERVAL_NANOSECONDS
        self._heart.start(self.interval)

    def end(self) -> None:
        """Stop beating at an orderly end: the application's exit code must not look like a frozen worker."""
        self._heart.stop()
        self._words[self._region + W_HEARTBEAT] = 0

    def configure(self, settings: Settings) -> None:
        """Apply the settings: beat at the pace that the master expects."""
        self.interval = _pace(settings.heartbeat_timeout)
        if self._heart.running:
            self._heart.stop()
            self.start()

    def _beat(self) -> None:
        self._prove()
        now, words, region = self._now(), self._words, self._region
        words[region + W_HEARTBEAT] = now
        words[region + W_LAG], words[region + W_WORST_LAG] = self._lag(now)
        seen = vitals.read_vitals()
        words[region + W_RSS] = seen.rss
        words[region + W_CPU] = seen.cpu
        words[region + W_OS_THREADS] = seen.threads
        self.on_beat()
        words[region + W_EXPORTS] = "prometheus_client" in sys.modules
        if now - self._rare >= MEMORY_INTERVAL_NANOSECONDS:
            self._rare = now
            words[region + W_PSS] = vitals.pss()
            words[region + W_FDS] = vitals.descriptors()

    def _lag(self, now: int) -> tuple[int, int]:
        """The lag of this beat, and the worst one of the last minute; nanoseconds."""
        interval = int(self.interval * 1e9)
        # Beats are due at multiples of the interval; missed beats show in the time since the last one.
        lag = max((now - self._began) % interval if now > self._last else 0, now - self._last - interval)
        self._last = now
        while self._lags and self._lags[0][0] < now - LAG_PERIOD_NANOSECONDS:
            self._lags.popleft()
        self._lags.append((now, lag))
        return lag, max(each for _, each in self._lags)


def _pace(timeout: float) -> float:
    return min(HEARTBEAT_SECONDS, timeout / MIN_BEATS_PER_TIMEOUT or HEARTBEAT_SECONDS)
