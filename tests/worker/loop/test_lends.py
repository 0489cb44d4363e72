"""The worker's end of the channel: every lend is reported, in order, however slow the master is."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from twistcorn.wire import channel
from twistcorn.wire.channel import MAX_LENDS, MAX_REPORTS, REPORTS_SIZE, Kind, Lend, Report
from twistcorn.worker.loop.lends import MESSAGES_AT_ONCE, LendChannel


class Worker:
    """A channel, the master's end in the test's hands.

    :ivar adopted: descriptors and lends that came.
    """

    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.master, self.sock = channel.pair()
        self.adopted: list[tuple[int, Lend]] = []
        self.adopt: Callable[[int, Lend], None] = lambda descriptor, lend: None
        self.lends = LendChannel(self.reactor, self.sock, self._take)
        self.lends.startReading()

    def _take(self, descriptor: int, lend: Lend) -> None:
        self.adopted.append((descriptor, lend))
        self.adopt(descriptor, lend)

    def lend(self, *slots: int) -> list[Lend]:
        """The master lends a connection for each slot; the sequence is ten times it."""
        lends = [Lend(slot, slot * 10, 0) for slot in slots]
        file = os.memfd_create("connection")
        channel.send_lends(self.master, [file] * len(lends), lends)
        os.close(file)
        return lends

    def reports(self) -> list[Report]:
        """What the master can read."""
        told: list[Report] = []
        while True:
            try:
                told += channel.unpack_reports(self.master.recv(REPORTS_SIZE))
            except BlockingIOError:
                return told

    def read(self) -> None:
        """What the loop does when there is something to read, and before it waits again."""
        self.lends.doRead()
        self.lends.flush()

    def close(self) -> None:
        for descriptor, _ in self.adopted:
            os.close(descriptor)
        self.master.close()
        self.sock.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def taken(*slots: int) -> list[Report]:
    return [Report(Kind.TAKEN, slot, slot * 10) for slot in slots]


class TestLends:
    def test_no_number_can_be_had(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that came as a standard descriptor goes back, as if the kernel had cut it off, and is closed here."""
        lend = Lend(1, 10, 0)
        closed: list[int] = []

        def lift(number: int) -> int:
            raise OSError(errno.EMFILE, "no more")

        monkeypatch.setattr("twistcorn.worker.loop.lends.lift", lift)
        monkeypatch.setattr("twistcorn.worker.loop.lends.os", SimpleNamespace(close=closed.append))
        worker.lends._take([0], [lend])
        worker.lends.flush()
        assert worker.reports() == [Report(Kind.RELEASED, 1, 10)]
        assert (closed, worker.adopted) == ([0], [])

    def test_connections_come(self, worker: Worker) -> None:
        """Each is handed on with its lend, and reported as taken."""
        lends = worker.lend(1, 2) + worker.lend(3)
        worker.read()

        assert [lend for _, lend in worker.adopted] == lends
        assert all(os.fstat(descriptor) for descriptor, _ in worker.adopted)
        assert worker.reports() == taken(1, 2, 3)

    def test_descriptors(self, worker: Worker) -> None:
        """They are closed in programs that the application starts."""
        worker.lend(1)
        worker.read()

        assert not os.get_inheritable(worker.adopted[0][0])

    def test_connection_is_dead_already(self, worker: Worker) -> None:
        """It is reported as taken, then as closed."""
        worker.adopt = lambda descriptor, lend: worker.lends.report(Kind.CLOSED, lend.slot, lend.sequence)
        worker.lend(1, 2)
        worker.read()

        assert worker.reports() == [
            Report(Kind.TAKEN, 1, 10),
            Report(Kind.CLOSED, 1, 10),
            Report(Kind.TAKEN, 2, 20),
            Report(Kind.CLOSED, 2, 20),
        ]

    @pytest.mark.parametrize("room", [0, 1, 3])
    def test_limit_of_open_files(self, worker: Worker, room: int) -> None:
        """Lends that the kernel cut off are given back, the others are taken."""
        worker.lend(1, 2, 3, 4)
        with files_left(room):
            worker.read()

        kinds = {report.slot: Kind(report.kind) for report in worker.reports()}
        assert kinds == {slot: Kind.TAKEN if slot <= room else Kind.RELEASED for slot in (1, 2, 3, 4)}
        assert [lend.slot for _, lend in worker.adopted] == list(range(1, room + 1))

    def test_many_messages(self, worker: Worker) -> None:
        """Other descriptors are served in between."""
        for slot in range(MESSAGES_AT_ONCE + 1):
            worker.lend(slot)
        worker.read()
        assert len(worker.adopted) == MESSAGES_AT_ONCE

        worker.read()
        assert worker.reports() == taken(*range(MESSAGES_AT_ONCE + 1))

    def test_full_message(self, worker: Worker) -> None:
        """As many as the master may send at once are taken at once."""
        worker.lend(*range(MAX_LENDS))
        worker.read()

        assert worker.reports() == taken(*range(MAX_LENDS))

    @pytest.mark.parametrize("unread", [False, True])
    def test_master_is_gone(self, worker: Worker, unread: bool) -> None:
        """The channel is no longer read, and nothing is raised."""
        if unread:
            worker.lends.report(Kind.CLOSED, 1, 10)
            worker.lends.flush()
        worker.master.close()
        worker.read()
        worker.lends.report(Kind.CLOSED, 2, 20)
        worker.lends.flush()

        assert worker.reactor.getReaders() == []
        assert worker.reactor.getWriters() == []
        assert worker.reactor.getDelayedCalls() == []


class files_left:
    """Lower the limit of open files so that only this number can be opened."""

    def __init__(self, room: int) -> None:
        self._room = room

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = [os.dup(0) for _ in range(self._room + 1)]
        for descriptor in free:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free), self._limits[1]))

    def __exit__(self, *reason: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


class TestReports:
    def test_several_reports(self, worker: Worker) -> None:
        """They leave together, when the loop says so."""
        for slot in (1, 2, 3):
            worker.lends.report(Kind.CLOSED, slot, slot * 10)
        assert worker.reports() == []

        worker.lends.flush()
        assert len(channel.unpack_reports(worker.master.recv(REPORTS_SIZE))) == 3
        assert worker.reports() == []

    def test_more_than_a_message_holds(self, worker: Worker) -> None:
        """They leave in several, in order."""
        for slot in range(2 * MAX_REPORTS + 5):
            worker.lends.report(Kind.RELEASED, slot, 1)
        worker.lends.flush()

        assert [report.slot for report in worker.reports()] == list(range(2 * MAX_REPORTS + 5))
        assert worker.reactor.getDelayedCalls() == []

    def test_master_does_not_read(self, worker: Worker) -> None:
        """Reports that find no room wait, in order, and leave later; none is lost or sent twice."""
        worker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        count = 0
        while worker.lends not in worker.reactor.getWriters():
            worker.lends.report(Kind.CLOSED, count, 1)
            worker.lends.flush()
            count += 1
            assert count < 10_000
        for _ in range(300):
            worker.lends.report(Kind.CLOSED, count, 1)
            count += 1

        told = worker.reports()
        while worker.lends in worker.reactor.getWriters():
            worker.lends.doWrite()
            told += worker.reports()
        assert [report.slot for report in told] == list(range(count))
