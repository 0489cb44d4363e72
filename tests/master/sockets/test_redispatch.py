"""The claims of twistcorn.master.sockets.dispatcher about a worker's death: what becomes of its connections,
on the wire.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.master.stage import Desk, process, tcp
from twistcorn.master.sockets import tcp_info
from twistcorn.policy.blame import Blame
from twistcorn.policy.redo import MAX_DEATHS
from twistcorn.wire.scoreboard import CONSUMED, SlotState

if TYPE_CHECKING:
    from collections.abc import Callable


def end_seen_by(client: socket.socket) -> str:
    """How a client learns that its connection is over."""
    client.settimeout(5)
    try:
        data = client.recv(1000)
    except ConnectionResetError:
        return "reset"
    if data[:13] == b"HTTP/1.1 502 ":
        assert client.recv(100) == b""
        return "502"
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
    @pytest.mark.parametrize("state", [SlotState.IDLE, SlotState.READING])
    def test_no_request_was_seen(self, desk: Desk, state: SlotState) -> None:
        """Another worker gets the connection, and the client notices nothing."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.spawner.takes(dying)
        desk.writes(connection, state)
        desk.spawner.exits(dying, signal=9)

        assert [lend.slot for lend in process(other).lends] == [connection.slot]
        assert lives(desk.client(0))

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
        """It is not safe: the client gets 502, also where the request lies unread, and then the end."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, make)
        desk.client(0).sendall(b"POST / HTTP/1.1\r\n\r\n")
        desk.writes(connection, SlotState.IN_APP, head=b"POST /")
        desk.spawner.exits(dying, signal=9)

        assert end_seen_by(desk.client(0)) == "502"
        assert process(other).lends == []

    @pytest.mark.parametrize("make", [tcp, socket.socketpair], ids=["tcp", "unix"])
    def test_request_is_repeated(
        self, desk: Desk, make: Callable[[], tuple[socket.socket, socket.socket]]
    ) -> None:
        """It is safe and unread: another worker gets it, and learns that it was run before."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, make)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n\r\n")
        desk.writes(connection, SlotState.IN_APP)
        desk.spawner.exits(dying, signal=9)

        assert [lend.slot for lend in process(other).lends] == [connection.slot]
        assert desk.board.read_slot(connection.slot).attempt == 1

    def test_request_kills_twice(self, desk: Desk) -> None:
        """It is repeated once, and not a second time."""
        first, second = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n\r\n")
        for dying in (first, second):
            desk.writes(connection, SlotState.IN_APP)
            desk.spawner.exits(dying, signal=11)

        assert end_seen_by(desk.client(0)) == "502"

    def test_another_request_is_to_blame(self, desk: Desk) -> None:
        """Deaths that another is blamed for do not use up the one replay; its own answer is 502."""
        dying = desk.worker()
        innocent, guilty = desk.arrive(2, tcp)
        for number in range(4):
            desk.blame = lambda _: Blame(frozenset([guilty.slot]))
            desk.writes(innocent, SlotState.IN_APP)
            desk.writes(guilty, SlotState.IN_APP)
            desk.spawner.exits(dying, signal=11)
            dying = desk.worker()
            assert desk.board.read_slot(innocent.slot).attempt == number + 1
            assert [lend.slot for lend in process(dying).lends] == [innocent.slot]

        assert end_seen_by(desk.client(1)) == "502"
        assert lives(desk.client(0))

    def test_answer_was_under_way(self, desk: Desk) -> None:
        """What the client had read stays read; then it is reset: half an answer must not look like a whole one."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        connection.sock.send(b"HTTP/1.1 200 OK\r\n\r\nhal")
        assert desk.client(0).recv(100) == b"HTTP/1.1 200 OK\r\n\r\nhal"

        desk.writes(connection, SlotState.RESPONDING)
        with connection.sock.dup():
            # A process that the app forked has a copy, and does not keep the client waiting.
            desk.spawner.exits(dying, signal=9)
            assert end_seen_by(desk.client(0)) == "reset"

    def test_part_of_a_request_was_taken(self, desk: Desk) -> None:
        """Nobody else can read it: 502, and what the client still sends is no reason for a reset."""
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"x" * 100)
        desk.writes(connection, SlotState.READING, CONSUMED)
        desk.spawner.exits(dying, signal=9)
        desk.client(0).sendall(b"x" * 100)

        assert end_seen_by(desk.client(0)) == "502"
        assert process(other).lends == []

    def test_it_was_being_closed(self, desk: Desk) -> None:
        """What was sent is read before the end comes, though bytes of the client lie unread."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"more")
        connection.sock.send(b"the answer")
        desk.writes(connection, SlotState.CLOSING)
        desk.spawner.exits(dying, signal=9)
        desk.clock.turn()

        assert desk.client(0).recv(100) == b"the answer"
        assert end_seen_by(desk.client(0)) == "end"

    def test_client_is_gone(self, desk: Desk) -> None:
        """Its slot is free at once: there is nobody to answer."""
        dying = desk.worker()
        (connection,) = desk.arrive(1, tcp)
        desk.writes(connection, SlotState.IN_APP)
        tcp_info.reset(desk.client(0))
        desk.spawner.exits(dying, signal=9)

        assert len(desk.table) == 0


