"""The claims of twistcorn.master.sockets.dispatcher about what workers report: taken, closed, released, and
stale words.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import Desk, process
from twistcorn.master.sockets.dispatcher import RETRY_SECONDS
from twistcorn.wire.channel import Kind, Lend, Report, pack_reports

if TYPE_CHECKING:
    from twistcorn.master.sockets.table import ConnectionRecord
    from twistcorn.policy.worker import Worker


def report(desk: Desk, worker: Worker, *reports: Report) -> None:
    """A report reaches the dispatcher that a worker could not make any more, or not yet."""
    desk.dispatcher.handle_report(worker, pack_reports(reports))


def is_open(sock: socket.socket) -> bool:
    return sock.fileno() != -1


def known(desk: Desk, connection: ConnectionRecord) -> bool:
    """Whether the table still has a connection."""
    return connection in list(desk.table)


class TestTaken:
    def test_worker_takes_it(self, desk: Desk) -> None:
        """It is no longer on its way, and still with the worker."""
        worker = desk.worker()
        (connection,) = desk.arrive(1)
        assert (worker.unacknowledged, worker.connections, connection.taken) == (1, 1, False)

        desk.spawner.takes(worker)
        assert (worker.unacknowledged, worker.connections, connection.taken) == (0, 1, True)

    def test_word_comes_twice(self, desk: Desk) -> None:
        """A lend is counted once."""
        worker = desk.worker()
        desk.arrive(1)
        desk.spawner.takes(worker)
        (lend,) = process(worker).lends
        report(desk, worker, Report(Kind.TAKEN, lend.slot, lend.sequence))

        assert worker.unacknowledged == 0


class TestClosed:
    def test_worker_closes_it(self, desk: Desk) -> None:
        """The master closes its copy, the slot is free, and the listeners hear that there is room."""
        worker = desk.worker()
        (connection,) = desk.arrive(1)
        desk.spawner.takes(worker)
        rooms = desk.rooms
        desk.spawner.closes(worker, *process(worker).lends)

        assert not is_open(connection.sock)
        assert len(desk.table) == 0
        assert (worker.connections, worker.unacknowledged) == (0, 0)
        assert desk.rooms == rooms + 1

    def test_many_in_one_message(self, desk: Desk) -> None:
        """Room is told once for all of them."""
        worker = desk.worker()
        desk.arrive(10)
        desk.spawner.takes(worker)
        rooms = desk.rooms
        desk.spawner.closes(worker, *process(worker).lends)

        assert len(desk.table) == 0
        assert desk.rooms == rooms + 1

    def test_taken_and_closed_in_one_message(self, desk: Desk) -> None:
        """A short connection costs one message."""
        worker = desk.worker()
        desk.arrive(1)
        (lend,) = process(worker).lends
        taken, closed = (Report(kind, lend.slot, lend.sequence) for kind in (Kind.TAKEN, Kind.CLOSED))
        desk.spawner.reports(worker, taken, closed)

        assert len(desk.table) == 0
        assert (worker.connections, worker.unacknowledged) == (0, 0)

    def test_only_taken_is_told(self, desk: Desk) -> None:
        """No room was made, so none is told of."""
        worker = desk.worker()
        desk.arrive(1)
        rooms = desk.rooms
        desk.spawner.takes(worker)

        assert desk.rooms == rooms


class TestReleased:
    def test_worker_gives_it_back(self, desk: Desk) -> None:
        """It is lent again, with a new sequence, and stays open all the time."""
        first, second = desk.workers(2)
        (connection,) = desk.arrive(1)
        desk.spawner.takes(first)
        (before,) = process(first).lends
        desk.busy(first, 5)
        desk.spawner.releases(first, before)

        (after,) = process(second).lends
        assert (after.slot, after.listener) == (before.slot, before.listener)
        assert after.sequence != before.sequence
        assert (first.connections, second.connections) == (0, 1)
        assert is_open(connection.sock)

        assert second.unacknowledged == 1
        desk.spawner.takes(second)
        assert second.unacknowledged == 0

    def test_worker_could_not_take_it(self, desk: Desk) -> None:
        """A lend whose descriptor was cut off goes to another worker, and the full one is told and lent no more."""
        first, second = desk.workers(2)
        (connection,) = desk.arrive(1)
        since = connection.since
        desk.busy(first, 5)
        desk.spawner.releases(first, *process(first).lends)

        assert (first.connections, first.unacknowledged) == (0, 0)
        assert (first.full, second.full) == (True, False)
        assert len(process(second).lends) == 1
        desk.arrive(3)
        assert process(first).lends == []
        assert connection.since == since

    def test_no_worker_can_take_it(self, desk: Desk) -> None:
        """It waits on, first in the line, and from when it came."""
        (only,) = desk.workers(1)
        first, second = desk.arrive(2)
        since = first.since
        desk.spawner.releases(only, *process(only).lends)

        assert list(desk.dispatcher._waiting.connections) == [first, second]
        assert (first.holder, first.since) == (None, since)
        assert since > 0

    def test_worker_drains(self, desk: Desk) -> None:
        """What it gives back goes to the others; it gets nothing."""
        first, second = desk.workers(2)
        desk.arrive(4)
        desk.spawner.takes(first)
        desk.spawner.leaves(first)
        desk.spawner.releases(first, *process(first).lends)

        assert process(first).lends == []
        assert len(process(second).lends) == 4

    def test_others_wait_already(self, desk: Desk) -> None:
        """A connection that comes back goes behind those that waited for longer."""
        worker = desk.worker()
        desk.arrive(1)
        desk.spawner.takes(worker)
        desk.spawner.leaves(worker)
        desk.arrive(2)
        desk.spawner.releases(worker, *process(worker).lends)

        assert [lend.slot for lend in process(desk.worker()).lends] == [1, 2, 0]


class TestStale:
    def test_sequence_is_old(self, desk: Desk) -> None:
        """A word on an earlier lend changes nothing: the connection is another's by now."""
        first, second = desk.workers(2)
        (connection,) = desk.arrive(1)
        (old,) = process(first).lends
        desk.busy(first, 5)
        desk.spawner.releases(first, old)
        report(desk, first, Report(Kind.CLOSED, old.slot, old.sequence))

        assert known(desk, connection)
        assert connection.holder is second

    def test_slot_was_given_to_another_connection(self, desk: Desk) -> None:
        """A late word on the earlier one does not close the later one."""
        worker = desk.worker()
        desk.arrive(1)
        desk.spawner.takes(worker)
        (old,) = process(worker).lends
        desk.spawner.closes(worker, old)
        (connection,) = desk.arrive(1)
        report(desk, worker, Report(Kind.CLOSED, old.slot, old.sequence))

        assert connection.slot == old.slot
        assert is_open(connection.sock)
        assert worker.connections == 1

    def test_it_is_with_another_worker(self, desk: Desk) -> None:
        """A worker has a say on its own connections only."""
        first, second = desk.workers(2)
        (connection,) = desk.arrive(1)
        (lend,) = process(first).lends
        for kind in Kind:
            report(desk, second, Report(kind, lend.slot, lend.sequence))

        assert connection.holder is first
        assert not connection.taken
        assert (second.connections, second.unacknowledged) == (0, 0)

    def test_slot_does_not_exist(self, desk: Desk) -> None:
        """Nonsense is ignored."""
        worker = desk.worker()
        report(desk, worker, Report(Kind.CLOSED, 4_000_000, 1), Report(99, 0, 0))

        assert len(desk.table) == 0

    def test_nonsense_stands_before_sense(self, desk: Desk) -> None:
        """The rest of the message counts."""
        worker = desk.worker()
        desk.arrive(1)
        (lend,) = process(worker).lends
        report(desk, worker, Report(Kind.TAKEN, 150, 7), Report(Kind.TAKEN, *lend[:2]))

        assert worker.unacknowledged == 0


