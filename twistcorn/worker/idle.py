"""Which idle connections a worker gives back: those that have been idle for long, and those it has too many of.

Law: chooses, and changes nothing. Only a connection between two requests is ever chosen, so nobody's answer waits for
it; it costs its next request the way over the master.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from ..settings import Settings
from ..wire.channel import Kind
from ..wire.scoreboard import W_CONNECTIONS, W_THREADS, Scoreboard
from .connection import Connection, Phase

#: Idle connections given back at once: some milliseconds of work.
AT_ONCE = 256
#: A worker has too many connections when it has so much more than its share, and so many more: a few more are chance.
TOO_MUCH, TOO_MANY = 1.25, 2


def surplus(own: int, all_of_them: list[int]) -> int:
    """How many connections a worker gives back, so that a new one gets its share though no client connects anew.

    :param all_of_them: the connections of each worker that serves, this one included.
    """
    if not all_of_them:
        return 0
    share = -(-sum(all_of_them) // len(all_of_them))
    return own - share if own > TOO_MUCH * share + TOO_MANY else 0


def leaving(
    connections: Iterable[Connection], settings: Settings, board: Scoreboard, now: float
) -> Iterator[tuple[Connection, Kind]]:
    """The connections that go back to the master now, and as what."""
    mine = list(connections)
    rows = zip(board.column(W_THREADS), board.column(W_CONNECTIONS), strict=True)
    too_many = surplus(len(mine), [count for threads, count in rows if threads])
    left = AT_ONCE
    for connection in mine:
        if not left:
            return
        if not _between_requests(connection):
            continue
        # The end of an answer has set the deadline.
        parks = 0 < settings.park_after < now - (connection.deadline - settings.keep_alive)
        if (parks or too_many > 0) and not has_bytes(connection):
            left -= 1
            too_many -= not parks
            yield connection, Kind.PARKED if parks else Kind.RELEASED


def _between_requests(connection: Connection) -> bool:
    """One that never asked is not: it has the time for a first request only, and is about to ask."""
    return connection.phase is Phase.READING and connection.consumed > 0 and not connection.header_since


def has_bytes(connection: Connection) -> bool:
    """Whether something waits to be read, whose event is on the way."""
    try:
        return bool(connection.sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False
