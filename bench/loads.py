"""What a run of a load generator gave, whichever it was.

Law: frozen values and their sums; starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from bench.pace import Percentiles


@dataclass(frozen=True)
class Errors:
    """What the load generator counted as gone wrong."""

    connect: int = 0
    read: int = 0
    write: int = 0
    timeout: int = 0
    bad_status: int = 0
    unanswered: int = 0


def total_errors(every: Iterable[Errors]) -> Errors:
    """All of them added up."""
    known = list(every)
    return Errors(*(sum(getattr(errors, field.name) for errors in known) for field in fields(Errors)))


@dataclass(frozen=True)
class Load:
    """What the load generator said of one run; ``fast`` are the times of the requests that are not slow ones."""

    requests: int
    per_second: float
    mean_latency: float
    errors: Errors
    fast: Percentiles | None = None


def together(loads: Sequence[Load]) -> Load:
    """Several at once as one; the first holds the fast requests."""
    rate = sum(load.per_second for load in loads)
    return Load(
        requests=sum(load.requests for load in loads),
        per_second=rate,
        mean_latency=sum(load.per_second * load.mean_latency for load in loads) / rate if rate else 0.0,
        errors=total_errors(load.errors for load in loads),
        fast=loads[0].fast,
    )


@dataclass(frozen=True)
class Generator:
    """The load generator as every run of one benchmark uses it."""

    program: str
    version: str
    connections: int
    cpu: int | None


@dataclass(frozen=True)
class Timed:
    """One run of it and what it cost: wall time, and the load generator's own CPU time."""

    load: Load
    wall_seconds: float
    cpu_seconds: float
