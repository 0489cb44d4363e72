"""Builds the record of a connection that the master lends, from its slot and from its lend.

Law: builds the record only; `custody` registers and closes.
"""

from __future__ import annotations

from typing import Any

from ...pristine import socket, time
from ...wire.channel import HOPPED, Lend
from ...wire.scoreboard import Scoreboard
from .connection import Connection


def arrived(board: Scoreboard, sock: socket.socket, name: Any, lend: Lend, header_timeout: float) -> Connection:
    """Build the connection of a lend.

    :param name: the client's address, as `getpeername` returns it.
    :param header_timeout: seconds in which a new client must send the head of its first request.
    """
    peer = (name[0], str(name[1])) if sock.family != socket.AF_UNIX else ("", "")
    connection = Connection(board, sock, lend.slot, lend.sequence, lend.listener, peer, lend.carried)
    now = time.monotonic()
    # A connection that was lent before keeps its deadline; a new one has none in its slot.
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
