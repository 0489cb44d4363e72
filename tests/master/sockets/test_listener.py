"""The claims of twistcorn.master.sockets.listener about accepting: batches, pauses, and what is left at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from tests.master.fake_sockets import Place
from twistcorn.master.sockets.listener import ACCEPT_BATCH, ACCEPT_RETRY_SECONDS

if TYPE_CHECKING:
    from pathlib import Path


#: What accept(2) reports of one connection, and asks to treat as if there had been none.
PASSING = [
    errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET,
    errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH,
]  # fmt: skip


class Refusing:
    """In the place of a listening socket: accept(2) fails as often as the script says."""

    def __init__(self, sock: socket.socket, *script: int) -> None:
        self._sock = sock
        self.script = list(script)

    def accept(self) -> Any:
        if self.script:
            number = self.script.pop(0)
            raise OSError(number, os.strerror(number))
        return self._sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class TestAccept:
    def test_clients_connect(self, place: Place) -> None:
        """What waits in the kernel is accepted at once, filed, and handed on together."""
        listener = place.listen("tcp:0:interface=127.0.0.1", index=2)
        place.connect(listener, 3)
        place.reactor.turn()

        ((first, second, third),) = place.batches
        assert list(place.table) == [first, second, third]
        assert {connection.listener for connection in place.batches[0]} == {2}

    def test_accepted_socket(self, place: Place) -> None:
        """It does not block, does not wait for more to send, and no program inherits it."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        place.reactor.turn()
        sock = place.batches[0][0].sock

        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.get_inheritable()

    def test_crowd_connects(self, place: Place) -> None:
        """No more than a batch is accepted before other descriptors get their turn."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, ACCEPT_BATCH + 6)
        place.reactor.turn()
        assert [len(batch) for batch in place.batches] == [ACCEPT_BATCH]

        place.reactor.turn()
        assert [len(batch) for batch in place.batches] == [ACCEPT_BATCH, 6]

    def test_nobody_connects(self, place: Place) -> None:
        """An event without a connection, as when another one took it, hands nothing on."""
        place.listen("tcp:0:interface=127.0.0.1")
        place.reactor.turn()

        assert place.batches == []

    def test_bound_and_not_accepting(self, place: Place) -> None:
        """Until it is told to accept, clients wait in the kernel: no worker is ready yet."""
        listener = place.bind("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        place.reactor.turn()
        assert place.batches == []

        listener.accept()
        place.reactor.turn()
        assert [len(batch) for batch in place.batches] == [1]

    @pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
    def test_client_went_away(self, place: Place, number: int) -> None:
        """The next one is accepted as if nothing had been."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        listener.sock = Refusing(listener.sock, number, number)  # type: ignore[assignment]
        place.connect(listener, 1)
        place.reactor.turn()

        assert [len(batch) for batch in place.batches] == [1]
        assert listener in place.reactor.readers


class TestExhausted:
    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
    def test_system_has_nothing_left(self, place: Place, number: int) -> None:
        """It pauses, says so, and goes on by itself; what was accepted before counts."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 2)
        listener.sock = Refusing(listener.sock, number)  # type: ignore[assignment]
        with capturedLogs() as logged:
            place.reactor.turn()
        assert place.batches == []
        assert listener not in place.reactor.readers
        assert [formatEvent(event) for event in logged] == [
            f"not accepting on tcp:0:interface=127.0.0.1: {os.strerror(number)}; new connections wait in the kernel"
        ]

        place.reactor.advance(ACCEPT_RETRY_SECONDS)
        place.reactor.turn()
        assert [len(batch) for batch in place.batches] == [2]

    def test_it_lasts(self, place: Place) -> None:
        """It is said once, however often it is tried."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        listener.sock = Refusing(listener.sock, *[errno.EMFILE] * 30)  # type: ignore[assignment]
        with capturedLogs() as logged:
            for _ in range(20):
                place.reactor.turn()
                place.reactor.advance(ACCEPT_RETRY_SECONDS)

        assert len(logged) == 1

    def test_room_is_told_meanwhile(self, place: Place) -> None:
        """A freed slot does not cut the pause short: the system lacks something else."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        listener.sock = Refusing(listener.sock, errno.EMFILE)  # type: ignore[assignment]
        place.reactor.turn()
        listener.room()

        assert listener not in place.reactor.readers

    def test_closed_meanwhile(self, place: Place) -> None:
        """No timer is left."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        listener.sock = Refusing(listener.sock, errno.EMFILE)  # type: ignore[assignment]
        place.reactor.turn()
        place.finish(listener)

        assert place.reactor.getDelayedCalls() == []


    def test_server_stops_meanwhile(self, place: Place) -> None:
        """Trying once more at the end leaves no second timer."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, 1)
        listener.sock = Refusing(listener.sock, errno.EMFILE, errno.EMFILE)  # type: ignore[assignment]
        place.reactor.turn()
        listener.drain_backlog()
        place.finish(listener)

        assert place.reactor.getDelayedCalls() == []


class TestTableIsFull:
    def test_last_slot_is_taken(self) -> None:
        """It stops, says so, and clients wait in the kernel; a freed slot lets it go on."""
        with contextlib.closing(Place(slots=2)) as place:
            listener = place.listen("tcp:0:interface=127.0.0.1")
            place.connect(listener, 3)
            with capturedLogs() as logged:
                place.reactor.turn()
            assert [len(batch) for batch in place.batches] == [2]
            assert listener not in place.reactor.readers
            assert "connection limit reached" in str(formatEvent(logged[0]))

            place.table.close(place.batches[0][0])
            listener.room()
            place.reactor.turn()
            assert [len(batch) for batch in place.batches] == [2, 1]

    def test_room_is_told_without_any(self) -> None:
        """Another listener may have taken the slot already."""
        with contextlib.closing(Place(slots=1)) as place:
            listener = place.listen("tcp:0:interface=127.0.0.1")
            place.connect(listener, 2)
            place.reactor.turn()
            listener.room()

            assert listener not in place.reactor.readers


class TestEnd:
    def test_backlog_is_accepted(self, place: Place) -> None:
        """Clients that the kernel has queued believe that they are connected: all are accepted before the end."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.connect(listener, ACCEPT_BATCH + 10)
        listener.drain_backlog()

        assert sum(map(len, place.batches)) == ACCEPT_BATCH + 10

    def test_closed(self, place: Place) -> None:
        """Nobody can connect any more, and nothing is watched."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        address = listener.sock.getsockname()
        place.finish(listener)

        assert place.reactor.readers == set()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    def test_closed_twice_and_told_of_room(self, place: Place) -> None:
        """Nothing comes back to life."""
        listener = place.listen("tcp:0:interface=127.0.0.1")
        place.finish(listener)
        place.finish(listener)
        listener.room()
        listener.drain_backlog()

        assert place.reactor.readers == set()

    def test_never_bound(self, place: Place) -> None:
        """There is nothing to close."""
        assert place.make("tcp:0").close().called

    def test_socket_file_goes(self, place: Place, tmp_path: Path) -> None:
        """A UNIX socket's file is removed."""
        path = tmp_path / "http.sock"
        listener = place.listen(f"unix:{path}:lockfile=0")
        assert path.is_socket()

        place.finish(listener)
        assert not path.exists()

    def test_socket_file_is_gone_already(self, place: Place, tmp_path: Path) -> None:
        """Somebody tidied up: no error."""
        path = tmp_path / "http.sock"
        listener = place.listen(f"unix:{path}:lockfile=0")
        path.unlink()
        closed = place.finish(listener)

        assert closed == [None]
