"""The claims of twistcorn.master.dispatcher about a worker's death: what becomes of its connections, on the wire."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.master.stage import Desk, process, tcp
from twistcorn.pool.redo import MAX_DEATHS
from twistcorn.wire.scoreboard import CONSUMED, State

if TYPE_CHECKING:
    from collections.abc import Callable


def end_seen_by(client: socket.socket) -> str:
    """How a client learns that its connection is over."""
    client.settimeout(5)
    try:
        data = client.recv(100)
    except ConnectionResetError:
        return "reset"
    return "end" if data == b"" else f"data {data!r}"


def lives(client: socket.socket) -> bool:
    """Whether a connection is open as far as its client can tell."""
    client.settimeout(0.02)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


class TestUntouched:
    @pytest.mark.parametrize("state", [State.IDLE, State.READING])
    def test_no_request_was_seen(self, desk: Desk, state: State) -> None:
        """Another worker gets the connection, and the client notices nothing."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.spawner.takes(dying)
        desk.writes(connection, state)
        desk.spawner.exits(dying, signal=9)

        assert [lend.slot for lend in process(other).lends] == [connection.slot]
        assert lives(desk.client(0))
        assert desk.running == [[]]

    def test_request_waits_in_the_kernel(self, desk: Desk) -> None:
        """Its bytes were only looked at: the next worker reads them."""
        dying, _ = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n")
        desk.spawner.exits(dying, signal=9)

        assert connection.sock.recv(100) == b"GET / HTTP/1.1\r\n"

    def test_lends_were_never_read(self, desk: Desk) -> None:
        """A worker that froze and was killed costs no connection."""
        frozen = desk.worker()
        desk.arrive(10)
        other = desk.worker()
        desk.spawner.exits(frozen, signal=9)

        assert [lend.slot for lend in process(other).lends] == list(range(10))
        assert (frozen.connections, frozen.unacknowledged) == (0, 0)

    def test_others_wait_already(self, desk: Desk) -> None:
        """Those of the dead worker go first, in their order: they have waited for longer."""
        dying = desk.worker()
        desk.arrive(3)
        desk.spawner.takes(dying)
        desk.dispatcher.dismiss(dying)
        desk.arrive(2)
        desk.spawner.exits(dying, signal=9)

        assert [lend.slot for lend in process(desk.worker()).lends] == [0, 1, 2, 3, 4]


