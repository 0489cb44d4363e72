"""The intake: turns the bytes that wait on a connection into a whole request.

Law: runs on the reactor thread and never blocks. A head, and a body that is there with it, are only looked at; they
stay in the kernel until the response begins, so that another worker could still answer them. A larger body is taken
as it comes, and the slot says so.
"""

from __future__ import annotations

import enum
import socket

from ..errors import HTTPError
from ..settings import Settings
from .bodies import ChunkedBody, LengthBody, Store
from .connection import Connection, Phase
from .http import PEEK, Request, find_head, parse_head

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: Bytes of a body taken at once.
_PIECE = 65536
#: Bytes of bodies taken from one connection before others get their turn.
_PIECES = 16


class Found(enum.Enum):
    """What the intake found."""

    REQUEST = "a whole request"
    MORE = "not enough yet; the next bytes will be told"
    AGAIN = "more may be there already; ask again"
    END = "the client has closed"


def advance(connection: Connection, settings: Settings, ended: bool, now: float) -> Found:
    """Look at, or take, what there is.

    :param ended: the client has closed its side (EPOLLRDHUP): what is there now is all.
    :raises HTTPError: the request is refused.
    :raises OSError: the connection is broken.
    """
    if connection.phase is Phase.BODY:
        return _take_body(connection, settings, ended, now)
    data = connection.sock.recv(PEEK, socket.MSG_PEEK)
    if not data:
        return Found.END
    size = find_head(data, settings)
    if size == 0:
        return _wait_for_head(connection, settings, ended, now)
    request = parse_head(data[:size], settings)
    connection.request = request
    connection.header_since = 0.0
    connection.request_end = connection.consumed + size
    if request.length == 0:
        return Found.REQUEST
    if settings.limit_request_body and request.length > settings.limit_request_body:
        raise HTTPError(413, "request body too large")
    return _begin_body(connection, request, settings, ended, data[size:], now)


def _wait_for_head(connection: Connection, settings: Settings, ended: bool, now: float) -> Found:
    if ended:
        return Found.END
    if not connection.header_since:
        connection.header_since = now
        connection.deadline = now + settings.header_timeout
        connection.log_reading(consumed=False)
    return Found.MORE


def _begin_body(
    connection: Connection, request: Request, settings: Settings, ended: bool, rest: bytes, now: float
) -> Found:
    """A body: if all of it has been seen, in the `rest` behind the head, nothing is taken."""
    body = _new_body(request, settings)
    if request.length > 0 and len(rest) >= request.length:
        request.body = rest[: request.length]
        connection.request_end += request.length
        return Found.REQUEST
    if request.length < 0:
        taken = body.feed(rest)
        if body.done:
            request.body = body.store.finish()
            connection.request_end += taken
            return Found.REQUEST
        body.store.close()
        body = _new_body(request, settings)
    connection.log_reading(consumed=True)
    connection.consume(bytearray(PEEK))
    connection.phase = Phase.BODY
    connection.body = body
    connection.deadline = now + settings.body_timeout
    if request.expects:
        if not rest:
            connection.written += connection.sock.send(_CONTINUE)
        request.expects = False
    return _take_body(connection, settings, ended, now)


def _new_body(request: Request, settings: Settings) -> LengthBody | ChunkedBody:
    store = Store(settings.limit_request_body)
    if request.length < 0:
        return ChunkedBody(store, settings.limit_request_trailers)
    return LengthBody(request.length, store)


def _take_body(connection: Connection, settings: Settings, ended: bool, now: float) -> Found:
    """Take what is there of a body, and nothing behind it."""
    body, request = connection.body, connection.request
    assert request is not None
    for _ in range(_PIECES):
        try:
            taken = _take_piece(connection, body)
        except BlockingIOError:
            return Found.MORE
        if taken is None:
            # RFC 9112 section 8: the body is not whole.
            return Found.END
        if taken == 0:
            # A part of a line; when the client has closed, the rest of it never comes.
            return Found.END if ended else Found.MORE
        connection.deadline = now + settings.body_timeout
        if body.done:
            request.body = body.store.finish()
            connection.body = None
            return Found.REQUEST
    return Found.AGAIN


def _take_piece(connection: Connection, body: LengthBody | ChunkedBody) -> int | None:
    """Take one piece; returns its size, 0 when it is not whole yet, None at the end of the stream."""
    if isinstance(body, LengthBody):
        data = connection.sock.recv(min(body.left, _PIECE))
        taken = body.feed(data)
        connection.request_end += taken
        connection.consumed += taken
        return taken or None
    # Where a chunked body ends shows only in its bytes: look first, then take what belongs to it.
    data = connection.sock.recv(_PIECE, socket.MSG_PEEK)
    if not data:
        return None
    taken = body.feed(data)
    connection.request_end += taken
    connection.consume(bytearray(taken))
    return taken


def drop_body(connection: Connection) -> None:
    """The request comes to nothing: let go of what was kept of it."""
    if connection.body is not None:
        connection.body.store.close()
        connection.body = None
