"""Figures of any kind, several from one run: kept, summed up, shown.

Law: pure. Seconds and bytes are kept; a column says in what they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.plot import Bar, Panel
from bench.records import Failure
from bench.report import NOTHING, Spread, failure_note, ratio, spread, table
from bench.servers import baseline


@dataclass(frozen=True)
class Reading:
    """What one run gave: values by name, and what a reader has to know beside them."""

    server: str
    workload: str
    round: int
    values: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """How a value is shown.

    :ivar scale: what it is multiplied by.
    :ivar compared: the baseline's ratio to it stands beside it, and it is drawn.
    """

    name: str
    heading: str
    scale: float
    form: str
    compared: bool = False

    def headings(self) -> tuple[str, ...]:
        """Of the column and what stands beside it."""
        return (self.heading, "min-max", "ratio") if self.compared else (self.heading,)

    def cells(self, value: Spread | None, base: Spread | None) -> tuple[str, ...]:
        """Under these headings."""
        if value is None:
            return (NOTHING,) * len(self.headings())
        shown = self.shown(value)
        median = format(shown.median, self.form)
        if not self.compared:
            return (median,)
        times = ratio(value, base)
        reach = f"{shown.low:{self.form}}-{shown.high:{self.form}}"
        return (median, reach, NOTHING if times is None else f"{times:.2f}")

    def shown(self, value: Spread) -> Spread:
        """In the column's unit."""
        low, median, high = (number * self.scale for number in (value.low, value.median, value.high))
        return Spread(median, low, high, value.count)


@dataclass(frozen=True)
class Summary:
    """One server under one workload, all rounds together."""

    server: str
    workload: str
    values: Mapping[str, Spread]
    notes: tuple[str, ...]


def summary_of(outcomes: Sequence[Reading | Failure], server: str, workload: str) -> Summary:
    """The medians of all values that any round has; a note is told once, however many rounds have it."""
    mine = [outcome for outcome in outcomes if outcome.server == server and outcome.workload == workload]
    readings = [outcome for outcome in mine if isinstance(outcome, Reading)]
    failures = [failure_note(outcome) for outcome in mine if isinstance(outcome, Failure)]
    names = dict.fromkeys(name for reading in readings for name in reading.values)
    known = {name: spread(r.values[name] for r in readings if name in r.values) for name in names}
    notes = dict.fromkeys([*failures, *(note for reading in readings for note in reading.notes)])
    values = {name: value for name, value in known.items() if value is not None}
    return Summary(server, workload, values, tuple(notes))


def summarise(outcomes: Sequence[Reading | Failure], servers: Sequence[str], workload: str) -> list[Summary]:
    """A line a server, in the order given."""
    return [summary_of(outcomes, server, workload) for server in servers]


def summary_table(lines: Sequence[Summary], columns: Sequence[Column], threads: Mapping[str, str]) -> str:
    """The table of one workload; a column that nobody has a value for is left out."""
    shown = [column for column in columns if any(column.name in line.values for line in lines)]
    best = baseline([line.server for line in lines])
    base = next((line.values for line in lines if line.server == best), {})
    headings = [heading for column in shown for heading in column.headings()]
    rows = []
    for line in lines:
        cells = [
            cell
            for column in shown
            for cell in column.cells(line.values.get(column.name), base.get(column.name))
        ]
        rows.append((line.server, threads[line.server], *cells, "; ".join(line.notes)))
    return table(("server", "threads", *headings, "notes"), rows)


def panels(lines: Sequence[Summary], columns: Sequence[Column]) -> list[Panel]:
    """Of one workload a panel for each compared column that has values."""
    best = baseline([line.server for line in lines])
    found = []
    for column in columns:
        if not column.compared or not any(column.name in line.values for line in lines):
            continue
        values = [line.values.get(column.name) for line in lines]
        bars = [
            Bar(line.server, None if value is None else column.shown(value), line.server == best)
            for line, value in zip(lines, values, strict=True)
        ]
        found.append(Panel(f"{lines[0].workload}: {column.heading}", bars))
    return found


def describe(reading: Reading, rounds: int, columns: Sequence[Column]) -> str:
    """One line of progress."""
    known = [column for column in columns if column.name in reading.values]
    figures = [f"{c.heading} {reading.values[c.name] * c.scale:{c.form}}" for c in known]
    head = f"{reading.round}/{rounds} {reading.workload:18} {reading.server:16}"
    return f"{head} {', '.join(figures)}"


def noise(lines: Sequence[Summary], columns: Sequence[Column]) -> str:
    """How far the rounds lie apart: what a difference must exceed to mean something."""
    said = []
    for column in columns:
        known = [line for line in lines if column.name in line.values and line.values[column.name].count > 1]
        if column.compared and known:
            worst = max(known, key=lambda line: line.values[column.name].relative)
            reach = worst.values[column.name].relative
            said.append(
                f"noise of {column.heading}: {reach:.0%} of the median at worst "
                f"({worst.server}, {worst.workload})"
            )
    return "\n".join(said) or "noise: unknown, no figure has two rounds"


def plain(lines: Sequence[Summary]) -> list[dict[str, object]]:
    """For ``--json``."""
    return [asdict(line) for line in lines]
