"""The claims of twistcorn.master.control.orders: what is not exactly a request is refused, in one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.errors import OperationError
from twistcorn.master.control.orders import COMMANDS, ControlRequest, read

#: A request of each command.
WHOLE: dict[str, dict[str, object]] = {
    "scale": {"workers": 3}, "drain": {"worker": 1}, "recycle": {"worker": 1}, "stack": {"worker": 1},
    "set": {"name": "threads", "value": "4"},
}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
#: Objects that are nearly requests.
NEARLY = st.fixed_dictionaries(
    {"command": st.sampled_from([*COMMANDS, "", "run"])},
    optional=dict.fromkeys(("worker", "workers", "name", "value", "count", "follow", "quick", "more"), JSON),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_whole_request(command: str) -> None:
    """It is understood, and has every argument."""
    given = WHOLE.get(command, {})
    request = read(json.dumps({"command": command, **given}).encode())

    assert request.command == command
    assert [*request.arguments] == [argument.name for argument in COMMANDS[command]]
    assert given.items() <= request.arguments.items()


def test_defaults() -> None:
    """What may be left out has its default."""
    assert read(b'{"command": "logs"}') == ControlRequest("logs", {"count": 100, "follow": False})
    assert read(b'{"command": "get"}') == ControlRequest("get", {"name": ""})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "invalid request: expected one line of JSON"),
        (b"status", "invalid request: expected one line of JSON"),
        (b"\xff\xfe", "invalid request: expected one line of JSON"),
        (b"[" * 60_000, "invalid request: expected one line of JSON"),
        (b"[1]", "invalid request: expected an object"),
        (b"{}", "unknown command null; commands: status, workers"),
        (b'{"command": 1}', "unknown command 1;"),
        (b'{"command": ["status"]}', 'unknown command ["status"];'),
        (b'{"command": "_do_status"}', 'unknown command "_do_status";'),
        (b'{"command": "scale"}', "scale: missing argument workers"),
        (b'{"command": "scale", "workers": null}', "scale: missing argument workers"),
        (b'{"command": "scale", "workers": "3"}', 'scale: invalid value "3" for workers: expected a whole number'),
        (b'{"command": "scale", "workers": 3.0}', "scale: invalid value 3.0 for workers: expected a whole number"),
        (b'{"command": "scale", "workers": true}', "scale: invalid value true for workers: expected a whole number"),
        (b'{"command": "stop", "quick": 1}', "stop: invalid value 1 for quick: expected true or false"),
        (b'{"command": "set", "name": "x", "value": 1}', "set: invalid value 1 for value: expected text without"),
        (b'{"command": "get", "name": "a\\nb"}', 'get: invalid value "a\\nb" for name: expected text without'),
        (b'{"command": "get", "name": "\\ud800"}', "expected text without control characters"),
        (b'{"command": "status", "json": true}', 'status: unknown argument "json"; arguments: none'),
        (b'{"command": "scale", "workers": 3, "by": 1}', 'scale: unknown argument "by"; arguments: workers'),
    ],
)
def test_what_is_wrong_is_said(line: bytes, said: str) -> None:
    """The refusal shows it, and what is allowed."""
    with pytest.raises(OperationError) as caught:
        read(line)
    assert said in str(caught.value)


def test_any_depth() -> None:
    """Also where a value can just be read, and not be written any more: reading and writing nest differently."""
    for depth in (0, 1, *range(800, 1200), 10_000):
        with pytest.raises(OperationError):
            read(b'{"command": %s%s}' % (b"[" * depth, b"]" * depth or b"1"))


def test_a_huge_value_is_shown_in_part() -> None:
    """A refusal is short, whatever was sent."""
    with pytest.raises(OperationError) as caught:
        read(json.dumps({"command": "x" * 50_000}).encode())
    assert len(str(caught.value)) < 400


@given(line=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())
       | NEARLY.map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_line(line: bytes) -> None:
    """It is a request with all arguments, each of its type, or it is refused in one line of ASCII."""
    refusal, request = "", None
    try:
        request = read(line)
    except OperationError as error:
        refusal = str(error)
    if request is None:
        assert refusal
        assert refusal.isascii()
        assert refusal.isprintable()
        return
    kinds = [(argument.name, argument.kind) for argument in COMMANDS[request.command]]
    assert [(name, type(value)) for name, value in request.arguments.items()] == kinds
