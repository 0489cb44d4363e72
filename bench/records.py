"""What a benchmark keeps: one record for each measured run, or the reason there is none.

Law: frozen values; nothing is computed here but what one run alone tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.loads import Errors
from bench.pace import Percentiles


@dataclass(frozen=True)
class Sample:
    """One measured run of one server under one workload."""

    server: str
    workload: str
    round: int
    requests: int
    per_second: float
    mean_latency: float
    errors: Errors
    wall_seconds: float
    server_cpu_seconds: float
    load_cpu_seconds: float
    stays_open: bool
    killed: bool = False
    fast: Percentiles | None = None

    @property
    def cpu_micros(self) -> float | None:
        """CPU microseconds of the whole process tree for one request."""
        return self.server_cpu_seconds / self.requests * 1e6 if self.requests else None

    @property
    def server_busy(self) -> float:
        """The part of one CPU that the server used."""
        return self.server_cpu_seconds / self.wall_seconds

    @property
    def load_busy(self) -> float:
        """The part of one CPU that the load generator used."""
        return self.load_cpu_seconds / self.wall_seconds

    @property
    def in_flight(self) -> float:
        """How many requests were under way at a time, by Little's law."""
        return self.per_second * self.mean_latency


@dataclass(frozen=True)
class Failure:
    """A run that gave no figure; round 0 means that none was tried."""

    server: str
    workload: str
    round: int
    reason: str


Outcome = Sample | Failure
