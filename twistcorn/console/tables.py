"""The answers of the server as text for people.

Law: pure: plain values in, lines out. docs/control.md has the names and units of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import localtime, strftime
from typing import Any

from .units import align, lines_of, printable, rate, size, time

JSON = dict[str, Any]

#: The right-aligned columns of the table of workers, and of the table of connections.
_NUMBERS_OF_WORKERS = (0, 1, 2, 4, 5, 6, 7, 8)
_NUMBERS_OF_CONNECTIONS = (0, 2, 3, 5, 6)


def status(seen: JSON) -> list[str]:
    """The server as a whole."""
    counts = seen["workers"]
    others = [f"{counts[state]} {state}" for state in counts if state not in ("target", "ready") and counts[state]]
    lag = seen["lag"]
    rows = [
        ("listening on", ", ".join(seen["listeners"]) or "nothing"),
        ("workers", ", ".join([f"{counts['ready']} of {counts['target']} ready", *others])
            + f"; generation {seen['generation']}"),
        ("requests", requests(seen)),
        ("threads", f"{busy_threads(seen)} of {seen['threads']} busy, queue {seen['queue']}"),
        ("memory", f"{size(seen['memory'])}, master and workers"),
        ("connections", f"{seen['connections']} open, {seen['parked']} parked, {seen['waiting']} waiting"),
        ("event loop", f"lag {time(lag['last'])}, max {time(lag['worst'])} in the last minute"),
        ("reload", reload(seen)),
    ]  # fmt: skip
    rows += [("recycling", "paused: new workers do not boot")] * bool(seen["recycling_paused"])
    rows += [("quarantine", f"{printable(name)}, {time(left)} left") for name, left in seen["quarantine"].items()]
    head = f"twistcorn {seen['version']}, pid {seen['pid']}: {seen['state']}"
    what = f" {printable(seen['app'])}" if seen["app"] else ""
    return [f"{head}{what}, up {time(seen['uptime'])}", *align(rows)]


def busy_threads(seen: JSON) -> int:
    """Busy threads; requests beyond the number of threads wait."""
    return int(min(seen["busy"], seen["threads"]))


def requests(seen: JSON) -> str:
    """The requests of the last seconds: how many, how many failed, how slow."""
    recent = seen["requests"]
    p99 = "-" if recent["p99"] is None else time(recent["p99"])
    return f"{rate(recent['rate'])}, errors {rate(recent['errors'])}, p99 {p99} (last {recent['seconds']:.0f} s)"


def left_out(reloaded: JSON) -> list[str]:
    """What a reload did not change, as a line; none when it changed everything."""
    names = ", ".join(f"--{name}" for name in reloaded["needs_restart"])
    return [f"not applied, restart the server to change: {names}"] if names else []


def reload(seen: JSON) -> str:
    """The present reload, or the last one."""
    last = seen["reload"]["last"]
    if seen["reload"]["running"]:
        return "in progress"
    if last is None:
        return "none yet"
    ago = time(max(0.0, seen["time"] - last["at"]))
    if last["problem"]:
        return f"cancelled {ago} ago: {[*lines_of(last['problem']), ''][0]}"
    return "; ".join([f"done {ago} ago in {time(last['took'])}", *left_out(last)])


def workers(seen: list[JSON]) -> list[str]:
    """A line for each worker, with the requests that run in it."""
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
    """A worker's state, and why it is being replaced."""
    return f"{worker['state']} ({worker['outdated']})" if worker["outdated"] else str(worker["state"])


def memory(rss: int) -> str:
    """The memory of a worker; 0: not measured yet."""
    return size(rss) if rss else "-"


def doing(requests: list[JSON]) -> str:
    """The oldest request in a worker, and how many more run."""
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
    rows = [(each["name"], shown(each), printable(str(each["origin"])), each["change"]) for each in seen]
    return align([head, *rows])


def shown(setting: JSON) -> str:
    """The value of a setting; where it is a range, with the present number."""
    return value(setting["value"]) + (f" (now {setting['now']})" if "now" in setting else "")


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
    """The requests that run in a worker, and the stacks of its threads."""
    requests = [f"running: {printable(each['request'])} for {time(each['age'])}" for each in seen["doing"]]
    return [f"worker {seen['worker']} (pid {seen['pid']})", *requests, "", *lines_of(seen["stack"] or "")]
