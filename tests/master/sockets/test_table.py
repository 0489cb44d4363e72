"""The claims of twistcorn.master.sockets.table: slots, sequences, and how a connection ends."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.master.stage import Desk
from twistcorn.master.sockets.table import ConnectionRecord, ConnectionTable
from twistcorn.policy.worker import Worker
from twistcorn.wire.scoreboard import CONSUMED, S_CONSUME_TO, SlotState, pack_state

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 4


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A table of four slots."""
    made = Desk(slots=SIZE)
    yield made
    made.close()


@pytest.fixture
def table(desk: Desk) -> ConnectionTable:
    return desk.table


def numbers(connections: list[ConnectionRecord]) -> list[int]:
    return [connection.slot for connection in connections]


A, B = Worker(1, 0, 1, None), Worker(2, 1, 1, None)


class TestSlots:
    def test_connections_come(self, desk: Desk) -> None:
        """The lowest slots come first, so that an idle server touches few pages."""
        assert numbers(desk.file(3)) == [0, 1, 2]
        assert len(desk.table) == 3

    def test_connection_goes(self, desk: Desk, table: ConnectionTable) -> None:
        """Its slot is the next to be used again."""
        connections = desk.file(3)
        table.close(connections[1])

        assert numbers(desk.file(2)) == [1, 3]

    def test_table_fills_up(self, desk: Desk, table: ConnectionTable) -> None:
        """It is full with as many connections as the scoreboard has slots, and not before."""
        fullness = [table.full]
        for _ in range(SIZE):
            desk.file(1)
            fullness.append(table.full)
        assert fullness == [False] * SIZE + [True]

        table.close(next(iter(table)))
        assert not table.full

    def test_slot_was_used_before(self, desk: Desk, table: ConnectionTable) -> None:
        """Nothing of the earlier connection is left in it."""
        (old,) = desk.file(1)
        base = desk.board.slot_base(old.slot)
        desk.board.words[base] = pack_state(SlotState.RESPONDING, CONSUMED, 9)
        desk.board.words[base + S_CONSUME_TO] = 4711
        table.close(old)
        (new,) = desk.file(1)

        slot = desk.board.read_slot(new.slot)
        assert (slot.state, slot.consumed, slot.sequence, slot.consume_to) == (SlotState.FREE, False, 0, 0)

    def test_connections_end_while_they_are_listed(self, desk: Desk, table: ConnectionTable) -> None:
        """Going through all of them stays possible."""
        desk.file(3)
        for connection in table:
            table.close(connection)

        assert len(table) == 0


class TestLends:
    def test_connection_is_lent(self, desk: Desk, table: ConnectionTable) -> None:
        """It has a holder and a sequence, and its slot says so."""
        (connection,) = desk.file(1)
        table.lend(connection, A)

        slot = desk.board.read_slot(connection.slot)
        assert (slot.state, slot.consumed, slot.sequence) == (SlotState.IDLE, False, connection.sequence)
        assert (connection.holder, connection.taken) == (A, False)

    def test_every_lend_has_its_own_number(self, desk: Desk, table: ConnectionTable) -> None:
        """The sequence is per lend, not per connection, and never 0, which a fresh slot has."""
        connections = desk.file(2)
        seen = []
        for connection in connections * 3:
            table.lend(connection, A)
            seen.append(connection.sequence)

        assert len(set(seen)) == 6
        assert 0 not in seen

    def test_numbers_run_out(self, desk: Desk, table: ConnectionTable) -> None:
        """After 2**32 lends they begin again, and fit their field all the time."""
        (connection,) = desk.file(1)
        table._sequence = (1 << 32) - 2
        seen = []
        for _ in range(3):
            table.lend(connection, A)
            seen.append(desk.board.read_slot(0).sequence)

        assert seen == [(1 << 32) - 1, 0, 1]

    def test_it_is_looked_for(self, desk: Desk, table: ConnectionTable) -> None:
        """By slot and sequence of the latest lend; an older one finds nothing."""
        (connection,) = desk.file(1)
        table.lend(connection, A)
        old = connection.sequence
        table.lend(connection, B)

        assert table.find(connection.slot, connection.sequence) is connection
        assert table.find(connection.slot, old) is None
        assert table.find(connection.slot + 1, connection.sequence) is None

    def test_worker_has_some(self, desk: Desk, table: ConnectionTable) -> None:
        """They are found by their holder, the oldest first."""
        first, second, third, _ = desk.file(4)
        for connection in (third, first):
            table.lend(connection, A)
        table.lend(second, B)

        assert table.held_by(A) == [first, third]
        assert table.held_by(B) == [second]


class TestEnds:
    def test_it_is_closed(self, desk: Desk, table: ConnectionTable) -> None:
        """The client sees the end."""
        (connection,) = desk.file(1)
        table.close(connection)

        assert desk.client(0).recv(1) == b""
        assert connection.sock.fileno() == -1

    def test_client_is_gone_already(self, desk: Desk, table: ConnectionTable) -> None:
        """Closing works all the same."""
        connections = desk.file(2)
        for number in (0, 1):
            desk.client(number).close()
        table.close(connections[0])
        table.close(connections[1], reset=True)

        assert len(table) == 0

    def test_worker_closed_it(self, desk: Desk, table: ConnectionTable) -> None:
        """The master only lets go of its copy: what the worker still sends is not cut."""
        (connection,) = desk.file(1)
        with connection.sock.dup() as workers:
            table.close_reported(connection)
            workers.send(b"the last bytes")

            assert desk.client(0).recv(100) == b"the last bytes"


class TestDeaths:
    def test_same_request(self) -> None:
        """What was counted of it stays."""
        with socket.socket() as sock:
            connection = ConnectionRecord(sock, 0, 0)
            for _ in range(3):
                connection.died_at(120)
                connection.deaths += 1
                connection.attempt += 1
                connection.replays += 1

        assert (connection.deaths, connection.attempt, connection.replays) == (3, 3, 3)

    def test_another_request(self) -> None:
        """An answered request in between starts every count anew."""
        with socket.socket() as sock:
            connection = ConnectionRecord(sock, 0, 0)
            connection.died_at(0)
            connection.deaths = connection.attempt = connection.replays = 1
            connection.died_at(120)

        assert (connection.deaths, connection.attempt, connection.replays) == (0, 0, 0)
