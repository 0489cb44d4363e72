"""The way of a response to a client of the worker's own HTTP channel: framing, redo log, one send where it fits.

Law: runs on the thread that has the turn and touches no other connection and no reactor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from ..wire.scoreboard import W_STATUS, Scoreboard
from . import responses
from .connection import Connection
from .http import Request
from .responses import Fields, Framing
from .turns import Seat

LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Surroundings:
    """What every reply of a worker needs.

    :ivar write_timeout: seconds without the client taking a byte.
    :ivar stopping: whether the server stops, so that connections end with their answer.
    :ivar answered: told once for each request, before the last bytes of its answer are sent: a client that has them may
        ask again at once, and then this worker shall not look busy.
    """

    write_timeout: float
    stopping: Callable[[], bool]
    answered: Callable[[], None]


class Reply:
    """One response (`call.Out`).

    :param seat: the thread's own.
    :ivar code: the status code, 0 before there is one.
    """

    __slots__ = (
        "_answered", "_chunked", "_connection", "_request", "_seat", "_silent", "_surroundings", "_whole", "code",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, request: Request, seat: Seat, surroundings: Surroundings
    ) -> None:
        self._connection = connection
        self._request = request
        self._seat = seat
        self._surroundings = surroundings
        self._chunked = False
        self._silent = False
        self._whole = False
        self._answered = False
        self.code = 0

    def begin(self, status: str, fields: Fields, data: bytes, whole: bool) -> None:
        """Head and first bytes, in one send."""
        self._seat.call_ends()
        request, connection = self._request, self._connection
        keep = request.keep_alive and not self._surroundings.stopping()
        head = responses.make_head(
            status, fields, request.method, request.version, keep, len(data) if whole else None
        )
        self.code = int(status[:3])
        self._silent = head.framing is Framing.NONE
        self._chunked = head.framing is Framing.CHUNKED
        self._whole = whole or self._silent
        if self._silent:
            data = b""
        elif self._chunked and data:
            data = _chunk(data)
        known = len(head.data) if self._silent else len(head.data) + head.length if head.length is not None else 0
        if self._whole:
            self.answered()
        connection.keep = head.keep_alive
        connection.log_responding(known)
        connection.send(head.data, data, self._wait, self._whole)
        connection.consume(self._seat.scratch)

    def more(self, data: bytes) -> None:
        """Each piece leaves at once."""
        if self._silent:
            return
        if self._chunked:
            data = _chunk(data)
        self._connection.send(b"", data, self._wait, False)

    def end(self) -> None:
        """The last chunk, where there are chunks."""
        self.answered()
        if self._chunked and not self._whole:
            self._connection.log_last(len(LAST_CHUNK))
            self._connection.send(b"", LAST_CHUNK, self._wait, True)

    def send_file(self, status: str, fields: Fields, descriptor: int, offset: int, size: int) -> bool:
        """A part of a file as the whole body; returns whether all of it was there."""
        self._seat.call_ends()
        request, connection = self._request, self._connection
        keep = request.keep_alive and not self._surroundings.stopping()
        head = responses.make_head(status, fields, request.method, request.version, keep, size)
        self.code = int(status[:3])
        self._whole = True
        if head.framing is Framing.NONE:
            size = 0
        connection.keep = head.keep_alive
        connection.log_responding(len(head.data) + size)
        connection.send(b"", head.data, self._wait, size == 0)
        connection.consume(self._seat.scratch)
        return connection.send_file(descriptor, offset, size, self._wait) == size

    def answered(self) -> None:
        """The application has said everything; told once."""
        if not self._answered:
            self._answered = True
            self._surroundings.answered()

    def _wait(self, sock: socket.socket) -> bool:
        return self._seat.await_client(sock, self._surroundings.write_timeout)

    def cut(self) -> None:
        """The connection ends; that the body is not whole shows in its framing."""
        self._connection.keep = False


def _chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def count(board: Scoreboard, region: int, code: int) -> None:
    """Count a response by its status class."""
    if 100 <= code < 600:
        board.words[region + W_STATUS + code // 100 - 1] += 1
