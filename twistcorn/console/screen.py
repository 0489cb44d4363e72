"""The screen of `top`: a snapshot as rows of text.

Law: pure: snapshots, the view and the size of the screen in, rows out. No row is longer than the screen is wide, there
are never more than it is high, and each character of them is one column wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import tables
from .units import align, lines_of, printable, rate, time
from .view import Ranked, View, rank

JSON = dict[str, Any]

#: Rows above the table of workers, its head included, and below everything.
_ROWS_ABOVE, _ROWS_BELOW = 5, 1
#: Sections below the table of workers have a title with an empty row above it.
_TITLE_ROWS = 2
#: Rows that each of them has at most while there are workers to show, and how high a screen must be for it.
_MAX_RUNNING_ROWS, _MAX_ENDED_ROWS = 5, 3
_HIGH_ENOUGH_ROWS = 22
#: The cause of an end that is no news (`policy.blame.Cause`, in lower case).
ORDERLY = "ordered"
#: Cells of the bar that shows how busy the threads are.
_BAR_CELLS = 20

KEYS = "q quit  r order  p pause  + - scale  R reload  up/down select  c replace it"
_NUMBER_COLUMNS = (0, 1, 2, 4, 5, 6, 7, 8, 9)


class Row(NamedTuple):
    """One row of the screen.

    :ivar style: `plain`, `bold` or `reverse`.
    """

    text: str
    style: str = "plain"


def render(snapshot: JSON, previous: JSON | None, width: int, height: int, view: View) -> list[Row]:
    """The screen.

    :param previous: the snapshot before, for what happens in a second; None: there is none yet.
    """
    ranked = rank(snapshot, previous, view.order)
    table = _table(ranked)
    running = _running(snapshot)
    ended = _ended(snapshot)
    for_workers, for_running, for_ended = share(
        height - _ROWS_ABOVE - _ROWS_BELOW, len(table) - 1, len(running), len(ended)
    )
    first = _first(ranked, view.selected, for_workers)
    rows = [*_head(snapshot, ranked), Row(table[0], "reverse")]
    for line, each in list(zip(table[1:], ranked, strict=True))[first : first + for_workers]:
        rows.append(Row(line, "reverse" if each.worker["worker"] == view.selected else "plain"))
    for title, lines, room in (
        ("running now, oldest first", running, for_running), ("ended of late", ended, for_ended)
    ):  # fmt: skip
        if room:
            rows += [Row(""), Row(title, "bold"), *map(Row, lines[:room])]
    rows = rows[: max(0, height - _ROWS_BELOW)]
    rows += [Row("")] * (height - _ROWS_BELOW - len(rows))
    return [_fit(row, width) for row in [*rows, _foot(view)]][-height:]


def plain(snapshot: JSON) -> list[str]:
    """A snapshot without a screen: all of it, once."""
    ranked = rank(snapshot, None, "worker")
    lines = [*tables.status(snapshot["status"]), "", *tables.workers([each.worker for each in ranked])]
    for title, more in (("running now, oldest first", _running(snapshot)), ("ended of late", _ended(snapshot))):
        lines += ["", title, *more] if more else []
    return lines


def share(room: int, workers: int, running: int, ended: int) -> tuple[int, int, int]:
    """How many rows each section gets; the workers come first, and what is left over goes to the others."""
    low = room + _ROWS_ABOVE + _ROWS_BELOW < _HIGH_ENOUGH_ROWS
    for_ended = 0 if low else min(ended, _MAX_ENDED_ROWS)
    for_running = 0 if low else min(running, _MAX_RUNNING_ROWS)
    titles = _TITLE_ROWS * ((for_ended > 0) + (for_running > 0))
    for_workers = min(workers, max(0, room - titles - for_ended - for_running))
    left = max(0, room - titles - for_ended - for_running - for_workers)
    more = min(left, running - for_running) if for_running else 0
    return for_workers, for_running + more, for_ended + (min(left - more, ended - for_ended) if for_ended else 0)


def _table(ranked: list[Ranked]) -> list[str]:
    """The table of workers, its head first."""
    head = ("WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "CONN", "RSS", "REQUESTS", "RATE", "DOING")
    return align([head, *map(_cells, ranked)], _NUMBER_COLUMNS)


def _cells(ranked: Ranked) -> tuple[str, ...]:
    worker = ranked.worker
    return (
        str(worker["worker"]), str(worker["pid"]), str(worker["generation"]), tables.state(worker),
        time(worker["age"]), f"{worker['busy']}/{worker['threads']}", str(worker["connections"]),
        tables.memory(worker["rss"]), str(worker["requests"]), rate(ranked.rate), tables.doing(worker["doing"]),
    )  # fmt: skip


def _head(snapshot: JSON, ranked: list[Ranked]) -> list[Row]:
    seen = snapshot["status"]
    busy, threads = tables.busy_threads(seen), seen["threads"]
    used = busy / threads if threads else 0.0
    bar = "#" * round(used * _BAR_CELLS)
    queued = seen["waiting"] + sum(max(0, each.worker["busy"] - each.worker["threads"]) for each in ranked)
    notes = [f"reload: {tables.reload(seen)}"]
    notes += ["recycling paused: workers do not boot"] * bool(seen["recycling_paused"])
    notes += [f"quarantine: {printable(', '.join(seen['quarantine']))}"] * bool(seen["quarantine"])
    counts = seen["workers"]
    return [
        Row(
            f"twistcorn {seen['version']}  pid {seen['pid']}  {seen['state']}  {printable(seen['app'])}"
            f"  {', '.join(seen['listeners'])}  up {time(seen['uptime'])}", "bold",
        ),
        Row(
            f"{rate(sum(each.rate for each in ranked))}  threads [{bar:-<{_BAR_CELLS}}] {busy}/{threads} {used:.0%}"
            f"  queue {queued}  connections {seen['connections']} ({seen['parked']} parked)"
        ),
        Row(
            f"workers {counts['ready']} of {counts['target']} ready  generation {seen['generation']}"
            f"  loop {time(seen['lag']['last'])} late  {'  '.join(notes)}"
        ),
        Row(""),
    ]  # fmt: skip


def _running(snapshot: JSON) -> list[str]:
    """The requests that run, oldest first."""
    found = [(each, worker["worker"]) for worker in snapshot["workers"] for each in worker["doing"]]
    found.sort(key=lambda each: -each[0]["age"])
    rows = [(time(each["age"]), f"worker {worker}", printable(each["request"])) for each, worker in found]
    return align(rows, (0,)) if rows else []


def _ended(snapshot: JSON) -> list[str]:
    """Workers that are no more, the latest first; orderly ends are no news."""
    now = snapshot["status"]["time"]
    deaths = [each for each in reversed(snapshot["ended"]) if each["cause"] != ORDERLY]
    rows = [(f"{time(max(0.0, now - each['at']))} ago", next(iter(lines_of(each["text"])), "")) for each in deaths]
    return align(rows, (0,)) if rows else []


def _first(ranked: list[Ranked], selected: int | None, room: int) -> int:
    """From which worker on they are shown, so that the selected one is."""
    place = next((n for n, each in enumerate(ranked) if each.worker["worker"] == selected), 0)
    return max(0, place - room + 1)


def _foot(view: View) -> Row:
    if view.question is not None:
        return Row(f"{view.question.text}? y to confirm, any other key: no", "reverse")
    state = "PAUSED  " * view.paused + (f"{printable(view.message)}  " if view.message else "")
    return Row(f"{state}{KEYS}  [by {view.order}]", "reverse" if view.paused else "bold")


def _fit(row: Row, width: int) -> Row:
    text = row.text[:width]
    return Row(text.ljust(width) if row.style == "reverse" else text, row.style)
