"""Sends a response on the worker's own HTTP channel: framing, redo log, one send when it fits.

Law: runs on the turn's thread, and touches no other connection and no reactor.
"""

from __future__ import annotations

from typing import Any, Protocol

from ...pristine import socket, time
from ..http import responses
from ..http.request import Request
from ..http.responses import Fields, Framing
from ..loop.connection import Connection
from ..loop.seats import Seat
from ..loop.stream import ClientGone
from . import presence
from .sendfile import send_file

#: Bytes of the largest body that may be deferred and sent together with others.
MAX_DEFERRED_BYTES = 16384

LAST_CHUNK = b"0\r\n\r\n"


class Surroundings(Protocol):
    """What a reply needs of its worker.

    :ivar write_timeout: seconds in which the client must read at least one byte.
    """

    write_timeout: float

    def closes_connections(self) -> bool:
        """Whether connections end with their response, which then says `Connection: close`."""

    def answered(self, seat: Seat, code: int) -> None:
        """Called once per request, before the last bytes of its response are sent.

        The client may send its next request at once, and must not find this worker marked busy.
        """


class Reply:
    """One response (`call.Out`).

    :param seat: the seat of the thread that has the turn.
    :param ident: the request's id.
    :ivar request: the request.
    :ivar environ: the application's environ, for the access log; None if it was not called.
    :ivar queued: seconds that the request waited for its thread; `attempt`: 2 when a worker died running it.
    :ivar code: the status code, 0 before there is one.
    :ivar head: of the response, once there is one; `head_size`: its bytes with the request's id.
    :ivar framing_size: bytes of chunk framing; `waited`: nanoseconds that the thread waited for the client.
    :ivar whole: whether a response that was not deferred is complete: sent, or handed to the reactor.
    """

    ident = ""
    queued, attempt = 0.0, 1
    environ: dict[str, Any] | None = None
    head: responses.Head | None = None
    code = head_size = framing_size = waited = 0
    whole = False
    _chunked = False
    _silent = False
    _whole = False
    _answered = False

    def __init__(
        self, connection: Connection, request: Request, seat: Seat, surroundings: Surroundings
    ) -> None:
        self._connection = connection
        self.request = request
        self._seat = seat
        self._surroundings = surroundings

    @property
    def is_head(self) -> bool:
        """Whether no body is sent because the request is a HEAD."""
        return self.request.line.method == "HEAD"

    @property
    def name(self) -> str:
        """Method, path and request id, for the log."""
        return f"{self.request.line.name} [{self.ident}]"

    def begin(self, status: str, fields: Fields, data: bytes, whole: bool) -> None:
        """Send the head and the first bytes, in one call."""
        connection, seat = self._connection, self._seat
        seat.exposed = None
        if seat.aim:
            seat.shield()
        head = self._make_head(status, fields, len(data) if whole else None)
        framing, start = head.framing, self._identify(head)
        if framing is Framing.LENGTH and whole:
            self._whole = True
            if seat.inline and len(data) <= MAX_DEFERRED_BYTES:
                # The leader reports it before it sends the batch.
                self._answered = True
                connection.answer, connection.code = start + data, self.code
                # A generator may still run code after its last piece.
                seat.exposed = connection
                return
        length = self.head_size = len(start)
        self._silent = framing is Framing.NONE
        self._whole = whole or self._silent
        if self._silent:
            data = b""
        elif framing is Framing.CHUNKED:
            self._chunked = True
            data = self._chunk(data) if data else b""
            length = 0
        elif head.length is not None:
            length += head.length
        else:
            length = 0
        if self._whole:
            self.answered()
        connection.begin_response(length, self._chunked)
        connection.stream.send(start, data, self._wait, self._whole)
        self.whole = self._whole
        connection.stream.consume(seat.scratch)
        self._back_to_app()

    def _back_to_app(self) -> None:
        """A piece was sent: restart the application's clock for the next one."""
        self._connection.redo_log.restart_clock(time.monotonic_ns())
        self._seat.exposed = self._connection

    def _make_head(self, status: str, fields: Fields, whole: int | None) -> responses.Head:
        request = self.request
        line = request.line
        keep = request.block.keep_alive and not self._surroundings.closes_connections()
        if request.expects:
            # The body may or may not come: the next bytes could be the body, or the next request.
            keep = False
            request.body.end()
        head = responses.make_head(status, fields, line.method, line.version, keep, whole)
        self._connection.stream.keep = head.keep_alive
        self.code = int(status[:3])
        self.head = head
        return head

    def _identify(self, head: responses.Head) -> bytes:
        """The head's bytes, with the request's id."""
        if self.ident and head.open:
            return head.open + (self.ident + "\r\n\r\n").encode()
        return head.data

    def more(self, data: bytes) -> None:
        """Send a piece at once."""
        self._seat.shield()
        if not self._silent:
            if self._chunked:
                data = self._chunk(data)
            self._connection.stream.send(b"", data, self._wait, False)
        self._back_to_app()

    def check_client(self) -> None:
        """Check that the client is still there; the application's clock keeps running."""
        self._seat.shield()
        if presence.is_gone(self._connection.stream.sock):
            self._connection.stream.keep = False
            raise ClientGone
        self._seat.exposed = self._connection

    def end(self) -> None:
        """Send the last chunk of a chunked body."""
        seat = self._seat
        seat.exposed = None
        if seat.aim:
            seat.shield()
        if self._whole:
            return
        self.answered()
        if self._chunked:
            self._connection.redo_log.write_end(self._connection.stream.written + len(LAST_CHUNK))
            self.framing_size += len(LAST_CHUNK)
            self._connection.stream.send(b"", LAST_CHUNK, self._wait, True)
        self.whole = True

    def send_file(self, status: str, fields: Fields, descriptor: int, offset: int, size: int) -> bool:
        """Send a part of a file as the complete body; returns whether the file had all of it."""
        connection = self._connection
        self._seat.shield()
        head = self._make_head(status, fields, size)
        self._whole = True
        start = self._identify(head)
        self.head_size = len(start)
        if head.framing is Framing.NONE:
            size = 0
        connection.begin_response(len(start) + size)
        connection.stream.send(b"", start, self._wait, size == 0)
        connection.stream.consume(self._seat.scratch)
        self.whole = send_file(connection, descriptor, offset, size, self._wait) == size
        return self.whole

    def answered(self) -> None:
        """Report, once, that the response is complete."""
        if not self._answered:
            self._answered = True
            self._surroundings.answered(self._seat, self.code)

    def _wait(self, sock: socket.socket) -> bool:
        began = time.monotonic_ns()
        try:
            return self._seat.await_client(sock, self._surroundings.write_timeout)
        finally:
            self.waited += time.monotonic_ns() - began

    def cut(self) -> None:
        """Close the connection; the framing shows the client that the body is truncated."""
        self._seat.shield()
        self.whole = False
        self._connection.stream.keep = False

    def _chunk(self, data: bytes) -> bytes:
        """One chunk (RFC 9112 section 7.1)."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        self.framing_size += len(chunk) - len(data)
        return chunk
