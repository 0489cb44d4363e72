"""A sample of the server each second.

Law: looks and remembers a bounded while; what the numbers mean is `policy.samples`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ...policy.samples import Counted, Gauges, Sample, Samples, sample


class History:
    """The past of a server.

    :param counted: what was counted until now; `gauges`: what is so now.
    :param seconds: monotonic time, by which rates are measured.
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
        self._at = seconds()
        self._last = counted()

    def take(self) -> dict[str, Any]:
        """Take a sample of the time since the last one, and return it as plain values."""
        at, counted = self._seconds(), self._counted()
        taken: Sample = sample(self._last, counted, max(at - self._at, 1e-3), self._now(), self._gauges())
        self._at, self._last = at, counted
        self._samples.add(taken)
        return asdict(taken)

    def columns(self) -> dict[str, list[Any]]:
        """All that is remembered, by what was measured."""
        return self._samples.columns()
