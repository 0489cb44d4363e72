"""What the tests of the control socket share: a supervisor on its stage, a clerk, and sessions without sockets.

Law: the parts are the real ones, but for what `Changeable` says in the place of the settings that change.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import StringTransport

from tests.master.stage import Stage
from twistcorn.errors import OperationError, SettingsError
from twistcorn.master.control.commands import ControlCommands
from twistcorn.master.control.operations import Operations
from twistcorn.master.control.recent import Recent
from twistcorn.master.control.session import Session
from twistcorn.master.metrics.insight import Insight
from twistcorn.wire.control import encode

THREADS = {"name": "threads", "value": 8, "origin": "default", "change": "live"}


class Changeable(Operations):
    """Operations with one setting, `threads`, that allows 1 to 1024; a strict fake of `get` and `set`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.threads = dict(THREADS)

    def get(self, name: str = "") -> list[dict[str, Any]]:
        assert isinstance(name, str)
        if name not in ("", "threads"):
            raise OperationError(f"unknown setting {name!r}")
        return [dict(self.threads)]

    def set(self, name: str, value: str) -> dict[str, Any]:
        assert isinstance(value, str)
        self.get(name)
        if not value.isdecimal() or not 1 <= int(value) <= 1024:
            raise SettingsError(f"invalid value {value!r} for threads: expected a whole number from 1 to 1024")
        self.threads = {**THREADS, "value": int(value), "origin": "set"}
        return self.threads


class Line(StringTransport):
    """A transport that keeps what was sent, and knows how it ended."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What came since the last time."""
        lines = self.value().splitlines()
        self.clear()
        return [json.loads(line) for line in lines]

    @property
    def answer(self) -> dict[str, Any]:
        """The one answer that came."""
        (only,) = self.answers
        return only


class Reception:
    """A server that can be asked.

    :ivar stops: how the program was told to stop.
    :ivar gone: the sessions that are over.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.stops: list[bool] = []
        self.gone: list[Session] = []
        self.recent = Recent(lambda call, *arguments: call(*arguments))
        insight = Insight(
            stage.supervisor, stage.dispatcher, stage.table, stage.board, lambda: ["http://127.0.0.1:8000"],
            stage.clock.seconds, wall=stage.clock.seconds,
        )  # fmt: skip
        self.operations: Changeable | None = Changeable(stage.supervisor, insight)
        self.clerk = ControlCommands(stage.clock, lambda: self.operations, self.recent, self.stops.append)

    def connect(self, clerk: ControlCommands | None = None) -> tuple[Session, Line]:
        """A client."""
        session, line = Session(clerk or self.clerk, self.gone.append), Line()
        session.makeConnection(line)
        return session, line

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """The answer to one request on a connection of its own."""
        session, line = self.connect()
        session.dataReceived(encode({"command": command, **arguments}))
        return line.answer
