"""Requests on the control socket: one table of the commands and their arguments, and the check of a line.

Law: pure. Anything that the table does not allow is refused with one line; an accepted command has all its arguments,
of the right types.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...errors import OperationError

#: Of an invalid value that a refusal quotes: enough to recognize it.
SHOWN_CHARS = 60


class Argument(NamedTuple):
    """One argument of a command.

    :ivar kind: its type in Python.
    :ivar default: None: the argument is required.
    """

    name: str
    kind: type
    default: object = None


class ControlRequest(NamedTuple):
    """A request, complete and checked."""

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
#: Commands whose answer has no end: a line for each event.
FOLLOWING = ("watch", "logs")

_KINDS = {int: "a whole number", str: "text without control characters", bool: "true or false"}


def read(line: bytes) -> ControlRequest:
    """The request in a line.

    :raises OperationError: what is wrong, and what is expected.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise OperationError("invalid request: expected one line of JSON (docs/control.md)") from None
    if not isinstance(value, dict):
        raise OperationError('invalid request: expected an object such as {"command": "status"}')
    command = value.pop("command", None)
    if not isinstance(command, str) or command not in COMMANDS:
        raise OperationError(f"unknown command {shown(command)}; commands: {', '.join(COMMANDS)}")
    return ControlRequest(command, _arguments(command, value))


def _arguments(command: str, given: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for name, kind, default in COMMANDS[command]:
        value = given.pop(name, default)
        if value is None:
            raise OperationError(f"{command}: missing argument {name}")
        # Exactly this type: true is an int in Python.
        if type(value) is not kind or (isinstance(value, str) and not value.isprintable()):
            raise OperationError(f"{command}: invalid value {shown(value)} for {name}: expected {_KINDS[kind]}")
        arguments[name] = value
    if given:
        allowed = ", ".join(argument.name for argument in COMMANDS[command]) or "none"
        raise OperationError(f"{command}: unknown argument {shown(next(iter(given)))}; arguments: {allowed}")
    return arguments


def shown(value: object) -> str:
    """A value as a refusal quotes it: JSON, in one short line."""
    try:
        text = json.dumps(value)
    except RecursionError:
        # json.loads allows a little more nesting than json.dumps.
        return "(nested too deeply)"
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
