"""Requests on the control socket: every command with its arguments, in one table, and the check of a line.

Law: pure. What is not exactly as the table says is refused with one line, and a command that was accepted has all its
arguments, of the right types.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...errors import OperationError

#: Characters of a wrong value that a refusal shows.
SHOWN_CHARS = 60


class Argument(NamedTuple):
    """One argument of a command.

    :ivar kind: its type in Python.
    :ivar default: what it is when it is not given; None: it must be given.
    """

    name: str
    kind: type
    default: object = None


class ControlRequest(NamedTuple):
    """What was asked, complete and checked."""

    command: str
    arguments: dict[str, Any]


_WORKER = (Argument("worker", int),)
#: docs/control.md describes them in this order.
COMMANDS: dict[str, tuple[Argument, ...]] = {
    "status": (),
    "workers": (),
    "connections": (),
    "snapshot": (),
    "watch": (),
    "reload": (),
    "scale": (Argument("workers", int),),
    "drain": _WORKER,
    "recycle": _WORKER,
    "stack": _WORKER,
    "get": (Argument("name", str, ""),),
    "set": (Argument("name", str), Argument("value", str)),
    "logs": (Argument("count", int, 100), Argument("follow", bool, False)),
    "stop": (Argument("quick", bool, False),),
}
#: Their answer has no end: a line for each event.
FOLLOWING = ("watch", "logs")

_KINDS = {int: "a whole number", str: "text without control characters", bool: "true or false"}


def read(line: bytes) -> ControlRequest:
    """The request in a line.

    :raises OperationError: with what is wrong and what is allowed.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise OperationError("invalid request: expected one line of JSON (docs/control.md)") from None
    if not isinstance(value, dict):
        raise OperationError('invalid request: expected an object such as {"command": "status"}')
    command = value.pop("command", None)
    if not isinstance(command, str) or command not in COMMANDS:
        raise OperationError(f"unknown command {shown(command)}; known commands: {', '.join(COMMANDS)}")
    return ControlRequest(command, _arguments(command, value))


def _arguments(command: str, given: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for name, kind, default in COMMANDS[command]:
        value = given.pop(name, default)
        if value is None:
            raise OperationError(f"{command}: {name} is missing")
        # Exactly this type: true is an int in Python.
        if type(value) is not kind or (isinstance(value, str) and not value.isprintable()):
            raise OperationError(f"{command}: invalid value {shown(value)} for {name}: expected {_KINDS[kind]}")
        arguments[name] = value
    if given:
        allowed = ", ".join(argument.name for argument in COMMANDS[command]) or "none"
        raise OperationError(f"{command}: unknown argument {shown(next(iter(given)))}; known arguments: {allowed}")
    return arguments


def shown(value: object) -> str:
    """A value as a refusal shows it: JSON, in one short line."""
    try:
        text = json.dumps(value)
    except RecursionError:
        # It could just be read.
        return "nested too deep"
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
