"""The claims of twistcorn.master.workers.process about what comes from a worker: reports by AMP, and those
on connections.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols import amp

from tests.master.fake_sockets import Sockets
from tests.master.stage import Told
from twistcorn.master.workers import process
from twistcorn.master.workers.process import ChannelReader, MasterProtocol
from twistcorn.policy.worker import Worker
from twistcorn.wire import amp_commands, channel
from twistcorn.wire.channel import Kind, Lend, Report, pack_reports


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a channel."""
    ours, theirs = channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


class TestReports:
    @pytest.mark.parametrize(
        ("command", "arguments", "said"),
        [
            (amp_commands.Ready, {"app": "app:app", "how": "found"}, ("booted", 7, "app:app", "found")),
            (amp_commands.BootFailed, {"message": "no\nmodule"}, ("boot failed", 7, "no\nmodule")),
            (amp_commands.Leaving, {}, ("leaving", 7)),
            (amp_commands.Emptied, {}, ("emptied", 7)),
        ],
    )
    def test_worker_reports(
        self, told: Told, worker: Worker, command: type[amp.Command], arguments: dict[str, Any], said: tuple[object]
    ) -> None:
        """The owner hears it, and the worker gets an answer."""
        transport = StringTransport()
        protocol = MasterProtocol(worker, told)
        protocol.makeConnection(transport)
        box = command.makeArguments(arguments, None)
        box.update({b"_command": command.commandName, b"_ask": b"1"})
        protocol.dataReceived(box.serialize())

        assert told.said == [said]
        assert [set(answer) for answer in amp.parseString(transport.value())] == [{b"_answer"}]

    def test_worker_prints(self, told: Told) -> None:
        """What comes on other pipes than AMP's is not ours: nothing is logged of it."""
        with capturedLogs() as logged:
            process.Connector(amp.AMP()).childDataReceived(1, b"hello\n")

        assert logged == []


class TestChannelReader:
    def test_reports_come(self, ends: tuple[socket.socket, socket.socket], told: Told, worker: Worker) -> None:
        """Each message is handed on, in order."""
        ours, theirs = ends
        reports = [Report(Kind.TAKEN, slot, 1) for slot in range(3)]
        for report in reports:
            theirs.send(pack_reports([report]))
        ChannelReader(Sockets(), ours, worker, told).doRead()

        assert told.said == [("reported", 7, report) for report in reports]

    def test_worker_died_with_lends_unread(
        self, ends: tuple[socket.socket, socket.socket], told: Told, worker: Worker
    ) -> None:
        """The kernel tells that once, before what the worker had reported: none of its words is lost."""
        ours, theirs = ends
        channel.send_lends(ours, [ours.fileno()], [Lend(1, 2, 3)])
        last_words = [Report(Kind.CLOSED, 5, 6), Report(Kind.RELEASED, 7, 8)]
        for report in last_words:
            theirs.send(pack_reports([report]))
        theirs.close()
        ChannelReader(Sockets(), ours, worker, told).read_to_end()

        assert told.said == [("reported", 7, report) for report in last_words]
        assert ours.fileno() == -1

    def test_grandchild_has_a_copy(
        self, ends: tuple[socket.socket, socket.socket], told: Told, worker: Worker
    ) -> None:
        """The end of the worker is the end: nobody waits for the end of the channel."""
        ours, theirs = ends
        theirs.send(pack_reports([Report(Kind.TAKEN, 1, 2)]))
        ChannelReader(Sockets(), ours, worker, told).read_to_end()

        assert told.said == [("reported", 7, Report(Kind.TAKEN, 1, 2))]
        assert ours.fileno() == -1

    def test_channel_ends_before_the_worker(
        self, ends: tuple[socket.socket, socket.socket], told: Told, worker: Worker
    ) -> None:
        """It is no longer watched, so that nothing spins until the exit is told."""
        ours, theirs = ends
        reactor = Sockets()
        reader = ChannelReader(reactor, ours, worker, told)
        reader.startReading()
        theirs.close()
        reactor.turn()

        assert reactor.readers == set()
        assert told.said == []

    def test_worker_reports_without_end(
        self, ends: tuple[socket.socket, socket.socket], told: Told, worker: Worker
    ) -> None:
        """Other descriptors get their turn in between."""
        ours, theirs = ends
        sent = 0
        with pytest.raises(BlockingIOError):  # noqa: PT012
            while True:
                theirs.send(pack_reports([Report(Kind.TAKEN, sent, 1)]))
                sent += 1
        reader = ChannelReader(Sockets(), ours, worker, told)
        reader.doRead()
        assert len(told.said) == min(sent, process.MESSAGES_AT_ONCE)

        reader.read_to_end()
        assert len(told.said) == sent
