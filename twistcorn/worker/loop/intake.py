"""The intake: turns the bytes that wait on a connection into a complete request.

Law: runs on the leader's thread and never blocks. A head, and a body that arrives with it, are only peeked at; they
stay in the kernel until the response begins, so that another worker could still answer. A larger body is taken as it
arrives, and the redo log says so.
"""

from __future__ import annotations

import contextlib
import enum

from ...errors import HTTPError
from ...pristine import socket, time
from ...settings import Settings
from ..http.bodies import ChunkedBody, LengthBody
from ..http.head_cache import Heads
from ..http.request import PEEK_BYTES, Request
from ..http.spool import Spool, Store
from .asked import CONTINUE, AskedBody
from .connection import Connection
from .partial import STALLED_HEAD_SECONDS, Partial
from .phases import Phase
from .stream import ClientGone

#: Bytes of the first peek: most heads fit, and need no buffer for the largest.
_FIRST_PEEK_BYTES = 4096
#: Bytes of a body taken at once.
_PIECE_BYTES = 65536
#: Bytes of a body taken from one connection, and seconds spent on it, before others are served.
_TURN_BYTES, _TURN_SECONDS = 1 << 20, 0.001


class Found(enum.Enum):
    """The result of reading a connection."""

    REQUEST = "a whole request"
    MORE = "not enough yet; the next bytes raise an event"
    AGAIN = "more may be there already; read again"
    END = "the client has closed its side"


_REQUEST = Found.REQUEST


def advance(connection: Connection, heads: Heads, settings: Settings, ended: bool, spool: Spool) -> Found:
    """Read, by peeking where possible, the bytes that are there.

    :param ended: the client has closed its side (EPOLLRDHUP): no more bytes will come.
    :raises HTTPError: the request is refused.
    :raises OSError: the connection is broken.
    """
    if connection.body is not None:
        return _take_body(connection, settings, ended)
    if connection.partial is not None:
        return _go_on_with_head(connection, connection.partial, heads, settings, ended, spool)
    stream = connection.stream
    data = stream.sock.recv(_FIRST_PEEK_BYTES, socket.MSG_PEEK)
    if len(data) == _FIRST_PEEK_BYTES:
        data = stream.sock.recv(PEEK_BYTES, socket.MSG_PEEK)
    if not data:
        return Found.END
    request = heads.read(data)
    if request is None:
        connection.partial = Partial()
        return _wait_for_head(connection, connection.partial, settings, ended, data)
    if request.block.length:
        return _found_head(connection, request, settings, ended, data, 0, spool)
    # The common case of `_found_head`, inlined.
    connection.request = request
    size = request.size
    stream.request_end = stream.consumed + size
    connection.missed = len(data) > size or size == PEEK_BYTES
    return _REQUEST


def _found_head(
    connection: Connection, request: Request, settings: Settings, ended: bool, data: bytes, taken: int, spool: Spool
) -> Found:
    """A head is complete, at the start of `data`, of which the first `taken` bytes are no longer in the kernel."""
    connection.request = request
    size = request.size
    connection.stream.request_end = connection.stream.consumed - taken + size
    length = request.block.length
    if length == 0:
        # Bytes behind the request will cause no further event.
        connection.missed = len(data) > size or size == PEEK_BYTES
        return _REQUEST
    if settings.limit_request_body and length > settings.limit_request_body:
        raise HTTPError(413, "request body too large")
    # Another request may follow the body.
    connection.missed = True
    return _begin_body(connection, request, settings, ended, data[size:], spool)


def _go_on_with_head(
    connection: Connection, partial: Partial, heads: Heads, settings: Settings, ended: bool, spool: Spool
) -> Found:
    """More of a head has arrived: check the new bytes only."""
    data = connection.stream.sock.recv(PEEK_BYTES - len(partial.taken), socket.MSG_PEEK)
    if not data:
        return Found.END
    data = partial.taken + data
    request = heads.read(data) if partial.find_end(data, settings) else None
    if request is None:
        return _wait_for_head(connection, partial, settings, ended, data)
    connection.partial = None
    connection.header_since = 0.0
    return _found_head(connection, request, settings, ended, data, len(partial.taken), spool)


def _wait_for_head(
    connection: Connection, partial: Partial, settings: Settings, ended: bool, data: bytes
) -> Found:
    if ended:
        return Found.END
    if not connection.header_since:
        connection.header_since = now = time.monotonic()
        connection.deadline = now + settings.header_timeout
        connection.redo_log.write_reading(consumed=False)
        partial.find_end(data, settings)
    partial.looks += 1
    if partial.must_be_taken(connection.stream.sock, late=False):
        _take_head(connection, partial, data)
    return Found.MORE


def _take_head(connection: Connection, partial: Partial, data: bytes) -> None:
    """Take the part of a head that is in the kernel, to make room there for its remainder."""
    new = len(data) - len(partial.taken)
    connection.redo_log.write_reading(consumed=True)
    connection.stream.request_end = connection.stream.consumed + new
    connection.stream.consume(bytearray(new))
    partial.taken = data


