"""The state of `top`, and what a key changes.

Law: pure. A key that changes the server asks first; only `y` makes an `Action` of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .tables import left_out
from .units import time

JSON = dict[str, Any]

#: Sort orders of the table of workers, as the key cycles through them; all but `worker` show the largest first.
ORDERS = ("worker", "rate", "busy", "rss", "age")

#: Key sequences of terminals (ECMA-48, and xterm's application mode).
_SEQUENCES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"\x03": "q", b"\x04": "q",
}  # fmt: skip


class Action(NamedTuple):
    """A request to the server."""

    command: str
    arguments: dict[str, int]


class Question(NamedTuple):
    """An action to confirm."""

    text: str
    action: Action


@dataclass(frozen=True)
class View:
    """The state of the view.

    :ivar selected: the number of a worker; None: none.
    :ivar message: the result of the last action.
    :ivar over: the user quits.
    """

    order: str = ORDERS[0]
    paused: bool = False
    selected: int | None = None
    question: Question | None = None
    message: str = ""
    over: bool = False


class Ranked(NamedTuple):
    """A worker of a snapshot, and its requests per second since the snapshot before."""

    worker: JSON
    rate: float


def rank(snapshot: JSON, previous: JSON | None, order: str) -> list[Ranked]:
    """The workers, sorted, each with its rate."""
    rates = _rates(snapshot, previous)
    ranked = [Ranked(worker, rates[worker["worker"]]) for worker in snapshot["workers"]]
    if order == "rate":
        return sorted(ranked, key=lambda each: -each.rate)
    if order == "worker":
        return ranked
    return sorted(ranked, key=lambda each: -each.worker[order])


def _rates(snapshot: JSON, previous: JSON | None) -> dict[int, float]:
    before = {each["worker"]: each["requests"] for each in previous["workers"]} if previous else {}
    elapsed = snapshot["status"]["uptime"] - previous["status"]["uptime"] if previous else 0.0
    rates = {}
    for each in snapshot["workers"]:
        # A new worker has answered all of its requests since.
        more = each["requests"] - before.get(each["worker"], 0)
        rates[each["worker"]] = max(0.0, more / elapsed) if elapsed > 0 else 0.0
    return rates


def keys(data: bytes) -> list[str]:
    """The keys in the bytes of a terminal; unknown sequences are skipped."""
    found = []
    while data:
        sequence = next((each for each in _SEQUENCES if data.startswith(each)), None)
        if sequence is not None:
            found.append(_SEQUENCES[sequence])
            data = data[len(sequence) :]
        elif data[:1] == b"\x1b":
            # The remainder of an unknown sequence.
            break
        else:
            found.append(data[:1].decode("latin-1"))
            data = data[1:]
    return found


def press(view: View, key: str, snapshot: JSON, previous: JSON | None) -> tuple[View, Action | None]:
    """The view after a key, and the request to the server that follows."""
    if view.question is not None:
        answered = replace(view, question=None, message="" if key == "y" else "cancelled")
        return answered, view.question.action if key == "y" else None
    if key == "q":
        return replace(view, over=True), None
    if key == "p":
        return replace(view, paused=not view.paused), None
    if key == "r":
        return replace(view, order=ORDERS[(ORDERS.index(view.order) + 1) % len(ORDERS)]), None
    if key in ("up", "down"):
        return replace(view, selected=_next(view, -1 if key == "up" else 1, snapshot, previous)), None
    question = _question(view, key, snapshot)
    return (replace(view, question=question, message=""), None) if question else (view, None)


def done(action: Action, result: JSON) -> str:
    """The message after an action that the server has carried out."""
    if action.command == "scale":
        return f"worker target set to {result['workers']}"
    if action.command == "recycle":
        return f"replacing worker {result['worker']}"
    return "; ".join([f"reloaded in {time(result['took'])}", *left_out(result)])


def _next(view: View, step: int, snapshot: JSON, previous: JSON | None) -> int | None:
    """The worker above or below the selected one; without one, the first or the last."""
    idents = [each.worker["worker"] for each in rank(snapshot, previous, view.order)]
    if not idents:
        return None
    if view.selected not in idents:
        return int(idents[0 if step > 0 else -1])
    return int(idents[min(max(idents.index(view.selected) + step, 0), len(idents) - 1)])


def _question(view: View, key: str, snapshot: JSON) -> Question | None:
    target = snapshot["status"]["workers"]["target"]
    if key in ("+", "-"):
        wanted = target + (1 if key == "+" else -1)
        return Question(f"scale from {target} to {wanted}", Action("scale", {"workers": wanted}))
    if key == "R":
        return Question("reload settings and app", Action("reload", {}))
    if key == "c" and view.selected is not None:
        return Question(f"replace worker {view.selected}", Action("recycle", {"worker": view.selected}))
    return None