class TestAllKinds:
    def test_they_are_told_apart(self, desk: Desk) -> None:
        """Each connection gets its own verdict."""
        dying = desk.worker()
        connections = desk.arrive(6, tcp)
        desk.spawner.takes(dying)
        names = "IDLE", "IN_APP", "READING", "RESPONDING", "CLOSING", "IN_APP"
        states = [SlotState[name] for name in names]
        for connection, state in zip(connections, states, strict=True):
            desk.writes(connection, state)
        desk.board.write_head(desk.board.slot_base(connections[5].slot), b"POST /5")
        connections[3].sock.send(b"half")
        rooms = desk.rooms
        desk.spawner.exits(dying, signal=11)

        assert [lend.slot for lend in process(desk.worker()).lends] == [0, 1, 2]
        assert desk.client(3).recv(10) == b"half"
        assert [end_seen_by(desk.client(number)) for number in (3, 4, 5)] == ["reset", "end", "502"]
        assert desk.rooms > rooms

    def test_other_workers_have_connections(self, desk: Desk) -> None:
        """They are not touched."""
        dying, other = desk.workers(2)
        connections = desk.arrive(4, tcp)
        theirs = desk.table.held_by(other)
        for connection in connections:
            desk.writes(connection, SlotState.CLOSING)
        desk.spawner.exits(dying, signal=9)

        assert desk.table.held_by(other) == theirs

    def test_slot_holds_nonsense(self, desk: Desk) -> None:
        """Memory that a crash left behind may hold anything: the connection is closed, and the master goes on."""
        dying = desk.worker()
        connections = desk.arrive(2, tcp)
        desk.board.words[desk.board.slot_base(connections[0].slot)] = 0xDEAD_BEEF_DEAD_BEEF
        desk.spawner.exits(dying, signal=11)

        assert end_seen_by(desk.client(0)) in ("end", "reset")
        assert [lend.slot for lend in process(desk.worker()).lends] == [1]

    def test_operator_wants_no_replay(self) -> None:
        """With --replay off every request that an app has seen is answered 502."""
        desk = Desk(replay="off")
        try:
            dying, other = desk.workers(2)
            (connection,) = desk.arrive(1, tcp)
            desk.writes(connection, SlotState.IN_APP)
            desk.spawner.exits(dying, signal=9)

            assert end_seen_by(desk.client(0)) == "502"
            assert process(other).lends == []
        finally:
            desk.close()


class TestAgainAndAgain:
    """Each time bytes of the client wait in the kernel, unless the claim says otherwise."""

    def arrive(self, desk: Desk) -> None:
        """A client connects and sends something."""
        desk.arrive(1, tcp)
        desk.client(0).sendall(b"\x00")

    def die(self, desk: Desk, state: SlotState = SlotState.READING, answered: int = 0) -> None:
        """A new worker gets the connection, takes it, answers so many requests of a byte, and dies with it."""
        worker = desk.worker()
        desk.spawner.takes(worker)
        (connection,) = desk.table.held_by(worker)
        slot = desk.board.read_slot(connection.slot)
        if answered:
            desk.client(0).sendall(bytes(answered))
            connection.sock.recv(answered)
        desk.writes(connection, state, consumed0=slot.consumed0 + answered)
        desk.spawner.exits(worker, signal=11)

    def test_bytes_that_kill_the_parser(self, desk: Desk) -> None:
        """A connection with which worker after worker dies without progress gets 502 after the second."""
        self.arrive(desk)
        for _ in range(MAX_DEATHS):
            self.die(desk)
            assert lives(desk.client(0))

        self.die(desk)
        assert end_seen_by(desk.client(0)) == "502"

    def test_deaths_are_not_its_fault(self, desk: Desk) -> None:
        """A signal from outside, or a request that is blamed, says nothing about bytes that wait elsewhere."""
        self.arrive(desk)
        blames = [Blame(fault=False), Blame(frozenset([99]))] * (MAX_DEATHS + 2)
        desk.blame = lambda _: blames.pop()
        while blames:
            self.die(desk)

        assert lives(desk.client(0))

    def test_requests_are_answered_in_between(self, desk: Desk) -> None:
        """Progress on the connection shows that it is not to blame: it lives as long as there is some."""
        self.arrive(desk)
        for _ in range(20):
            self.die(desk, answered=1)

        assert lives(desk.client(0))

    def test_progress_ends(self, desk: Desk) -> None:
        """From the last answered request on it is counted anew."""
        self.arrive(desk)
        for answered in (1, 1, 0):
            self.die(desk, answered=answered)
        assert lives(desk.client(0))

        self.die(desk)
        assert end_seen_by(desk.client(0)) == "502"

    def test_connection_is_idle(self, desk: Desk) -> None:
        """One that sent nothing cannot have killed anybody: it is kept however many workers die."""
        desk.arrive(1, tcp)
        for _ in range(MAX_DEATHS + 5):
            self.die(desk, SlotState.IDLE)

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
