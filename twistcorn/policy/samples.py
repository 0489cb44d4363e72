"""The history of a server: a sample each second, for the charts of the admin page.

Law: pure. What is counted comes as totals, and a sample is the difference of two of them; time comes as a parameter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from .histogram import percentile

#: Seconds from one sample to the next, and how many are kept: 15 minutes.
SAMPLE_SECONDS = 1.0
KEPT_SAMPLES = 900


@dataclass(frozen=True)
class Counted:
    """What was counted since the server started.

    :ivar requests: answered; `errors`: of these with a status of 500 and above.
    :ivar latency: requests by bucket of their time in the application.
    """

    requests: int = 0
    errors: int = 0
    latency: Sequence[int] = ()


@dataclass(frozen=True)
class Gauges:
    """The present values.

    :ivar busy: app threads at work, of `threads`.
    :ivar queue: requests that wait for a thread or a worker.
    :ivar memory: bytes, of master and workers together.
    """

    busy: int = 0
    threads: int = 0
    queue: int = 0
    connections: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Sample:
    """One second.

    :ivar time: when it ended, in seconds since the epoch.
    :ivar rate: requests answered per second; `errors`: of these with a status of 500 and above.
    :ivar p50: the median of the time in the application, in seconds; None when nothing was answered.
    :ivar utilization: share of the app threads at work, from 0 to 1.
    """

    time: float
    rate: float
    errors: float
    p50: float | None
    p95: float | None
    p99: float | None
    utilization: float
    queue: int
    connections: int
    memory: int


def sample(earlier: Counted, later: Counted, seconds: float, time: float, gauges: Gauges) -> Sample:
    """The difference of two totals, taken `seconds` apart."""
    answered = max(0, later.requests - earlier.requests)
    before = earlier.latency or [0] * len(later.latency)
    latency = [max(0, now - then) for then, now in zip(before, later.latency, strict=True)]
    return Sample(
        time=round(time, 3),
        rate=round(answered / seconds, 2),
        errors=round(max(0, later.errors - earlier.errors) / seconds, 2),
        p50=_percentile(latency, 0.5),
        p95=_percentile(latency, 0.95),
        p99=_percentile(latency, 0.99),
        utilization=round(min(1.0, gauges.busy / gauges.threads), 4) if gauges.threads else 0.0,
        queue=gauges.queue,
        connections=gauges.connections,
        memory=gauges.memory,
    )


def _percentile(latency: Sequence[int], part: float) -> float | None:
    return round(percentile(latency, part), 6) if any(latency) else None


class Samples:
    """The samples of the last while, oldest first."""

    def __init__(self, kept: int = KEPT_SAMPLES) -> None:
        self._samples: deque[Sample] = deque(maxlen=kept)

    def add_sample(self, sample: Sample) -> None:
        """One more; the oldest goes when there are too many."""
        self._samples.append(sample)

    def columns(self) -> dict[str, list[Any]]:
        """All of them by field: a list of values for each, which is short as JSON."""
        rows = [astuple(each) for each in self._samples]
        return {field.name: [row[n] for row in rows] for n, field in enumerate(fields(Sample))}


class Shares:
    """The CPU share of each worker, from the times in its heartbeats."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}
        self._shares: dict[int, float | None] = {}

    def compare(self, seen: Mapping[int, tuple[int, int]]) -> dict[int, float | None]:
        """The share of each between its last two beats, 1 for one processor; None before there were two.

        :param seen: by worker, when its heart beat, and the processor time that it had had by then; both nanoseconds.
        """
        self._shares = {worker: self._share(worker, *now) for worker, now in seen.items()}
        self._seen = dict(seen)
        return self._shares

    def _share(self, worker: int, at: int, cpu: int) -> float | None:
        then, before = self._seen.get(worker, (0, 0))
        if at == then:
            return self._shares.get(worker)
        return round(max(0, cpu - before) / (at - then), 3) if 0 < then < at else None
