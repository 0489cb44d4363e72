"""What the server answered, as text for people.

Law: pure: plain values in, lines out. Names and units of the values are those of `master.insight`, as docs/control.md
has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import localtime, strftime
from typing import Any

from .units import align, lines_of, printable, size, time

JSON = dict[str, Any]

#: Columns of the table of workers that hold numbers, and those of the table of connections.
_NUMBERS_OF_WORKERS = (0, 1, 2, 4, 5, 6, 7, 8)
_NUMBERS_OF_CONNECTIONS = (0, 2, 3, 5, 6)


def status(seen: JSON) -> list[str]:
    """The server as a whole."""
    counts = seen["workers"]
    others = [f"{counts[state]} {state}" for state in counts if state not in ("target", "ready") and counts[state]]
    lag = seen["lag"]
    rows = [
        ("listens on", ", ".join(seen["listeners"]) or "nothing any more"),
        ("workers", ", ".join([f"{counts['ready']} of {counts['target']} ready", *others])
            + f"; generation {seen['generation']}"),
        ("threads", f"{busy_threads(seen)} of {seen['threads']} busy"),
        ("connections", f"{seen['connections']} open, {seen['parked']} parked, {seen['waiting']} waiting"),
        ("event loop", f"{time(lag['last'])} late, at worst {time(lag['worst'])}"),
        ("reload", reload(seen)),
    ]  # fmt: skip
    rows += [("recycling", "paused: workers do not boot")] * bool(seen["recycling_paused"])
    rows += [("quarantine", f"{printable(name)} for {time(left)}") for name, left in seen["quarantine"].items()]
    head = f"twistcorn {seen['version']}, pid {seen['pid']}: {seen['state']}"
    what = f" {printable(seen['app'])}" if seen["app"] else ""
    return [f"{head}{what} for {time(seen['uptime'])}", *align(rows)]


def busy_threads(seen: JSON) -> int:
    """Threads that are at work: requests beyond their number wait."""
    return int(min(seen["busy"], seen["threads"]))


def reload(seen: JSON) -> str:
    """The present reload, and the last one."""
    last = seen["reload"]["last"]
    if seen["reload"]["running"]:
        return "under way"
    if last is None:
        return "none so far"
    ago = time(max(0.0, seen["time"] - last["at"]))
    first, *_ = [*lines_of(last["problem"]), ""]
    return f"off {ago} ago: {first}" if last["problem"] else f"done {ago} ago in {time(last['took'])}"


def workers(seen: list[JSON]) -> list[str]:
    """A line for each worker, with what it does."""
    head = ("WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "CONN", "RSS", "REQUESTS", "DOING")
    rows = [
        (
            str(each["worker"]), str(each["pid"]), str(each["generation"]), state(each), time(each["age"]),
            f"{each['busy']}/{each['threads']}", str(each["connections"]), memory(each["rss"]),
            str(each["requests"]), doing(each["doing"]),
        )
        for each in seen
    ]  # fmt: skip
    return align([head, *rows], _NUMBERS_OF_WORKERS)


def state(worker: JSON) -> str:
    """A worker's state, and why it is to be replaced."""
    return f"{worker['state']} ({worker['outdated']})" if worker["outdated"] else str(worker["state"])


def memory(rss: int) -> str:
    """The memory of a worker; nobody has looked yet when it is 0."""
    return size(rss) if rss else "-"


def doing(requests: list[JSON]) -> str:
    """The oldest request of a worker, and how many more there are."""
    if not requests:
        return "-"
    more = f" and {len(requests) - 1} more" if len(requests) > 1 else ""
    return f"{printable(requests[0]['request'])} for {time(requests[0]['age'])}{more}"


def connections(seen: list[JSON]) -> list[str]:
    """A line for each connection."""
    head = ("SLOT", "PEER", "WORKER", "AGE", "STATE", "RECEIVED", "SENT", "REQUEST")
    rows = [
        (
            str(each["slot"]), each["peer"] or "unix", "-" if each["worker"] is None else str(each["worker"]),
            time(each["age"]), each["state"], size(each["received"]), size(each["sent"]),
            printable(each["request"]) + (f" for {time(each['request_age'])}" if each["request_age"] else ""),
        )
        for each in seen
    ]  # fmt: skip
    return align([head, *rows], _NUMBERS_OF_CONNECTIONS)


def settings(seen: list[JSON]) -> list[str]:
    """A line for each setting."""
    head = ("NAME", "VALUE", "ORIGIN", "CHANGES")
    rows = [(each["name"], value(each["value"]), printable(str(each["origin"])), each["change"]) for each in seen]
    return align([head, *rows])


def value(setting: object) -> str:
    """A setting's value as its option takes it."""
    if isinstance(setting, list | tuple):
        return printable(",".join(map(str, setting)))
    return printable(f"{setting:g}" if isinstance(setting, float) else str(setting))


def log(entries: list[JSON]) -> Iterator[str]:
    """Events of the log, each with its time; further lines of an event are indented."""
    for entry in entries:
        clock = strftime("%Y-%m-%d %H:%M:%S", localtime(entry["time"]))
        first, *rest = [*lines_of(entry["text"]), ""][: max(1, len(entry["text"].splitlines()))]
        yield f"{clock} {entry['level']:<8} {first}"
        yield from (f"    {line}" for line in rest)


def stack(seen: JSON) -> list[str]:
    """Where the threads of a worker are, and what runs in them."""
    requests = [f"running: {printable(each['request'])} for {time(each['age'])}" for each in seen["doing"]]
    return [f"worker {seen['worker']} (pid {seen['pid']})", *requests, "", *lines_of(seen["stack"] or "")]