def relieve(connection: Connection, now: float) -> bool:
    """Take a stalled head from the kernel if its memory may be blocking the remainder.

    :return: False when the connection is broken.
    """
    partial = connection.partial
    if (
        partial is not None
        and not partial.taken
        and now - connection.header_since > STALLED_HEAD_SECONDS
        and partial.must_be_taken(connection.stream.sock, late=True)
    ):
        try:
            _take_head(connection, partial, connection.stream.sock.recv(partial.seen, socket.MSG_PEEK))
        except (OSError, ClientGone):
            return False
    return True


def _begin_body(
    connection: Connection, request: Request, settings: Settings, ended: bool, rest: bytes, spool: Spool
) -> Found:
    """Begin a body; if all of it was peeked at, in the `rest` behind the head, nothing is taken."""
    length, expects = request.block.length, request.expects and not rest
    if 0 < length <= len(rest):
        request.body, request.expects = rest[:length], False
        connection.stream.request_end += length
        connection.missed = len(rest) > length or request.size + length == PEEK_BYTES
        return Found.REQUEST
    spool.check(max(0, length))
    if expects and length > 0 and spool.may_ask():
        request.body = AskedBody(connection, request, settings, spool)
        return Found.REQUEST
    request.expects = False
    body = _new_body(length, settings, spool)
    if length < 0:
        taken = body.feed(rest)
        if body.done:
            _complete(request, body)
            connection.stream.request_end += taken
            return Found.REQUEST
        body.store.drop()
        body = _new_body(length, settings, spool)
    connection.redo_log.write_reading(consumed=True)
    connection.stream.consume(bytearray(PEEK_BYTES))
    connection.phase = Phase.BODY
    connection.body = body
    connection.deadline = time.monotonic() + settings.body_timeout
    if expects:
        # A client with a full receive buffer does not wait for 100 Continue either.
        with contextlib.suppress(BlockingIOError):
            connection.stream.written += connection.stream.sock.send(CONTINUE)
    return _take_body(connection, settings, ended)


def _new_body(length: int, settings: Settings, spool: Spool) -> LengthBody | ChunkedBody:
    store = Store(settings.limit_request_body, spool)
    if length < 0:
        return ChunkedBody(store, settings.limit_request_trailers)
    return LengthBody(length, store)


def _complete(request: Request, body: LengthBody | ChunkedBody) -> None:
    request.body, request.length = body.store.close_body(), body.store.size


def _take_body(connection: Connection, settings: Settings, ended: bool) -> Found:
    """Take the bytes of a body that are there, and none behind it."""
    body, request = connection.body, connection.request
    assert request is not None
    end, left = time.monotonic() + _TURN_SECONDS, _TURN_BYTES
    while left > 0:
        try:
            taken = _take_piece(connection, body)
        except BlockingIOError:
            return Found.MORE
        if taken is None:
            # RFC 9112 section 8: the body is incomplete.
            return Found.END
        connection.deadline = (now := time.monotonic()) + settings.body_timeout
        if body.done:
            _complete(request, body)
            connection.body = None
            return Found.REQUEST
        if now > end:
            break
        left -= taken
    return Found.AGAIN


def _take_piece(connection: Connection, body: LengthBody | ChunkedBody) -> int | None:
    """Take one piece; returns its size, or None at the end of the stream."""
    if isinstance(body, LengthBody):
        data = connection.stream.sock.recv(min(body.left, _PIECE_BYTES))
        taken = body.feed(data)
        connection.stream.request_end += taken
        connection.stream.consumed += taken
        return taken or None
    # Only its bytes show where a chunked body ends: peek first, then take what belongs to it, parts of lines as well:
    # left in the kernel they could fill its memory, and block the remainder of the line.
    data = connection.stream.sock.recv(_PIECE_BYTES, socket.MSG_PEEK)
    if not data:
        return None
    taken = body.feed(data)
    connection.stream.request_end += taken
    connection.stream.consume(bytearray(taken))
    return taken


def drop_body(connection: Connection) -> None:
    """Drop the stored body of a request that will not be answered."""
    body, connection.body = connection.body, None
    if body is not None:
        body.store.drop()
    request = connection.request
    if request is not None and request.body.__class__ is not bytes:
        request.body.drop()


def has_bytes(connection: Connection) -> bool:
    """Whether bytes wait to be read."""
    try:
        return bool(connection.stream.sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def method_of(connection: Connection) -> str:
    """Return HEAD for a refused HEAD request, whose answer has no body; otherwise any other method."""
    if connection.request is not None:
        return connection.request.line.method
    try:
        taken = connection.partial.taken[:7] if connection.partial is not None else b""
        first = taken or connection.stream.sock.recv(7, socket.MSG_PEEK)
        return "HEAD" if first.lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
    except OSError:
        return "GET"
