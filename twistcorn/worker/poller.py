"""The poller: the worker's connections, their events, deadlines and ends.

Law: runs on the reactor thread; only here connections are registered and closed. The connections have an epoll
descriptor of their own, which the reactor watches like any other: edge-triggered events on bytes that were only
looked at, and re-arming from any thread, need no private interface. The order of an end is always EPOLL_CTL_DEL,
close, report; a descriptor closed earlier stays registered as long as the master's copy lives.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from ..errors import HTTPError
from ..settings import Settings
from ..wire.channel import HOPPED, Kind, Lend
from ..wire.scoreboard import S_DEADLINE, S_QUEUED, W_CONNECTIONS, W_THREADS, Scoreboard
from . import responses
from .call import ClientGone
from .connection import Connection, Phase
from .environ import Address
from .idle import has_bytes, leaving
from .intake import Found, advance, drop_body
from .refusals import Refusals

_READ = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
#: One event, then none until it is armed again: a request may be there.
ARMED = _READ | select.EPOLLONESHOT
#: Every event: a request is incomplete. Level-triggered, the bytes that were looked at would spin.
WATCHED = _READ
#: An event at once, to bring the connection back to the reactor thread.
SOON = select.EPOLLIN | select.EPOLLOUT | select.EPOLLONESHOT
_WRITABLE = select.EPOLLOUT | select.EPOLLET
_SILENT = select.EPOLLONESHOT

#: Events handled before other descriptors get their turn.
EVENTS = 64
#: How long, and for how many bytes, a closing connection waits for its client: time for a round trip or two around
#: the globe, bytes for what was on its way when the answer came early.
LINGER_TIME = 2.0
LINGER_BYTES = 4 << 20
#: When the server stops, clients that are about to send their next request get it answered: idle time before an open
#: connection is closed.
LAST_REQUEST_TIME = 1.0
#: Between two looks at the deadlines.
SWEEP = 0.5


class Poller(FileDescriptor):
    """All connections of this worker.

    :param listeners: their addresses, by index.
    :param serve: runs the request of a connection; `ended` is called from any thread when its turn is over.
    :param report: tells the master about a lend.
    :param on_empty: called when a draining or stopping worker has no connection left.
    """

    def __init__(
        self,
        reactor: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        listeners: Sequence[Address],
        serve: Callable[[Connection], None],
        report: Callable[[Kind, int, int], None],
        on_empty: Callable[[], None],
    ) -> None:
        super().__init__(reactor)
        self._board = board
        self._region = region
        self._settings = settings
        self._listeners = listeners
        self._serve = serve
        self._report = report
        self._on_empty = on_empty
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._scratch = bytearray(65536)
        self._refusals = Refusals(board, region)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self.draining = False
        self.stopping = False

    def start(self) -> None:
        """Begin to watch."""
        self._board.words[self._region + W_THREADS] = self._settings.threads
        self.startReading()
        self._sweeping.start(SWEEP, now=False)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Never: nobody closes the poller's descriptor."""

    # Coming and going

    def adopt(self, descriptor: int, lend: Lend) -> None:
        """Take over a connection that the master lends; the descriptor is ours from here on."""
        address = self._listeners[lend.listener]
        sock = socket.socket(address.family, socket.SOCK_STREAM, 0, fileno=descriptor)
        try:
            name = sock.getpeername()
        except OSError:
            # It was reset while it waited.
            sock.close()
            self._report(Kind.CLOSED, lend.slot, lend.sequence)
            return
        if self.draining:
            sock.close()
            self._report(Kind.RELEASED, lend.slot, lend.sequence)
            return
        peer = (name[0], str(name[1])) if address.family != socket.AF_UNIX else ("", "")
        connection = Connection(self._board, sock, lend.slot, lend.sequence, lend.listener, peer)
        now = time.monotonic()
        deadline = self._board.words[connection.base + S_DEADLINE] / 1e9
        # A new connection has its time from the accept on, one that was lent before what it had left.
        connection.log_idle(deadline or now + self._settings.header_timeout)
        if lend.flags & HOPPED:
            connection.hopped = True
            connection.queued_since = self._board.words[connection.base + S_QUEUED] / 1e9
        self._connections[descriptor] = connection
        self._count()
        self._epoll.register(descriptor, ARMED)

    def _count(self) -> None:
        self._board.words[self._region + W_CONNECTIONS] = len(self._connections)

    def _remove(self, connection: Connection, kind: Kind) -> None:
        descriptor = connection.sock.fileno()
        del self._connections[descriptor]
        connection.phase = Phase.CLOSED
        drop_body(connection)
        self._epoll.unregister(descriptor)
        if kind is Kind.CLOSED:
            # Also a process forked by the app may have a copy: without this the client would never see the end.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.sock.close()
        self._report(kind, connection.slot, connection.sequence)
        self._count()
        self._tell_empty()

    def _close(self, connection: Connection) -> None:
        connection.log_closing()
        self._remove(connection, Kind.CLOSED)

    def release(self, connection: Connection, kind: Kind = Kind.RELEASED) -> None:
        """Give the connection back; its unread bytes wait in the kernel."""
        if connection.untouched:
            connection.log_idle(connection.deadline)
        else:
            connection.log_closing()
        self._remove(connection, kind)

    def _tell_empty(self) -> None:
        if not self._connections and (self.draining or self.stopping):
            self._on_empty()

    def drain(self) -> None:
        """Give back every connection, the busy ones after their turn."""
        self.draining = True
        self._board.words[self._region + W_THREADS] = 0
        for connection in list(self._connections.values()):
            if connection.phase is Phase.READING:
                self.release(connection)
        self._tell_empty()

    def stop(self) -> None:
        """End every connection after its present request; idle ones soon."""
        self.stopping = True
        self._board.words[self._region + W_THREADS] = 0
        self._sweep()
        self._tell_empty()

    # Events

    def doRead(self) -> None:
        for descriptor, mask in self._epoll.poll(0, EVENTS):
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._handle(connection, mask)

    def _handle(self, connection: Connection, mask: int) -> None:
        phase = connection.phase
        if phase is Phase.READING and self.draining:
            self.release(connection)
        elif phase is Phase.READING or phase is Phase.BODY:
            self._read(connection, bool(mask & (select.EPOLLRDHUP | select.EPOLLHUP)))
        elif phase is Phase.LINGERING:
            self._linger(connection)
        elif phase is Phase.WRITING:
            self._write(connection)

    def _read(self, connection: Connection, ended: bool) -> None:
        try:
            found = advance(connection, self._settings, ended, time.monotonic())
        except HTTPError as error:
            self._refuse(connection, error)
            return
        except BlockingIOError:
            found = Found.MORE
        except (OSError, ClientGone):
            found = Found.END
        if found is Found.REQUEST:
            self._begin_turn(connection)
        elif found is Found.END:
            self._end(connection)
        elif found is Found.AGAIN or not connection.watched:
            connection.watched = True
            self._epoll.modify(connection.sock, WATCHED)

    def _end(self, connection: Connection) -> None:
        """The client has ended it, perhaps in the middle of a request.

        What is unread is taken first: closing on it would reset the connection, and an answer still on its way with it.
        """
        drop_body(connection)
        self._epoll.modify(connection.sock, self._begin_linger(connection, time.monotonic()))
        self._linger(connection)

    def _begin_turn(self, connection: Connection) -> None:
        if connection.watched:
            connection.watched = False
            self._epoll.modify(connection.sock, _SILENT)
        connection.phase = Phase.TURN
        connection.keep = False
        self._serve(connection)

    def ended(self, connection: Connection) -> None:
        """The turn is over. Called from any thread; arming the connection is the last thing that it does."""
        now = time.monotonic()
        if connection.rest is not None:
            connection.deadline = now + self._settings.write_timeout
            connection.phase = Phase.WRITING
            mask = _WRITABLE
        elif connection.keep:
            connection.request = None
            connection.log_idle(now + self._settings.keep_alive)
            connection.phase = Phase.READING
            mask = SOON if self.draining else ARMED
        else:
            mask = self._begin_linger(connection, now)
        # A connection given back meanwhile has nothing left to arm.
        with contextlib.suppress(OSError, ValueError):
            self._epoll.modify(connection.sock, mask)

    def _begin_linger(self, connection: Connection, now: float) -> int:
        connection.request = None
        connection.log_closing()
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_WR)
        connection.deadline = now + LINGER_TIME
        connection.consumed = 0
        connection.phase = Phase.LINGERING
        return WATCHED

    def _linger(self, connection: Connection) -> None:
        """Take and forget what the client still sends, until it closes or the bounds are reached."""
        while connection.consumed < LINGER_BYTES:
            try:
                taken = connection.sock.recv_into(self._scratch)
            except BlockingIOError:
                return
            except OSError:
                break
            if taken == 0:
                break
            connection.consumed += taken
        self._close(connection)

    def _write(self, connection: Connection) -> None:
        """Send more of an answer that is made."""
        assert connection.rest is not None
        try:
            sent = connection.send_some(connection.rest)
        except ClientGone:
            self._close(connection)
            return
        connection.rest = connection.rest[sent:] or None
        if connection.rest is None:
            self.ended(connection)
        elif sent:
            connection.deadline = time.monotonic() + self._settings.write_timeout
            # The event for the next room is told only after a send found none; ask for it anew.
            self._epoll.modify(connection.sock, _WRITABLE)

    def _refuse(self, connection: Connection, error: HTTPError) -> None:
        """One answer, then the end; nothing behind it is ever read as a request."""
        now = time.monotonic()
        self._refusals.tell(connection.peer[0], error, now)
        connection.log_closing()
        drop_body(connection)
        with contextlib.suppress(OSError):
            connection.sock.send(responses.refusal(error.status, self._method(connection)))
        self._epoll.modify(connection.sock, self._begin_linger(connection, now))

    @staticmethod
    def _method(connection: Connection) -> str:
        """The method of a refused request, as far as it matters: the answer to HEAD has no body."""
        if connection.request is not None:
            return connection.request.method
        try:
            return "HEAD" if connection.sock.recv(7, socket.MSG_PEEK).lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
        except OSError:
            return "GET"

    def _sweep(self) -> None:
        now = time.monotonic()
        if not self.stopping:
            for connection, kind in leaving(self._connections.values(), self._settings, self._board, now):
                self.release(connection, kind)
        for connection in list(self._connections.values()):
            if self.stopping and connection.phase is Phase.READING and not connection.header_since:
                connection.deadline = min(connection.deadline, now + LAST_REQUEST_TIME)
            if connection.deadline < now and connection.phase is not Phase.TURN:
                self._expire(connection)

    def _expire(self, connection: Connection) -> None:
        if connection.phase is Phase.BODY or (connection.phase is Phase.READING and connection.header_since):
            self._refuse(connection, HTTPError(408, "the request took too long"))
        elif connection.phase is Phase.READING and has_bytes(connection):
            # Its event is on the way.
            return
        else:
            self._close(connection)