class TestTouched:
    @pytest.mark.parametrize("make", [tcp, socket.socketpair], ids=["tcp", "unix"])
    def test_request_was_in_the_app(
        self, desk: Desk, make: Callable[[], tuple[socket.socket, socket.socket]]
    ) -> None:
        """The connection is closed: the client sees its end, and no byte of an answer."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, make)
        desk.writes(connection, State.IN_APP)
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "end"
        assert process(other).lends == []
        assert len(desk.table) == 0

    def test_request_was_in_the_app_and_is_unread(self, desk: Desk) -> None:
        """The client sees an end, and no reset, also while its request lies unread in the kernel."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        desk.writes(connection, State.IN_APP)
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "end"

    def test_answer_was_under_way(self, desk: Desk) -> None:
        """The connection is reset: a client must not take half an answer for a whole one."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        desk.writes(connection, State.RESPONDING)
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "reset"

    def test_half_an_answer_was_out(self, desk: Desk) -> None:
        """What the client had read stays read; then comes the reset."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        connection.sock.send(b"HTTP/1.1 200 OK\r\n\r\nhal")
        assert desk.client(0).recv(100) == b"HTTP/1.1 200 OK\r\n\r\nhal"

        desk.writes(connection, State.RESPONDING)
        desk.spawner.exits(dying, signal=9)
        assert end_seen_by(desk.client(0)) == "reset"

    def test_part_of_a_request_was_taken(self, desk: Desk) -> None:
        """Nobody else can read it: the connection is closed."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.writes(connection, State.READING, CONSUMED)
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "end"
        assert process(other).lends == []

    def test_it_was_being_closed(self, desk: Desk) -> None:
        """It is closed."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        desk.writes(connection, State.CLOSING)
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "end"

    def test_app_started_a_program_that_lives(self, desk: Desk) -> None:
        """A copy of the connection in another process does not keep the client waiting."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        with connection.sock.dup():
            desk.writes(connection, State.IN_APP)
            desk.spawner.exits(dying, signal=9)

            assert end_seen_by(desk.client(0)) == "end"


class TestAllKinds:
    def test_they_are_told_apart(self, desk: Desk) -> None:
        """Each connection gets its own verdict; the log hears which requests were running."""
        dying = desk.worker()
        connections = desk.arrive(5, tcp)
        desk.spawner.takes(dying)
        states = (State.IDLE, State.IN_APP, State.READING, State.RESPONDING, State.CLOSING)
        for connection, state in zip(connections, states, strict=True):
            desk.writes(connection, state)
        rooms = desk.rooms
        desk.spawner.exits(dying, signal=11)

        assert [lend.slot for lend in process(desk.worker()).lends] == [0, 2]
        assert [end_seen_by(desk.client(number)) for number in (1, 3, 4)] == ["end", "reset", "end"]
        assert desk.running == [["GET /1", "GET /3"]]
        assert desk.rooms > rooms

    def test_other_workers_have_connections(self, desk: Desk) -> None:
        """They are not touched."""
        dying, other = desk.workers(2)
        connections = desk.arrive(4, tcp)
        theirs = desk.table.held_by(other)
        for connection in connections:
            desk.writes(connection, State.IN_APP)
        desk.spawner.exits(dying, signal=9)

        assert desk.table.held_by(other) == theirs
        assert len(desk.table) == 2

    def test_slot_holds_nonsense(self, desk: Desk) -> None:
        """Memory that a crash left behind may hold anything: the connection is closed, and the master goes on."""
        dying = desk.worker()
        connections = desk.arrive(2, tcp)
        desk.board.words[desk.board.slot_base(connections[0].slot)] = 0xDEAD_BEEF_DEAD_BEEF
        desk.spawner.exits(dying, signal=11)

        assert end_seen_by(desk.client(0)) in ("end", "reset")
        assert [lend.slot for lend in process(desk.worker()).lends] == [1]


class TestAgainAndAgain:
    """Each time bytes of the client wait in the kernel, unless the claim says otherwise."""

    def arrive(self, desk: Desk) -> None:
        """A client connects and sends something."""
        desk.arrive(1, tcp)
        desk.client(0).sendall(b"\x00")

    def die(self, desk: Desk, state: State = State.READING, consume_to: int = 0) -> None:
        """A new worker gets the connection, takes it, and dies with it."""
        worker = desk.worker()
        desk.spawner.takes(worker)
        (connection,) = desk.table.held_by(worker)
        desk.writes(connection, state, consume_to=consume_to)
        desk.spawner.exits(worker, signal=11)

    def test_bytes_that_kill_the_parser(self, desk: Desk) -> None:
        """A connection with which worker after worker dies without progress is closed after the second."""
        self.arrive(desk)
        for _ in range(MAX_DEATHS):
            self.die(desk)
            assert lives(desk.client(0))

        self.die(desk)
        assert end_seen_by(desk.client(0)) == "end"

    def test_requests_are_answered_in_between(self, desk: Desk) -> None:
        """Progress on the connection shows that it is not to blame: it lives as long as there is some."""
        self.arrive(desk)
        for number in range(20):
            self.die(desk, consume_to=100 * (number + 1))

        assert lives(desk.client(0))

    def test_progress_ends(self, desk: Desk) -> None:
        """From the last answered request on it is counted anew."""
        self.arrive(desk)
        for consume_to in (100, 200, 200):
            self.die(desk, consume_to=consume_to)
        assert lives(desk.client(0))

        self.die(desk, consume_to=200)
        assert end_seen_by(desk.client(0)) == "end"

    def test_connection_is_idle(self, desk: Desk) -> None:
        """One that sent nothing cannot have killed anybody: it is kept however many workers die."""
        desk.arrive(1, tcp)
        for _ in range(MAX_DEATHS + 5):
            self.die(desk, State.IDLE)

        assert lives(desk.client(0))

    def test_workers_never_took_it(self, desk: Desk) -> None:
        """A worker that never had it cannot have died of it: it is kept however many die."""
        self.arrive(desk)
        for _ in range(MAX_DEATHS + 5):
            desk.spawner.exits(desk.worker(), signal=11)

        assert lives(desk.client(0))

    def test_worker_released_it(self, desk: Desk) -> None:
        """A worker that gave it back has read it and lived: it is counted anew."""
        self.arrive(desk)
        for _ in range(MAX_DEATHS):
            self.die(desk)
        worker = desk.worker()
        desk.spawner.takes(worker)
        desk.dispatcher.dismiss(worker)
        desk.spawner.releases(worker, *process(worker).lends)
        for _ in range(MAX_DEATHS):
            self.die(desk)

        assert lives(desk.client(0))
