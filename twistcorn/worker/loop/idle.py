"""Which idle connections a worker gives back, to be parked in the master.

Law: chooses, and changes nothing. Only a connection between two requests is ever chosen, so nobody's answer waits for
it; it costs its next request the way over the master.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...settings import Settings
from .connection import Connection
from .intake import has_bytes
from .phases import Phase

#: Connections given back at once: some milliseconds of work.
MAX_GIVEN_BACK = 256


def leaving(connections: Iterable[Connection], settings: Settings, now: float) -> Iterator[Connection]:
    """The connections that go to the master now; monotonic seconds."""
    if not settings.park_after:
        return
    # The end of an answer has set the deadline.
    latest = now - settings.park_after + settings.keep_alive
    left = MAX_GIVEN_BACK
    for connection in list(connections):
        if connection.deadline < latest and _between_requests(connection) and not has_bytes(connection):
            yield connection
            left -= 1
            if not left:
                return


def _between_requests(connection: Connection) -> bool:
    """One that never asked is not: it has the time for a first request only, and is about to ask."""
    return connection.phase is Phase.READING and connection.stream.consumed > 0 and not connection.header_since
