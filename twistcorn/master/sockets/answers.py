"""The few responses that the master sends itself, and how it closes a connection so that the client reads them.

Law: writes only to connections that no worker uses, at most once each, then closes them. Nothing here waits: a response
that does not fit the socket's buffer at once would not be read.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...settings import Settings
from ...wire.closing import LINGER_BYTES, LINGER_SECONDS, MIN_REFUSED_BYTES
from . import tcp_info
from .answer_log import NO_STATUS, PEEK_BYTES, AnswerLog
from .table import ConnectionRecord

#: Connections at one time that may take that long: the master has others to serve.
MAX_PATIENT_CONNECTIONS = 64
#: Bytes taken from one connection before others get their turn.
_PIECE_BYTES = 1 << 18
#: When to come back: soon, because a worker boots within seconds and a queue moves faster.
RETRY_AFTER_SECONDS = 1

_REASONS = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


def make(status: int, method: str = "GET") -> bytes:
    """A whole response; the connection ends behind it (RFC 9110 sections 15.6 and 10.2.3)."""
    reason = f"{status} {_REASONS[status]}"
    body = f"{reason}\n"
    retry = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"{retry}Connection: close\r\n\r\n"
    )
    return (head if method == "HEAD" else head + body).encode("ascii")


class _Ending(FileDescriptor):
    """A connection of which the master has closed its side: takes and forgets what the client still sends.

    :param may_go_on: whether there is room for one more that takes longer than what was on its way needs.
    :param most: bytes that are taken then; `seconds`: for how long.
    :ivar longer: whether it takes longer.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        over: Callable[[], None],
        may_go_on: Callable[[], bool],
        most: int,
        seconds: float,
    ) -> None:
        super().__init__(reactor)
        self._clock = reactor
        self._sock = sock
        self._over = over
        self._may_go_on = may_go_on
        self._most = most
        self._until = reactor.seconds() + seconds
        self._left = LINGER_BYTES
        self._came = self.longer = False
        self._timer = reactor.callLater(LINGER_SECONDS, self._check_clients)
        self.startReading()

    def fileno(self) -> int:
        return self._sock.fileno()

    def doRead(self) -> None:
        size = tcp_info.discard(self._sock, min(_PIECE_BYTES, self._left))
        self._left -= size
        self._came = True
        if size == 0 or (self._left <= 0 and not self._still_sends()):
            # The end of the stream, an error, or more bytes than the limit.
            self._over()

    def _check_clients(self) -> None:
        """Close a connection that has sent nothing since the last check."""
        if self._came and self._clock.seconds() < self._until and self._still_sends():
            self._came = False
            self._timer = self._clock.callLater(LINGER_SECONDS, self._check_clients)
        else:
            self._over()

    def _still_sends(self) -> bool:
        if not self.longer and self._most > LINGER_BYTES and self._may_go_on():
            self.longer = True
            self._left += self._most - LINGER_BYTES
        return self.longer and self._left > 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The reactor found the socket broken."""
        self._over()

    def stop(self) -> None:
        """Watch it no more."""
        if self._timer.active():
            self._timer.cancel()
        self.stopReading()


class Answers:
    """Ends connections, with an answer or without.

    :param close: closes the master's copy and frees the slot.
    :ivar sent: how many answers of each status were given.
    :ivar log: the access log, while it is on.
    """

    def __init__(self, reactor: Any, close: Callable[[ConnectionRecord], None], settings: Settings) -> None:
        self._reactor = reactor
        self._close = close
        self._longer = 0
        self.configure(settings)
        self._ending: dict[ConnectionRecord, _Ending] = {}
        self.sent: Counter[int] = Counter()
        self.log: AnswerLog | None = None

    def configure(self, settings: Settings) -> None:
        """Set how many bytes of an answered request are dropped, and for how many seconds."""
        limit = settings.limit_request_body
        self._most = max(MIN_REFUSED_BYTES, limit) if limit else sys.maxsize
        self._seconds = max(LINGER_SECONDS, settings.body_timeout)

    @property
    def ending(self) -> int:
        """Connections that wait for their clients to have read."""
        return len(self._ending)

    def answer(self, connection: ConnectionRecord, status: int, method: str = "", since: float = 0.0) -> None:
        """Answer the request that waits, or was begun, on a connection that no worker uses, and end it.

        :param status: 502, 503 or 504.
        :param method: of the request, if a worker noted it; otherwise the unread bytes are peeked at.
        :param since: when it began to wait, in monotonic seconds; 0.0: it did not.
        """
        unread = peek(connection.sock, PEEK_BYTES if self.log is not None else len("HEAD "))
        text = make(status, method or _method(unread))
        if self.log is not None:
            self.log.log_answer(connection, status, len(text.partition(b"\r\n\r\n")[2]), unread, since)
        # What lies unread when a socket is closed resets the connection, and the answer with it.
        tcp_info.discard(connection.sock, LINGER_BYTES)
        with contextlib.suppress(OSError):
            connection.sock.send(text, socket.MSG_DONTWAIT)
            self.sent[status] += 1
        self._end(connection, self._most, self._seconds)

    def note_cut(self, connection: ConnectionRecord) -> None:
        """Log a response that a dead worker left incomplete."""
        if self.log is not None:
            self.log.log_answer(connection, NO_STATUS, 0, peek(connection.sock, PEEK_BYTES), 0.0)

    def end(self, connection: ConnectionRecord) -> None:
        """Close a connection that no worker uses, in order: the client reads what was sent before."""
        self._end(connection, LINGER_BYTES, LINGER_SECONDS)

    def _end(self, connection: ConnectionRecord, most: int, seconds: float) -> None:
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        self._ending[connection] = _Ending(
            self._reactor, connection.sock, lambda: self._over(connection), self._may_go_on, most, seconds
        )

    def _may_go_on(self) -> bool:
        fits = self._longer < MAX_PATIENT_CONNECTIONS
        self._longer += fits
        return fits

    def _over(self, connection: ConnectionRecord) -> None:
        # The reactor reports the end again when a socket is closed while it reads.
        if ending := self._ending.pop(connection, None):
            ending.stop()
            self._longer -= ending.longer
            self._close(connection)

    def stop(self) -> None:
        """The server ends: wait for no client any longer."""
        for connection in list(self._ending):
            self._over(connection)


def peek(sock: socket.socket, most: int) -> bytes:
    """The first bytes that wait unread; nothing on a broken socket."""
    try:
        # A client may send an empty line first (RFC 9112 section 2.2).
        return sock.recv(most + len("\r\n"), socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


def _method(unread: bytes) -> str:
    """The method of the request that waits, as far as it matters: the answer to HEAD has no body."""
    return "HEAD" if unread.lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