class TestLastWords:
    def test_worker_reported_before_it_died(self, desk: Desk) -> None:
        """What it closed stays closed and is not lent again; what it gave back is not counted as a death."""
        worker = desk.worker()
        connections = desk.arrive(3)
        for number in range(3):
            desk.client(number).send(b"GET")
        desk.spawner.takes(worker)
        first, second, _ = process(worker).lends
        desk.spawner.exits(
            worker,
            signal=9,
            unread=[Report(Kind.CLOSED, *first[:2]), Report(Kind.RELEASED, *second[:2])],
        )

        assert [known(desk, connection) for connection in connections] == [False, True, True]
        assert [connection.deaths for connection in connections[1:]] == [0, 1]
        assert desk.dispatcher.waiting == 2


class TestEnd:
    def test_server_ends(self, desk: Desk) -> None:
        """All that is left is closed, lent or waiting."""
        desk.worker()
        connections = desk.arrive(20)
        desk.dispatcher.close_all()

        assert len(desk.table) == desk.dispatcher.waiting == 0
        assert not any(is_open(connection.sock) for connection in connections)
        assert [desk.client(number).recv(1) for number in range(20)] == [b""] * 20


def test_lend_is_a_place_and_a_number() -> None:
    """A report names a lend by its first two fields."""
    assert Lend._fields[:2] == Report._fields[1:3]


@pytest.mark.parametrize("data", [b"x", b"\xff" * 16, struct.pack("=I", 7)], ids=["short", "no kind", "odd"])
def test_report_cannot_be_understood(desk: Desk, data: bytes) -> None:
    """It is the worker's end and nobody else's; nothing is raised into the reactor."""
    worker, other = desk.workers(2)
    desk.clock.advance(1)
    with capturedLogs() as told:
        desk.dispatcher.handle_report(worker, data)
    assert worker.channel_failed > 0
    assert len([event for event in told if "log_failure" in event]) == 1
    desk.arrive(1)
    assert (len(process(worker).lends), len(process(other).lends)) == (0, 1)


def test_error_while_connections_are_lent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and is not the fault of the worker whose report came just then."""
    worker = desk.worker()
    (connection,) = desk.arrive(1)
    monkeypatch.setattr(desk.dispatcher, "_choose_holders", lambda: 1 / 0)
    desk.file(1)
    with capturedLogs() as told:
        desk.dispatcher._waiting.enqueue([connection])
        desk.spawner.takes(worker)
    assert worker.channel_failed == 0
    assert len([event for event in told if "log_failure" in event]) == 1


def test_full_worker_of_a_server_that_stops(desk: Desk) -> None:
    """Nobody takes its place: what it sent back is lent to it again, a moment later."""
    worker = desk.worker()
    desk.arrive(1)
    desk.dispatcher.when_empty()
    desk.spawner.releases(worker, *process(worker).lends)
    assert worker in desk.dispatcher.workers
    desk.clock.advance(RETRY_SECONDS)
    assert len(process(worker).lends) == 1
