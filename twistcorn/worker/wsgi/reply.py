"""The way of a response to a client of the worker's own HTTP channel: framing, redo log, one send where it fits.

Law: runs on the thread that has the turn and touches no other connection and no reactor.
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

#: Bytes of a body that may wait a moment, so that it is sent together with others.
MAX_DEFERRED_BYTES = 16384

LAST_CHUNK = b"0\r\n\r\n"


class Surroundings(Protocol):
    """What every reply of a worker needs.

    :ivar write_timeout: seconds without the client taking a byte.
    """

    write_timeout: float

    def closes_connections(self) -> bool:
        """Whether connections end with their answer, which says so then."""

    def answered(self, seat: Seat, code: int) -> None:
        """Told once for each request, before the last bytes of its answer are sent.

        A client that has them may ask again at once, and then this worker shall not look busy.
        """


class Reply:
    """One response (`call.Out`).

    :param seat: the thread's own.
    :param ident: the request's id.
    :ivar request: what is answered.
    :ivar environ: what the application was given, for the access log; None without one.
    :ivar queued: seconds that the request has waited for its thread; `attempt`: 2 where a worker died with it.
    :ivar code: the status code, 0 before there is one.
    :ivar head: of the response, once there is one; `head_size`: its bytes with the request's id.
    :ivar framing_size: bytes of chunks' own lines; `waited`: nanoseconds that the thread waited for the client.
    :ivar whole: whether all of an answer that was not `made` is said and sent, or left to the reactor.
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
        """Head and first bytes, in one send."""
        connection, seat = self._connection, self._seat
        seat.exposed = None
        if seat.aim:
            seat.shield()
        head = self._make_head(status, fields, len(data) if whole else None)
        framing, start = head.framing, self._identify(head)
        if framing is Framing.LENGTH and whole:
            self._whole = True
            if seat.inline and len(data) <= MAX_DEFERRED_BYTES:
                # Whoever sends it tells before it does.
                self._answered = True
                connection.answer, connection.code = start + data, self.code
                # A generator may go on behind its last piece.
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
        """A piece of the answer is out: the application has its time for the next one."""
        self._connection.redo_log.restart_clock(time.monotonic_ns())
        self._seat.exposed = self._connection

    def _make_head(self, status: str, fields: Fields, whole: int | None) -> responses.Head:
        request = self.request
        line = request.line
        keep = request.block.keep_alive and not self._surroundings.closes_connections()
        if request.expects:
            # Its body may come, or not: what follows could be either, or the next request.
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
        """Each piece leaves at once."""
        self._seat.shield()
        if not self._silent:
            if self._chunked:
                data = self._chunk(data)
            self._connection.stream.send(b"", data, self._wait, False)
        self._back_to_app()

    def look(self) -> None:
        """The application says nothing, and its time goes on: see whether the client is still there."""
        self._seat.shield()
        if presence.is_gone(self._connection.stream.sock):
            self._connection.stream.keep = False
            raise ClientGone
        self._seat.exposed = self._connection

    def end(self) -> None:
        """The last chunk, where there are chunks."""
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
        """A part of a file as the whole body; returns whether all of it was there."""
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
        """The application has said everything; told once."""
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
        """The connection ends; that the body is not whole shows in its framing."""
        self._seat.shield()
        self.whole = False
        self._connection.stream.keep = False

    def _chunk(self, data: bytes) -> bytes:
        """One chunk (RFC 9112 section 7.1)."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        self.framing_size += len(chunk) - len(data)
        return chunk
