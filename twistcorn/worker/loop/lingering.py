"""The end of a connection: what its client still sends is dropped, within bounds, so that it reads the answer.

Law: runs on the leader's thread; closing is `poller`'s. Closing on unread bytes resets a connection, and takes an
answer away that is on its way: a proxy that is still sending a body tells its client 502 then, and not what we said. An
answer that was cut, and does not say where it ends, is reset on purpose: by an orderly end it would look whole.
"""

from __future__ import annotations

import contextlib

from ...pristine import socket, time
from ...settings import Settings
from ...wire.closing import LINGER_BYTES, LINGER_SECONDS, MIN_REFUSED_BYTES
from .connection import Connection
from .parting import reset
from .phases import Phase

#: Bytes of an endless one that are dropped in all.
MAX_DROPPED_BYTES = 1 << 62
#: Bytes dropped before other connections get their turn.
BYTES_AT_ONCE = 1 << 20


def begin(connection: Connection, settings: Settings, now: float, refused: bool) -> None:
    """Say that nothing more is sent, and wait for the client to end its side.

    After a reset there is nothing to wait for, which shows at the first look.

    :param refused: the request was answered before it was whole: its body is dropped as far as it would have been read.
    """
    # So is one of which the application did not want the body.
    refused = refused or (connection.request is not None and connection.request.expects)
    connection.request = None
    if connection.cut:
        # First: who finds it closing ends it in order.
        reset(connection.stream.sock)
    connection.redo_log.write_closing()
    with contextlib.suppress(OSError):
        connection.stream.sock.shutdown(socket.SHUT_WR)
    most, seconds = LINGER_BYTES, LINGER_SECONDS
    if refused:
        limit = settings.limit_request_body
        most = max(MIN_REFUSED_BYTES, limit) if limit else MAX_DROPPED_BYTES
        seconds = max(seconds, settings.body_timeout)
    connection.deadline, connection.end_by = now + LINGER_SECONDS, now + seconds
    connection.stream.request_end = connection.stream.consumed + most
    connection.phase = Phase.LINGERING


def drop(connection: Connection, scratch: bytearray) -> bool | None:
    """Drop what is there; returns whether the connection is over, None where more may be there."""
    left = BYTES_AT_ONCE
    while connection.stream.consumed < connection.stream.request_end:
        if left <= 0:
            return None
        try:
            taken = connection.stream.sock.recv_into(scratch)
        except BlockingIOError:
            if left < BYTES_AT_ONCE:
                connection.deadline = min(time.monotonic() + LINGER_SECONDS, connection.end_by)
            return False
        except OSError:
            return True
        if taken == 0:
            return True
        connection.stream.consumed += taken
        left -= taken
    return True
