"""Chooses the idle connections that a worker gives back to the master, which parks them.

Law: chooses, and changes nothing. Only connections between two requests are chosen, so no answer is delayed; the next
request pays for the way through the master.
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
    """Yield the connections to park now; `now` in monotonic seconds."""
    if not settings.park_after:
        return
    # The deadline was set when the last answer ended, `keep_alive` seconds ahead.
    latest = now - settings.park_after + settings.keep_alive
    left = MAX_GIVEN_BACK
    for connection in list(connections):
        if connection.deadline < latest and _between_requests(connection) and not has_bytes(connection):
            yield connection
            left -= 1
            if not left:
                return


def _between_requests(connection: Connection) -> bool:
    """Whether it has had a request and waits for the next; a new connection is about to send its first."""
    return connection.phase is Phase.READING and connection.stream.consumed > 0 and not connection.header_since
