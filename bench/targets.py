"""What twistcorn is to reach against its peers, and whether a run shows that it does.

Law: pure; a table and its comparison. What was not measured is not judged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.report import Row, table

HEADINGS = ("workload", "figure", "against", "measured", "must be", "aim", "reached")


class Figure(enum.Enum):
    """What is compared: a ratio of ours to the peer's, but for memory, which is ours alone."""

    CPU = "CPU per request"
    RATE = "requests per second"
    FAST_P99 = "99th percentile of the fast requests"
    WORKER_PSS = "MiB of PSS per extra worker"


@dataclass(frozen=True)
class Target:
    """One figure under one workload, its bound, and the aim beyond it."""

    workload: str
    figure: Figure
    against: str
    bound: float
    aim: float

    @property
    def more_is_better(self) -> bool:
        """Whether the bound is a least value."""
        return self.figure is Figure.RATE

    def is_met(self, value: float, wanted: float) -> bool:
        """Whether a value is on the right side of what is wanted."""
        return value >= wanted if self.more_is_better else value <= wanted


#: Where a figure is compared with nobody's.
NOBODY = "-"
TARGETS = (
    Target("hello-keepalive", Figure.CPU, "granian", 1.1, 0.7),
    Target("hello-keepalive", Figure.CPU, "uwsgi", 2.0, 1.2),
    Target("hello-keepalive", Figure.CPU, "gunicorn-gthread", 0.15, 0.08),
    Target("flask-keepalive", Figure.CPU, "granian", 0.60, 0.5),
    Target("flask-keepalive", Figure.CPU, "gunicorn-gthread", 0.20, 0.14),
    Target("flask-keepalive", Figure.CPU, "uwsgi", 0.75, 0.55),
    Target("django-keepalive", Figure.CPU, "granian", 0.80, 0.65),
    Target("wait1ms-keepalive", Figure.RATE, "granian", 0.95, 1.05),
    Target("mixed-keepalive", Figure.FAST_P99, "gunicorn-gthread", 0.5, 0.2),
    Target("hello-close", Figure.CPU, "gunicorn-sync", 0.5, 0.35),
    Target("hello-close", Figure.WORKER_PSS, NOBODY, 30.0, 20.0),
)

UNFIT = "this run does not decide: that takes one worker, 32 connections, 5 rounds or more, server and load pinned"

#: Measured values, by workload, figure, and the server they compare with.
Measured = Mapping[tuple[str, Figure, str], float]


def measured(rows: Iterable[Row]) -> dict[tuple[str, Figure, str], float]:
    """The ratios of a ``throughput`` run."""
    found: dict[tuple[str, Figure, str], float] = {}
    for row in rows:
        ratios = {
            Figure.CPU: row.cpu_ratio,
            Figure.RATE: row.rate_ratio,
            Figure.FAST_P99: row.fast_p99_ratio,
        }
        found.update({(row.workload, figure, row.server): r for figure, r in ratios.items() if r is not None})
    return found


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured."""

    target: Target
    value: float

    @property
    def reached(self) -> str:
        """Whether the bound is kept, or the aim as well."""
        if not self.target.is_met(self.value, self.target.bound):
            return "NO"
        return "yes, and the aim" if self.target.is_met(self.value, self.target.aim) else "yes"


def judge(values: Measured, targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """A verdict on each target that was measured."""
    pairs = ((target, values.get((target.workload, target.figure, target.against))) for target in targets)
    return [Verdict(target, value) for target, value in pairs if value is not None]


def verdict_table(values: Measured) -> str:
    """The verdicts as a table, or a line that says that there is none."""
    verdicts = judge(values)
    if not verdicts:
        return "targets: none of them was measured"
    lines = [
        (
            *(verdict.target.workload, verdict.target.figure.value, verdict.target.against),
            f"{verdict.value:.2f}",
            f"at {'least' if verdict.target.more_is_better else 'most'} {verdict.target.bound:g}",
            f"{verdict.target.aim:g}",
            verdict.reached,
        )
        for verdict in verdicts
    ]
    return f"targets: twistcorn over the other\n{table(HEADINGS, lines)}"
