"""What the tests of the listener share: a reactor that does not run, with real listening sockets.

Law: Twisted's own ports are used, so that endpoints and errors are the real ones; only time and events are the test's.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twistcorn.master.sockets.listener import Listener
from twistcorn.master.sockets.table import ConnectionRecord, ConnectionTable
from twistcorn.wire.scoreboard import Scoreboard


class Sockets(Clock):
    """A reactor for listening: it watches what it is told to, and `turn` is one round of events.

    :ivar readers: what is watched for something to read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> tcp.Port:
        made: Any = tcp.Port
        listening: tcp.Port = made(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> unix.Port:
        made: Any = unix.Port
        listening: unix.Port = made(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        raise AssertionError("a listener writes nothing")

    def removeWriter(self, writer: Any) -> None:
        """As IReactorFDSet."""

    def turn(self) -> None:
        """Everybody who has something to read reads once."""
        waiting, _, _ = select.select(list(self.readers), [], [], 0)
        for reader in waiting:
            reader.doRead()


class Place:
    """Where listeners listen.

    :ivar batches: what each of them handed on.
    """

    def __init__(self, slots: int = 200) -> None:
        self.reactor = Sockets()
        self.board = Scoreboard.create(1, slots)
        self.table = ConnectionTable(self.board)
        self.batches: list[list[ConnectionRecord]] = []
        self._listeners: list[Listener] = []
        self._clients: list[socket.socket] = []

    def make(self, description: str, index: int = 0) -> Listener:
        """A listener, not bound."""
        listener = Listener(self.reactor, description, index, self.table, self.batches.append)
        self._listeners.append(listener)
        return listener

    def bind(self, description: str, index: int = 0, backlog: int = 100) -> Listener:
        """A listener, bound; raises what its Deferred fails with."""
        listener = self.make(description, index)
        result(listener.bind(backlog))
        return listener

    def listen(self, description: str, index: int = 0) -> Listener:
        """A listener that accepts."""
        listener = self.bind(description, index)
        listener.accept()
        return listener

    def connect(self, listener: Listener, count: int) -> None:
        """So many clients connect."""
        for _ in range(count):
            client = socket.socket(listener.sock.family, socket.SOCK_STREAM)
            client.connect(listener.sock.getsockname())
            self._clients.append(client)

    def finish(self, listener: Listener) -> list[object]:
        """Close a listener; what its Deferred fired with."""
        fired: list[object] = []
        listener.close().addBoth(fired.append)
        # Twisted's ports close in a later turn.
        self.reactor.advance(0)
        return fired

    def close(self) -> None:
        """Close everything."""
        for listener in self._listeners:
            self.finish(listener)
        for connection in self.table:
            self.table.close(connection)
        for client in self._clients:
            client.close()
        self.board.close()


def result(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with; raises what it has failed with."""
    got: list[Any] = []
    failed: list[Any] = []
    deferred.addCallbacks(got.append, failed.append)
    for failure in failed:
        failure.raiseException()
    (value,) = got
    return value
