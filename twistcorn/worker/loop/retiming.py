"""Time-outs that change while connections wait: what each of them has left then.

Law: on the leader's thread, and touches no connection that has its turn. The time counts from where it began, as if the
new time-out had been there then.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...settings import Settings
from .connection import Connection
from .phases import Phase

#: Seconds: a deadline that is over, whatever the clock says; 0 would be none.
EXPIRED_SECONDS = 0.001


def retime(connections: Iterable[Connection], old: Settings, new: Settings) -> None:
    """Move the deadlines of connections from the old settings to the new ones."""
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
