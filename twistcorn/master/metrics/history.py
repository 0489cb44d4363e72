"""A sample of the server each second.

Law: samples, and keeps a bounded number of samples; what they mean is `policy.samples`'s business.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ...policy.samples import SAMPLE_SECONDS, Counted, Gauges, Sample, Samples, sample
from ...recurring import Recurring

#: The period that `recent` covers: long enough for a steady p99, short enough to show what happens now.
RECENT_SECONDS = 10


class History:
    """The past of a server.

    :param counted: returns what has been counted so far; `gauges`: the present values.
    :param seconds: monotonic time, for the rates.
    :ivar latest: the latest sample as plain values; None before the first.
    """

    def __init__(
        self,
        counted: Callable[[], Counted],
        gauges: Callable[[], Gauges],
        now: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted = counted
        self._gauges = gauges
        self._now = now
        self._seconds = seconds
        self._samples = Samples()
        #: The counts of the last seconds, and when they were read.
        self._marks = deque([(seconds(), counted())], maxlen=RECENT_SECONDS)
        self._sampling: Recurring | None = None
        self.latest: dict[str, Any] | None = None

    def start(self, clock: Any) -> None:
        """Take a sample each second."""
        self._sampling = Recurring(clock, "sampling the load", self.take)
        self._sampling.start(SAMPLE_SECONDS, now=False)

    def stop(self) -> None:
        """Take no more samples."""
        if self._sampling is not None:
            self._sampling.stop()

    def take(self) -> dict[str, Any]:
        """Take a sample of the time since the last one, and return it as plain values."""
        at, counted = self._seconds(), self._counted()
        before, earlier = self._marks[-1]
        taken = sample(earlier, counted, max(at - before, 1e-3), self._now(), self._gauges())
        self._marks.append((at, counted))
        self._samples.add_sample(taken)
        self.latest = asdict(taken)
        return self.latest

    def recent(self) -> tuple[float, Sample]:
        """One sample of the last seconds up to now, and how many seconds it covers."""
        before, earlier = self._marks[0]
        # Just after the start there is no full second yet, and a rate over less would be noise.
        seconds = max(self._seconds() - before, SAMPLE_SECONDS)
        return seconds, sample(earlier, self._counted(), seconds, self._now(), self._gauges())

    def columns(self) -> dict[str, list[Any]]:
        """All samples, by field."""
        return self._samples.columns()
