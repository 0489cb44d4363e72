"""How late the master's loop is: the measure of everything that blocks it.

Law: a timer that notes by how much it comes too late, and nothing else.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds between two measurements; a loop that was blocked for 40 ms is seen with 40 % probability each time.
INTERVAL_SECONDS = 0.1
#: Measurements that are kept: a minute.
KEPT_MEASUREMENTS = 600


class Lag:
    """Measures the lag of a loop.

    :ivar last: seconds by which the latest measurement came too late.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._expected = 0.0
        self._lags: deque[float] = deque(maxlen=KEPT_MEASUREMENTS)
        self._next: IDelayedCall | None = None

    @property
    def last(self) -> float:
        """See above; 0 before anything was measured."""
        return self._lags[-1] if self._lags else 0.0

    @property
    def worst(self) -> float:
        """The largest lag of the last minute, in seconds."""
        return max(self._lags, default=0.0)

    def start(self) -> None:
        """Begin to measure."""
        self._expected = self._clock.seconds() + INTERVAL_SECONDS
        self._next = self._clock.callLater(INTERVAL_SECONDS, self._measure)

    def stop(self) -> None:
        """Measure no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _measure(self) -> None:
        self._lags.append(max(0.0, self._clock.seconds() - self._expected))
        # Counted from here, not in multiples: no time is lost, or measured twice, by a loop that is very late.
        self.start()
