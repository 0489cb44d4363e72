"""The claims of twistcorn.wire.amp_commands: one table of every command, read in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols import amp
from twisted.python.failure import Failure

from twistcorn.master.workers.process import MasterProtocol
from twistcorn.policy.worker import Worker
from twistcorn.wire import amp_commands as commands
from twistcorn.wire.amp_commands import MAX_TEXT, cut
from twistcorn.worker.amp_child import WorkerChild

#: (command, its arguments, the box that travels)
TABLE: list[tuple[type[amp.Command], dict[str, Any], dict[bytes, bytes]]] = [
    (
        commands.Boot,
        {
            "version": "1.2.3",
            "settings": b'{"app": "app:app"}',
            "listeners": b'[[2, "127.0.0.1", 8000]]',
            "worker": 12,
            "region": 511,
            "generation": 3,
            "workers": 512,
            "slots": 65536,
        },
        {
            b"version": b"1.2.3",
            b"settings": b'{"app": "app:app"}',
            b"listeners": b'[[2, "127.0.0.1", 8000]]',
            b"worker": b"12",
            b"region": b"511",
            b"generation": b"3",
            b"workers": b"512",
            b"slots": b"65536",
        },
    ),
    (commands.Drain, {}, {}),
    (commands.Stop, {"quick": False}, {b"quick": b"False"}),
    (commands.Stop, {"quick": True}, {b"quick": b"True"}),
    (commands.Reopen, {}, {}),
    (commands.Stack, {}, {}),
    (commands.Release, {"count": 3}, {b"count": b"3"}),
    (commands.Configure, {"settings": b'{"threads": 9}'}, {b"settings": b'{"threads": 9}'}),
    (
        commands.Ready,
        {"app": "café.wsgi:app", "how": "found in wsgi.py"},
        {b"app": "café.wsgi:app".encode(), b"how": b"found in wsgi.py"},
    ),
    (commands.Ready, {"app": "", "how": ""}, {b"app": b"", b"how": b""}),
    (commands.BootFailed, {"message": "no module\n  named “x”"}, {b"message": "no module\n  named “x”".encode()}),
    (commands.Leaving, {}, {}),
    (commands.Emptied, {}, {}),
    (commands.Overdue, {"name": "GET /report [a-1]", "age": 31000}, {b"name": b"GET /report [a-1]", b"age": b"31000"}),
    (
        commands.Stuck,
        {"requests": [{"slot": 7, "since": 123456789012345}]},
        {b"requests": b"\x00\x05since\x00\x0f123456789012345\x00\x04slot\x00\x017\x00\x00"},
    ),
    (
        commands.SetQuarantine,
        {"names": [{"name": "GET /b", "time": 300000}]},
        {b"names": b"\x00\x04name\x00\x06GET /b\x00\x04time\x00\x06300000\x00\x00"},
    ),
    (commands.Export, {"offset": 60000}, {b"offset": b"60000"}),
    (commands.Exported, {"data": b"[]", "last": True}, {b"data": b"[]", b"last": b"True"}),
]

ORDERS = [commands.Boot, commands.Drain, commands.Stop, commands.Reopen, commands.Release, commands.SetQuarantine]
ORDERS += [commands.Export, commands.Stack, commands.Configure]
REPORTS = [commands.Ready, commands.BootFailed, commands.Leaving, commands.Emptied, commands.Stuck]
REPORTS += [commands.Exported, commands.Overdue]

every_row = pytest.mark.parametrize(("command", "arguments", "box"), TABLE, ids=[row[0].__name__ for row in TABLE])


class Boxes:
    """Collects the boxes that a stream of bytes holds."""

    def __init__(self) -> None:
        self.received: list[dict[bytes, bytes]] = []
        self.protocol = amp.BinaryBoxProtocol(self)
        self.protocol.makeConnection(StringTransport())

    def startReceivingBoxes(self, sender: object) -> None:
        """As IBoxReceiver."""

    def ampBoxReceived(self, box: dict[bytes, bytes]) -> None:
        self.received.append(dict(box))

    def stopReceivingBoxes(self, reason: object) -> None:
        """As IBoxReceiver."""


class TestTable:
    def test_every_command_has_a_row(self) -> None:
        """The table has every AMP command of master and worker."""
        known = {v for v in vars(commands).values() if isinstance(v, type) and issubclass(v, amp.Command)}

        assert {row[0] for row in TABLE} == known == {*ORDERS, *REPORTS}

    @every_row
    def test_it_is_sent(
        self, command: type[amp.Command], arguments: dict[str, Any], box: dict[bytes, bytes]
    ) -> None:
        """Values become this box."""
        assert command.makeArguments(arguments, None) == box

    @every_row
    def test_it_is_received(
        self, command: type[amp.Command], arguments: dict[str, Any], box: dict[bytes, bytes]
    ) -> None:
        """The box becomes the values again."""
        assert command.parseArguments(amp.Box(box), None) == arguments

    def test_stream_arrives_whole(self) -> None:
        """All of them in a row, in one piece, are the boxes that were sent."""
        boxes = Boxes()
        boxes.protocol.dataReceived(stream())

        assert boxes.received == [named(command, box) for command, _, box in TABLE]

    def test_stream_arrives_byte_by_byte(self) -> None:
        """However a pipe cuts the stream, the boxes are the same, and an incomplete one waits for its remainder."""
        boxes = Boxes()
        for byte in stream() + b"\x00":
            boxes.protocol.dataReceived(bytes([byte]))

        assert boxes.received == [named(command, box) for command, _, box in TABLE]

    @pytest.mark.parametrize("command", ORDERS)
    def test_worker_answers_orders(self, command: type[amp.Command]) -> None:
        """A worker has a responder for every order, and for no report."""
        assert WorkerChild(None).locateResponder(command.commandName) is not None
        assert MasterProtocol(a_worker(), Listener()).locateResponder(command.commandName) is None

    @pytest.mark.parametrize("command", REPORTS)
    def test_master_answers_reports(self, command: type[amp.Command]) -> None:
        """The master has a responder for every report, and for no order."""
        assert MasterProtocol(a_worker(), Listener()).locateResponder(command.commandName) is not None
        assert WorkerChild(None).locateResponder(command.commandName) is None


class TestCut:
    def test_text_fits(self) -> None:
        """What fits is left alone."""
        assert cut("x" * MAX_TEXT) == "x" * MAX_TEXT

    def test_text_is_too_long(self) -> None:
        """The end stays: the last lines of a traceback say what happened."""
        assert cut("first line\n" + "x" * MAX_TEXT) == "x" * MAX_TEXT

    def test_cut_falls_into_a_character(self) -> None:
        """A character of several bytes is kept whole or not at all."""
        assert cut("é" * MAX_TEXT + "x") == "é" * (MAX_TEXT // 2 - 1) + "x"

    def test_text_that_utf8_cannot_write(self) -> None:
        """A file name may contain half a character: a mark replaces it, and all else stays."""
        assert cut("no file \udcff.py") == "no file ?.py"

    @given(st.text(), st.integers(0, MAX_TEXT))
    def test_any_text(self, end: str, filling: int) -> None:
        """Any text, cut, can be sent as the message of a failed boot."""
        box = commands.BootFailed.makeArguments({"message": cut("-" * filling + end * 9)}, None)

        assert amp.parseString(box.serialize()) == [box]


class TestQuietAMP:
    def test_worker_comes_and_goes(self) -> None:
        """A connection is not logged: the supervisor logs what happens to a worker."""
        with capturedLogs() as logged:
            protocol = commands.QuietAMP()
            protocol.makeConnection(StringTransport())
            protocol.connectionLost(Failure(connectionDone.value))

        assert logged == []

    def test_order_after_the_end(self) -> None:
        """An order to a worker that is gone fails its Deferred, and does not raise in the caller."""
        protocol = commands.QuietAMP()
        protocol.makeConnection(StringTransport())
        protocol.connectionLost(Failure(connectionDone.value))
        failures: list[Failure] = []
        protocol.callRemote(commands.Drain).addErrback(failures.append)

        assert [failure.type for failure in failures] == [type(connectionDone.value)]


class Listener:
    """An owner that ignores its events."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def a_worker() -> Worker:
    return Worker(1, 0, 1, None)


def named(command: type[amp.Command], box: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """A box as a question of AMP."""
    return {**box, b"_command": command.commandName, b"_ask": b"1"}


def stream() -> bytes:
    """Every row of the table, one after the other."""
    return b"".join(amp.Box(named(command, box)).serialize() for command, _, box in TABLE)
