"""The claims of twistcorn.master.sockets.parking: idle connections wait in the master, and lose nothing by it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.master.stage import Desk, process, tcp
from twistcorn.master.sockets import tcp_info
from twistcorn.master.sockets.parking import EVENTS_AT_ONCE, SWEEP_SECONDS
from twistcorn.master.sockets.table import ConnectionRecord
from twistcorn.wire.channel import Kind, Report
from twistcorn.wire.scoreboard import S_DEADLINE

Make = Callable[[], tuple[socket.socket, socket.socket]]


def park(desk: Desk, count: int = 1, left: float = 60.0, make: Make = tcp) -> list[ConnectionRecord]:
    """So many connections are parked by a worker, with so many seconds left."""
    worker = desk.worker()
    connections = desk.arrive(count, make)
    while any(not connection.taken for connection in connections):
        desk.spawner.takes(worker)
    for connection in connections:
        base = desk.board.slot_base(connection.slot)
        desk.board.words[base + S_DEADLINE] = int((time.monotonic() + left) * 1e9)
    for lend in process(worker).lends:
        desk.spawner.reports(worker, Report(Kind.PARKED, lend.slot, lend.sequence))
    return connections


class TestParked:
    def test_nothing_happens(self, desk: Desk) -> None:
        """No worker has it, nobody waits for one, and the client notices nothing."""
        park(desk)
        desk.clock.turn()

        (worker,) = desk.dispatcher.workers
        assert (worker.connections, desk.dispatcher.waiting, len(desk.dispatcher.parking)) == (0, 0, 1)
        assert desk.client(0).gettimeout() == 5
        desk.client(0).settimeout(0.01)
        with pytest.raises(TimeoutError):
            desk.client(0).recv(1)

    @pytest.mark.parametrize("make", [tcp, socket.socketpair], ids=["tcp", "unix"])
    def test_client_asks(self, desk: Desk, make: Make) -> None:
        """It is lent, with every byte unread."""
        (connection,) = park(desk, make=make)
        desk.client(0).sendall(b"GET")
        desk.clock.turn()

        assert [lend.slot for lend in process(desk.dispatcher.workers[0]).lends] == [connection.slot]
        assert connection.sock.recv(100) == b"GET"
        assert len(desk.dispatcher.parking) == 0

    def test_client_asked_before(self, desk: Desk) -> None:
        """What came while the worker gave it back is not forgotten."""
        worker = desk.worker()
        desk.arrive(1, tcp)
        desk.spawner.takes(worker)
        desk.client(0).sendall(b"GET")
        (lend,) = process(worker).lends
        desk.spawner.reports(worker, Report(Kind.PARKED, lend.slot, lend.sequence))
        desk.clock.turn()

        assert [each.slot for each in process(worker).lends] == [lend.slot]

    def test_many_ask_at_once(self, desk: Desk) -> None:
        """All of them are lent, by and by."""
        park(desk, 2 * EVENTS_AT_ONCE)
        desk.workers(9)
        for number in range(2 * EVENTS_AT_ONCE):
            desk.client(number).sendall(b"GET")
        for _ in range(3):
            desk.clock.turn()

        assert sum(len(process(worker).lends) for worker in desk.dispatcher.workers) == 2 * EVENTS_AT_ONCE

    def test_client_closes(self, desk: Desk) -> None:
        """No worker hears of it; the slot is free."""
        park(desk)
        desk.client(0).close()
        desk.clock.turn()

        assert len(desk.table) == len(desk.dispatcher.parking) == 0
        assert desk.rooms > 0

    def test_client_resets_it(self, desk: Desk) -> None:
        """As when it closes."""
        park(desk)
        tcp_info.reset(desk.client(0))
        desk.clock.turn()

        assert len(desk.table) == 0


class TestTime:
    def test_it_is_over(self, desk: Desk) -> None:
        """The time-out that the worker had set holds; others live on."""
        park(desk, left=-1)
        park(desk, left=60)
        desk.clock.advance(SWEEP_SECONDS)

        assert len(desk.table) == len(desk.dispatcher.parking) == 1
        assert desk.client(0).recv(1) == b""

    def test_timer_ends(self, desk: Desk) -> None:
        """With the last parked connection."""
        park(desk, left=-1)
        desk.clock.advance(SWEEP_SECONDS)

        assert desk.clock.getDelayedCalls() == []

    def test_it_comes_back(self, desk: Desk) -> None:
        """It is watched again, by the same clock."""
        park(desk)
        desk.client(0).sendall(b"GET")
        desk.clock.turn()
        (worker,) = desk.dispatcher.workers
        (lend,) = process(worker).lends
        (connection,) = desk.table
        connection.sock.recv(3)
        desk.spawner.reports(worker, Report(Kind.PARKED, lend.slot, lend.sequence))
        desk.clock.advance(SWEEP_SECONDS)

        assert len(desk.dispatcher.parking) == 1


class TestStop:
    def test_server_stops(self, desk: Desk) -> None:
        """Idle clients see the end at once; one that has just asked is still answered."""
        park(desk, 2)
        desk.client(1).sendall(b"GET")
        fired: list[None] = []
        desk.dispatcher.when_empty().addCallback(fired.append)

        assert desk.client(0).recv(1) == b""
        (worker,) = desk.dispatcher.workers
        assert [lend.slot for lend in process(worker).lends] == [1]
        assert fired == []
        assert desk.clock.readers == set()
        desk.spawner.takes(worker)
        assert fired == [None]
