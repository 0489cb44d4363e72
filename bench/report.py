"""From the records to what is read: medians, spreads, ratios, notes, tables.

Law: pure; the same records give the same text. No figure is shown without its spread, no error is dropped.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from bench.loads import Errors, total_errors
from bench.records import Failure, Outcome, Sample
from bench.servers import baseline
from bench.workloads import Persistence, Workload

HEADINGS = (
    *("server", "threads", "req/s", "min-max", "ratio"),
    *("CPU us/req", "min-max", "ratio", "server busy", "load busy", "notes"),
)
#: Two more where the fast requests of a mixed load are told apart.
FAST_HEADINGS = ("fast p50 ms", "fast p99 ms", "min-max", "ratio")
NOTHING = "-"
# The load generator's own queueing blurs Little's law; half is far outside that blur.
STARVING = 0.5
LOAD_LIMIT = 0.95


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
    """One server under one workload, all rounds together; a ratio is the baseline's median over this one."""

    server: str
    workload: str
    rate: Spread | None
    cpu: Spread | None
    fast_p50: Spread | None
    fast_p99: Spread | None
    rate_ratio: float | None
    cpu_ratio: float | None
    fast_p99_ratio: float | None
    server_busy: float | None
    load_busy: float | None
    notes: tuple[str, ...]


def spread(values: Iterable[float]) -> Spread | None:
    """Median, least and greatest; ``None`` of nothing."""
    known = sorted(values)
    return Spread(statistics.median(known), known[0], known[-1], len(known)) if known else None


def middle(values: Iterable[float]) -> float | None:
    """The median; ``None`` of nothing."""
    known = list(values)
    return statistics.median(known) if known else None


def ratio(value: Spread | None, base: Spread | None) -> float | None:
    """The baseline's median over this one: below one where less is better and the baseline is."""
    if value is None or base is None or not value.median:
        return None
    return base.median / value.median


def error_note(errors: Errors) -> str | None:
    """What the load generator counted as gone wrong, kinds with none left out."""
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
    busy = statistics.median(sample.load_busy for sample in samples)
    return f"the load generator was the limit ({busy:.0%} busy)" if busy > LOAD_LIMIT else None


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
            error_note(total_errors(sample.errors for sample in samples)),
            persistence_note(samples, workload, connections),
            load_note(samples),
            f"had to be killed after {killed} of {len(samples)} runs" if killed else None,
        ]
    return [note for note in found if note is not None]


def row_of(
    name: str, outcomes: Sequence[Outcome], workload: Workload, connections: int, base: Row | None
) -> Row:
    """One server under one workload; ``base`` is the row to compare with, ``None`` for that row itself."""
    mine = [outcome for outcome in outcomes if outcome.workload == workload.name and outcome.server == name]
    samples = [outcome for outcome in mine if isinstance(outcome, Sample)]
    failures = [outcome for outcome in mine if isinstance(outcome, Failure)]
    fast = [sample.fast for sample in samples if sample.fast is not None]
    row = Row(
        server=name,
        workload=workload.name,
        rate=spread(sample.per_second for sample in samples),
        cpu=spread(sample.cpu_micros for sample in samples if sample.cpu_micros is not None),
        fast_p50=spread(times.p50 for times in fast),
        fast_p99=spread(times.p99 for times in fast),
        rate_ratio=None,
        cpu_ratio=None,
        fast_p99_ratio=None,
        server_busy=middle(sample.server_busy for sample in samples),
        load_busy=middle(sample.load_busy for sample in samples),
        notes=tuple(notes(samples, failures, workload, connections)),
    )
    base = base or row
    return replace(
        row,
        rate_ratio=ratio(row.rate, base.rate),
        cpu_ratio=ratio(row.cpu, base.cpu),
        fast_p99_ratio=ratio(row.fast_p99, base.fast_p99),
    )


def summarise(
    outcomes: Sequence[Outcome], workload: Workload, servers: Sequence[str], connections: int
) -> list[Row]:
    """One row a server for one workload, in the order given, with the baseline's ratios to each."""
    base = row_of(baseline(servers), outcomes, workload, connections, None)
    return [row_of(name, outcomes, workload, connections, base) for name in servers]


def _figure(value: Spread | None, form: str) -> tuple[str, str]:
    if value is None:
        return NOTHING, NOTHING
    return format(value.median, form), f"{value.low:{form}}-{value.high:{form}}"


def _optional(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def milliseconds(value: Spread | None) -> Spread | None:
    """Of seconds."""
    if value is None:
        return None
    return Spread(value.median * 1000, value.low * 1000, value.high * 1000, value.count)


def fast_cells(row: Row) -> tuple[str, ...]:
    """The times of the fast requests, a cell for each of their headings."""
    p50, p99 = milliseconds(row.fast_p50), milliseconds(row.fast_p99)
    return (_figure(p50, ".2f")[0], *_figure(p99, ".2f"), _optional(row.fast_p99_ratio, ".2f"))


def cells(row: Row, threads: str) -> tuple[str, ...]:
    """One row as text, a cell for each heading."""
    return (
        *(row.server, threads),
        *_figure(row.rate, ".0f"),
        _optional(row.rate_ratio, ".2f"),
        *_figure(row.cpu, ".1f"),
        _optional(row.cpu_ratio, ".2f"),
        _optional(row.server_busy, ".0%"),
        _optional(row.load_busy, ".0%"),
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


def workload_table(rows: Sequence[Row], threads: Mapping[str, str]) -> str:
    """The table of one workload; ``threads`` tells of each server how many it runs the application in."""
    plain = [cells(row, threads[row.server]) for row in rows]
    if not any(row.fast_p99 for row in rows):
        return table(HEADINGS, plain)
    lines = [(*cell[:-1], *fast_cells(row), cell[-1]) for cell, row in zip(plain, rows, strict=True)]
    return table((*HEADINGS[:-1], *FAST_HEADINGS, HEADINGS[-1]), lines)


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
