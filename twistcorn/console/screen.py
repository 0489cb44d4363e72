"""The screen of `top`: a snapshot as rows of text.

Law: pure: snapshots, the view and the size of the screen in, rows out. No row is longer than the screen is wide, there
are never more than it is high, and each character is one column wide. On a screen of 80 columns and 24 lines nothing is
cut but the end of a path.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import tables
from .units import align, flow, lines_of, printable, rate, size, time, wrapped
from .view import Ranked, View, rank

JSON = dict[str, Any]

#: Sections below the table of workers have a title with an empty row above it.
_TITLE_ROWS = 2
#: Rows of each section while there are workers to show, rows kept for workers, and the room that sections need.
_MAX_RUNNING_ROWS, _MAX_ENDED_ROWS, _KEPT_WORKER_ROWS, _SECTIONS_FROM_ROWS = 5, 4, 4, 12
#: On a lower screen each part of the head has one row, and the foot is one row.
_HIGH_ENOUGH_ROWS = 20
#: The cause of a regular exit (`policy.blame.Cause`, in lower case).
ORDERLY = "ordered"
#: Rows of the message of the last action, such as why a reload was cancelled.
_MAX_MESSAGE_ROWS = 6
#: Cells of the bar of busy threads.
_BAR_CELLS = 20
#: What ends a row that is cut.
_CUT = "..."

#: Columns of the table of workers; on a narrow screen some are left out, in this order, for the requests' sake.
_COLUMNS = ("WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "CONN", "RSS", "REQUESTS", "RATE", "DOING")
_LEFT_ALIGNED = ("STATE", "DOING")
_LEFT_OUT = ("REQUESTS", "GEN", "CONN", "AGE", "PID")
_DOING_COLUMNS = 26

RUNNING, DEATHS = "running requests, oldest first", "recent worker deaths"


class Row(NamedTuple):
    """One row of the screen.

    :ivar style: `plain`, `bold` or `reverse`.
    """

    text: str
    style: str = "plain"


def render(snapshot: JSON, previous: JSON | None, width: int, height: int, view: View) -> list[Row]:
    """The screen.

    :param previous: the snapshot before, for the rates of the workers; None: there is none yet.
    """
    high = height >= _HIGH_ENOUGH_ROWS
    ranked = rank(snapshot, previous, view.order)
    head, foot = _head(snapshot, width, high), _foot(view, width, high)
    table = _table(ranked, width)
    running, ended = _running(snapshot), _ended(snapshot, width)
    room = height - len(head) - 1 - len(foot)
    for_workers, for_running, for_ended = share(room, len(ranked), len(running), len(ended))
    first = _first(ranked, view.selected, for_workers)
    rows = [*head, Row(table[0], "reverse")]
    for line, each in list(zip(table[1:], ranked, strict=True))[first : first + for_workers]:
        rows.append(Row(line, "reverse" if each.worker["worker"] == view.selected else "plain"))
    for title, lines, count in ((RUNNING, running, for_running), (DEATHS, ended, for_ended)):
        if count:
            rows += [Row(""), Row(title, "bold"), *map(Row, lines[:count])]
    rows = rows[: max(0, height - len(foot))]
    rows += [Row("")] * (height - len(foot) - len(rows))
    return [_fit(row, width) for row in [*rows, *foot]][-height:]


def plain(snapshot: JSON) -> list[str]:
    """A snapshot without a screen: everything, once."""
    ranked = rank(snapshot, None, "worker")
    lines = [*tables.status(snapshot["status"]), "", *tables.workers([each.worker for each in ranked])]
    for title, more in ((RUNNING, _running(snapshot)), (DEATHS, _ended(snapshot))):
        lines += ["", title, *more] if more else []
    return lines


def share(room: int, workers: int, running: int, ended: int) -> tuple[int, int, int]:
    """The rows of each section. Workers come first, but for a few rows of the others; those get what is left over."""
    few = room < _SECTIONS_FROM_ROWS
    for_running = 0 if few else min(running, _MAX_RUNNING_ROWS)
    for_ended = 0 if few else min(ended, _MAX_ENDED_ROWS)
    titles = _TITLE_ROWS * ((for_ended > 0) + (for_running > 0))
    while max(for_running, for_ended) > 1 and room - titles - for_running - for_ended < min(workers, _KEPT_WORKER_ROWS):
        for_running, for_ended = for_running - (for_running > for_ended), for_ended - (for_running <= for_ended)
    for_workers = min(workers, max(0, room - titles - for_ended - for_running))
    left = max(0, room - titles - for_ended - for_running - for_workers)
    more = min(left, running - for_running) if for_running else 0
    return for_workers, for_running + more, for_ended + (min(left - more, ended - for_ended) if for_ended else 0)


def _table(ranked: list[Ranked], width: int) -> list[str]:
    """The table of workers, its header first."""
    brief, left_out = False, 0
    while True:
        names = [name for name in _COLUMNS if name not in _LEFT_OUT[:left_out]]
        cells = [_cells(each, brief) for each in ranked]
        rows = [names, *([each[name] for name in names] for each in cells)]
        lines = align(rows, [number for number, name in enumerate(names) if name not in _LEFT_ALIGNED])
        if lines[0].index("DOING") + _DOING_COLUMNS <= width or left_out == len(_LEFT_OUT):
            return lines
        brief, left_out = True, left_out + brief


def _cells(ranked: Ranked, brief: bool) -> dict[str, str]:
    """The cells of a worker; `brief`: without the reason of its replacement, which `twistcorn workers` has."""
    worker = ranked.worker
    state = "replacing" if brief and worker["outdated"] and worker["state"] == "ready" else tables.state(worker)
    oldest = worker["doing"][0] if worker["doing"] else None
    return {
        "WORKER": str(worker["worker"]), "PID": str(worker["pid"]), "GEN": str(worker["generation"]),
        "STATE": worker["state"] if brief and worker["state"] != "ready" else state, "AGE": time(worker["age"]),
        "BUSY": f"{worker['busy']}/{worker['threads']}", "CONN": str(worker["connections"]),
        "RSS": tables.memory(worker["rss"]), "REQUESTS": str(worker["requests"]), "RATE": rate(ranked.rate),
        "DOING": f"{time(oldest['age'])} {printable(oldest['request'])}" if oldest else "-",
    }  # fmt: skip


def _head(snapshot: JSON, width: int, high: bool) -> list[Row]:
    """The server as a whole, in groups of items: a group begins a row, and has more where it is needed."""
    seen = snapshot["status"]
    busy, threads, counts = tables.busy_threads(seen), seen["threads"], seen["workers"]
    used = busy / threads if threads else 0.0
    bar = "#" * round(used * _BAR_CELLS)
    groups = (
        [
            f"twistcorn {seen['version']}", f"pid {seen['pid']}", seen["state"], f"up {time(seen['uptime'])}",
            printable(seen["app"]), ", ".join(seen["listeners"]),
        ],
        [f"requests {tables.requests(seen)}", f"memory {size(seen['memory'])}"],
        [
            f"threads [{bar:-<{_BAR_CELLS}}] {busy}/{threads} {used:.0%}", f"queue {seen['queue']}",
            f"connections {seen['connections']} ({seen['parked']} parked)",
        ],
        [
            f"workers {counts['ready']} of {counts['target']} ready", f"generation {seen['generation']}",
            f"loop lag {time(seen['lag']['last'])}", f"reload: {tables.reload(seen)}", *_warnings(seen),
        ],
    )  # fmt: skip
    rows = []
    for number, items in enumerate(groups):
        lines = flow([item for item in items if item], width) if high else ["  ".join(filter(None, items))]
        rows += [Row(line, "plain" if number else "bold") for line in lines]
    return [*rows, Row("")]


def _warnings(seen: JSON) -> list[str]:
    warnings = ["recycling paused: new workers do not boot"] if seen["recycling_paused"] else []
    if seen["quarantine"]:
        warnings.append(f"quarantine: {printable(', '.join(seen['quarantine']))}")
    return warnings


def _running(snapshot: JSON) -> list[str]:
    """The running requests, oldest first."""
    found = [(each, worker["worker"]) for worker in snapshot["workers"] for each in worker["doing"]]
    found.sort(key=lambda each: -each[0]["age"])
    rows = [(time(each["age"]), f"worker {worker}", printable(each["request"])) for each, worker in found]
    return align(rows, (0,)) if rows else []


def _ended(snapshot: JSON, width: int = 0) -> list[str]:
    """Workers that died, the latest first; regular exits are left out.

    :param width: of a line; 0: lines are not wrapped.
    """
    now = snapshot["status"]["time"]
    deaths = [each for each in reversed(snapshot["ended"]) if each["cause"] != ORDERLY]
    rows = [(f"{time(max(0.0, now - each['at']))} ago", next(iter(lines_of(each["text"])), "")) for each in deaths]
    lines = align(rows, (0,)) if rows else []
    indent = max((len(ago) for ago, _ in rows), default=0) + 2
    return [part for line in lines for part in _wrapped(line, width, indent)] if width else lines


def _wrapped(line: str, width: int, indent: int) -> list[str]:
    """A row whose second column is wrapped."""
    if len(line) <= width or width <= indent:
        return [line]
    first, *others = wrapped(line[indent:], width - indent)
    return [line[:indent] + first, *(" " * indent + each for each in others)]


def _first(ranked: list[Ranked], selected: int | None, room: int) -> int:
    """The index of the first worker shown, so that the selected one is visible."""
    place = next((n for n, each in enumerate(ranked) if each.worker["worker"] == selected), 0)
    return max(0, place - room + 1)


def keys(view: View) -> list[str]:
    """The keys, as the last line lists them."""
    pause = "p resume" if view.paused else "p pause"
    return ["q quit", f"r sort: {view.order}", pause, "+/- scale", "R reload", "up/down select", "c recycle"]


def _foot(view: View, width: int, high: bool) -> list[Row]:
    """The result of the last action, then the keys or a question."""
    message = "  ".join(filter(None, ["PAUSED" * view.paused, printable(view.message)]))
    last = [f"{view.question.text}? y: yes, any other key: no"] if view.question else keys(view)
    if not high:
        return [Row("  ".join([message, *last] if message else last), "reverse" if view.question else "bold")]
    rows = [Row(line, "reverse") for line in wrapped(message, width)[:_MAX_MESSAGE_ROWS]] if message else []
    return [*rows, *(Row(line, "reverse" if view.question else "bold") for line in flow(last, width))]


def _fit(row: Row, width: int) -> Row:
    text = row.text
    if len(text) > width:
        text = text[: width - len(_CUT)] + _CUT if width > len(_CUT) else text[:width]
    return Row(text.ljust(width) if row.style == "reverse" else text, row.style)
