"""A connection that the master lends: what is known of it already, from its slot and from its lend.

Law: makes the worker's record of a connection, and neither registers nor closes anything; that is `poller`'s.
"""

from __future__ import annotations

from typing import Any

from ...pristine import socket, time
from ...wire.channel import HOPPED, Lend
from ...wire.scoreboard import Scoreboard
from .connection import Connection


def arrived(board: Scoreboard, sock: socket.socket, name: Any, lend: Lend, header_timeout: float) -> Connection:
    """The connection of a lend.

    :param name: the client's address, as `getpeername` tells it.
    :param header_timeout: seconds that a client has to begin its first request.
    """
    peer = (name[0], str(name[1])) if sock.family != socket.AF_UNIX else ("", "")
    connection = Connection(board, sock, lend.slot, lend.sequence, lend.listener, peer, lend.carried)
    now = time.monotonic()
    # A new connection has its time from the accept on, one that was lent before what it had left.
    deadline = connection.redo_log.deadline or now + header_timeout
    if lend.carried:
        connection.deadline, connection.header_since = deadline, now
        connection.redo_log.write_lent(deadline)
    else:
        connection.become_idle(deadline)
    if lend.flags & HOPPED:
        connection.hopped = True
        connection.queued_since = connection.redo_log.queued_since
    return connection
