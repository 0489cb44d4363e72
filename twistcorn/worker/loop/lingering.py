"""Lingering: drops, within bounds, what a client still sends after its last answer, so that it can read the answer.

Law: runs on the leader's thread; `custody` closes. Closing with unread bytes resets the connection and loses an answer
on its way: a proxy that still sends a body then answers 502 instead. A cut answer that does not say where it ends is
reset on purpose: after an orderly end it would look complete.
"""

from __future__ import annotations

import contextlib

from ...pristine import socket, time
from ...settings import Settings
from ...wire.closing import LINGER_BYTES, LINGER_SECONDS, MIN_REFUSED_BYTES
from .connection import Connection
from .parting import reset
from .phases import Phase

#: Bound in bytes where request bodies have no limit.
MAX_DROPPED_BYTES = 1 << 62
#: Bytes dropped before other connections are served.
BYTES_AT_ONCE = 1 << 20


def begin(connection: Connection, settings: Settings, now: float, refused: bool) -> None:
    """Shut down our side, and wait for the client to close its side.

    After a reset there is nothing to wait for; the first `drop` finds that.

    :param refused: the request was answered before it was complete: drop its body up to the limit of bodies.
    """
    # The same holds for a request whose body the application never asked for.
    refused = refused or (connection.request is not None and connection.request.expects)
    connection.request = None
    if connection.cut:
        # Before CLOSING is in the slot: the master would then close it in order.
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
    """Drop the bytes that are there; returns whether the connection is over, None when more bytes may be there."""
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
