"""What the clients count while one phase of a run lasts, and the record of it.

Law: pure; one event, one counter.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


class Failure(str, enum.Enum):
    """How a request can fail; a bad status is named by itself."""

    REFUSED = "refused"
    NO_ANSWER = "no answer"
    BROKEN = "broken answer"
    WRONG = "wrong answer"
    LATE = "too late"


@dataclass(frozen=True)
class Latency:
    """Seconds from when a request was due to its right answer."""

    median: float
    p99: float
    p999: float
    worst: float


@dataclass(frozen=True)
class Phase:
    """What the clients saw between two marks.

    :ivar answered: requests with the right answer; the latencies are theirs.
    :ivar failures: how many failed in which way.
    :ivar cut: connections closed unannounced while a request was outstanding; each such request failed, too.
    :ivar cut_idle: connections closed unannounced while none was.
    :ivar planned: connections closed as the server had said in its last answer.
    :ivar stalled: the longest time, in seconds, that the clients themselves stood still: it is nobody's latency.
    :ivar by_worker: answers of each process.
    :ivar by_version: answers of each deployed version.
    """

    name: str
    seconds: float
    answered: int
    failures: Mapping[str, int]
    cut: int
    cut_idle: int
    planned: int
    stalled: float
    latency: Latency | None
    by_worker: Mapping[str, int]
    by_version: Mapping[str, int]

    @property
    def failed(self) -> int:
        """All failed requests."""
        return sum(self.failures.values())

    @property
    def dropped(self) -> int:
        """All connections that were closed unannounced."""
        return self.cut + self.cut_idle

    def failed_but(self, allowed: str) -> int:
        """All failed requests that did not fail in this way."""
        return self.failed - self.failures.get(allowed, 0)


@dataclass
class Tally:
    """The counters of the phase that is on."""

    name: str
    began: float
    failures: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    cut_idle: int = 0
    planned: int = 0
    stalled: float = 0.0
    latencies: list[float] = field(default_factory=list)
    by_worker: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)

    def answer(self, seconds: float, worker: str, version: str) -> None:
        """One right answer."""
        self.latencies.append(seconds)
        self.by_worker[worker] += 1
        self.by_version[version] += 1

    def phase(self, now: float) -> Phase:
        """The record, when the phase is over."""
        return Phase(
            name=self.name,
            seconds=round(now - self.began, 3),
            answered=len(self.latencies),
            failures=dict(self.failures),
            cut=self.cut,
            cut_idle=self.cut_idle,
            planned=self.planned,
            stalled=round(self.stalled, 3),
            latency=latency_of(self.latencies),
            by_worker=dict(self.by_worker),
            by_version=dict(self.by_version),
        )


def latency_of(seconds: Sequence[float]) -> Latency | None:
    """The quantiles; ``None`` of nothing."""
    if not seconds:
        return None
    known = sorted(seconds)

    def at(share: float) -> float:
        return known[min(len(known) - 1, int(share * len(known)))]

    return Latency(at(0.5), at(0.99), at(0.999), known[-1])


def to_json(phase: Phase) -> dict[str, object]:
    """The record as plain values."""
    return asdict(phase)


def from_json(values: dict[str, object]) -> Phase:
    """The record from plain values, as :func:`to_json` made them."""
    latency = values.pop("latency")
    found = Latency(**latency) if isinstance(latency, dict) else None
    return Phase(**values, latency=found)  # type: ignore[arg-type]
