"""How late the master's loop is: the measure of everything that blocks it.

Law: a timer that notes by how much it comes too late, and nothing else.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: Seconds between two measurements; a loop that was blocked for 40 ms is seen with 40 % probability each time.
EVERY = 0.1
#: Measurements that are kept: a minute.
KEPT = 600


class Lag:
    """Measures the lag of a loop.

    :ivar last: seconds by which the latest measurement came too late.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._expected = 0.0
        self._lags: deque[float] = deque(maxlen=KEPT)
        self._measuring = LoopingCall(self._measure)
        self._measuring.clock = clock

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
        self._expected = self._clock.seconds() + EVERY
        self._measuring.start(EVERY, now=False)

    def stop(self) -> None:
        """Measure no more."""
        if self._measuring.running:
            self._measuring.stop()

    def _measure(self) -> None:
        now = self._clock.seconds()
        self._lags.append(max(0.0, now - self._expected))
        # As LoopingCall: the next multiple of the interval that is still to come.
        missed = int(max(0.0, now - self._expected) / EVERY)
        self._expected += (missed + 1) * EVERY
