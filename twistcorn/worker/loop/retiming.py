"""Moves the deadlines of waiting connections when time-outs change.

Law: runs on the leader's thread, and touches no connection in a turn. A deadline moves as if the new time-out had
applied when the wait began.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...settings import Settings
from .connection import Connection
from .phases import Phase

#: A deadline in the past on any monotonic clock; 0 would mean none.
EXPIRED_SECONDS = 0.001


def retime(connections: Iterable[Connection], old: Settings, new: Settings) -> None:
    """Move the deadlines of the connections from the old settings to the new ones."""
    idle = new.keep_alive - old.keep_alive
    first = new.header_timeout - old.header_timeout
    shifts = {
        Phase.BODY: new.body_timeout - old.body_timeout,
        Phase.WRITING: new.write_timeout - old.write_timeout,
    }
    for connection in connections:
        if connection.phase is not Phase.READING:
            connection.deadline += shifts.get(connection.phase, 0.0)
        elif connection.header_since:
            connection.deadline += first
        elif shift := idle if connection.stream.consumed else first:
            connection.become_idle(max(EXPIRED_SECONDS, connection.deadline + shift))
