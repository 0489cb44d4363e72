"""From the records to what is read: medians, spreads, ratios, notes, tables.

Law: pure; the same records give the same text. No figure is shown without its spread, no error is dropped.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

from bench.measure import Errors
from bench.records import Failure, Outcome, Sample
from bench.servers import BASELINE
from bench.workloads import Persistence, Workload

HEADINGS = (
    *("server", "req/s", "min-max", f"x {BASELINE}"),
    *("CPU us/req", "min-max", f"x {BASELINE}", "server busy", "wrk busy", "notes"),
)
NOTHING = "-"
# wrk's own queueing blurs Little's law; half is far outside that blur.
STARVING = 0.5
WRK_LIMIT = 0.95


@dataclass(frozen=True)
class Spread:
    """The median of some values, how far they reach, and how many they are."""

    median: float
    low: float
    high: float
    count: int

    @property
    def relative(self) -> float:
        """The reach as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Row:
    """One server under one workload, all rounds together."""

    server: str
    workload: str
    rate: Spread | None
    cpu: Spread | None
    rate_ratio: float | None
    cpu_ratio: float | None
    server_busy: float | None
    wrk_busy: float | None
    notes: tuple[str, ...]


def spread(values: Iterable[float]) -> Spread | None:
    """Median, least and greatest; ``None`` of nothing."""
    known = sorted(values)
    return Spread(statistics.median(known), known[0], known[-1], len(known)) if known else None


def middle(values: Iterable[float]) -> float | None:
    """The median; ``None`` of nothing."""
    known = list(values)
    return statistics.median(known) if known else None


def ratio(value: Spread | None, baseline: Spread | None) -> float | None:
    """Median over the baseline's median."""
    if value is None or baseline is None or not baseline.median:
        return None
    return value.median / baseline.median


def total_errors(samples: Iterable[Sample]) -> Errors:
    """The errors of all rounds added up."""
    every = [sample.errors for sample in samples]
    return Errors(*(sum(getattr(errors, field.name) for errors in every) for field in fields(Errors)))


def error_note(errors: Errors) -> str | None:
    """What wrk counted as gone wrong, kinds with none left out."""
    counts = {field.name.replace("_", " "): getattr(errors, field.name) for field in fields(Errors)}
    seen = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"ERRORS: {seen}" if seen else None


def persistence_note(samples: Sequence[Sample], workload: Workload, connections: int) -> str | None:
    """Where the server did something else with its connections than the workload is about."""
    wanted = workload.persistence is Persistence.KEEP_ALIVE
    if any(sample.stays_open is not wanted for sample in samples):
        return "closes after each response" if wanted else "ignores Connection: close"
    served = statistics.median(sample.in_flight for sample in samples)
    if wanted and served < STARVING * connections:
        return f"serves about {served:.0f} of {connections} connections, the others wait"
    return None


def load_note(samples: Sequence[Sample]) -> str | None:
    """Whether the load generator and not the server was the limit."""
    busy = statistics.median(sample.wrk_busy for sample in samples)
    return f"wrk was the limit ({busy:.0%} busy)" if busy > WRK_LIMIT else None


def failure_note(failure: Failure) -> str:
    """The reason for a figure that is not there."""
    event = f"FAILED round {failure.round}" if failure.round else "NOT RUN"
    return f"{event}: {failure.reason}"


def notes(
    samples: Sequence[Sample], failures: Sequence[Failure], workload: Workload, connections: int
) -> list[str]:
    """All that a reader of the row has to know beside its figures."""
    found: list[str | None] = [failure_note(failure) for failure in failures]
    if samples:
        killed = sum(sample.killed for sample in samples)
        found += [
            error_note(total_errors(samples)),
            persistence_note(samples, workload, connections),
            load_note(samples),
            f"had to be killed after {killed} of {len(samples)} runs" if killed else None,
        ]
    return [note for note in found if note is not None]


def summarise(
    outcomes: Sequence[Outcome], workload: Workload, servers: Sequence[str], connections: int
) -> list[Row]:
    """One row a server for one workload, in the order given, with ratios to the baseline."""
    here = [outcome for outcome in outcomes if outcome.workload == workload.name]
    samples = {name: [o for o in here if isinstance(o, Sample) and o.server == name] for name in servers}
    failures = {name: [o for o in here if isinstance(o, Failure) and o.server == name] for name in servers}
    rates = {name: spread(s.per_second for s in samples[name]) for name in servers}
    costs = {
        name: spread(s.cpu_micros for s in samples[name] if s.cpu_micros is not None) for name in servers
    }
    return [
        Row(
            server=name,
            workload=workload.name,
            rate=rates[name],
            cpu=costs[name],
            rate_ratio=ratio(rates[name], rates.get(BASELINE)),
            cpu_ratio=ratio(costs[name], costs.get(BASELINE)),
            server_busy=middle(sample.server_busy for sample in samples[name]),
            wrk_busy=middle(sample.wrk_busy for sample in samples[name]),
            notes=tuple(notes(samples[name], failures[name], workload, connections)),
        )
        for name in servers
    ]


def _figure(value: Spread | None, form: str) -> tuple[str, str]:
    if value is None:
        return NOTHING, NOTHING
    return format(value.median, form), f"{value.low:{form}}-{value.high:{form}}"


def _optional(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def cells(row: Row) -> tuple[str, ...]:
    """One row as text, a cell for each heading."""
    return (
        row.server,
        *_figure(row.rate, ".0f"),
        _optional(row.rate_ratio, ".2f"),
        *_figure(row.cpu, ".1f"),
        _optional(row.cpu_ratio, ".2f"),
        _optional(row.server_busy, ".0%"),
        _optional(row.wrk_busy, ".0%"),
        "; ".join(row.notes),
    )


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, figures to the right, the last free."""
    everything = [headings, *lines]
    widths = [max(len(line[column]) for line in everything) for column in range(len(headings) - 1)]

    def padded(line: Sequence[str]) -> str:
        first, *figures, last = line
        aligned = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        return "  ".join([first.ljust(widths[0]), *aligned, last]).rstrip()

    rule = padded(["-" * width for width in [*widths, len(headings[-1])]])
    return "\n".join([padded(headings), rule, *map(padded, lines)])


def workload_table(rows: Sequence[Row]) -> str:
    """The table of one workload."""
    return table(HEADINGS, [cells(row) for row in rows])


def noise(rows: Sequence[Row]) -> str:
    """How far the rounds lie apart: what a difference must exceed to mean something."""
    lines = [
        _noise_line("req/s", rows, lambda row: row.rate),
        _noise_line("CPU us/req", rows, lambda row: row.cpu),
    ]
    return "\n".join(line for line in lines if line) or "noise: unknown, no row has two rounds"


def _noise_line(what: str, rows: Sequence[Row], take: Callable[[Row], Spread | None]) -> str:
    reaches = [(value.relative, row) for row in rows if (value := take(row)) is not None and value.count > 1]
    if not reaches:
        return ""
    worst, row = max(reaches, key=lambda reach: reach[0])
    usual = statistics.median(reach for reach, _ in reaches)
    return (
        f"noise of {what}: the rounds of a row lie {usual:.0%} of its median apart (median over the rows), "
        f"{worst:.0%} at worst ({row.server}, {row.workload})"
    )
