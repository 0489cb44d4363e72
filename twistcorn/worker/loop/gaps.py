"""Extends time-outs by the time in which the worker's loop did not run.

Law: runs on the leader's thread, before any timer. A stopped process cannot read what its clients sent, so they are not
late. Nor are its requests, unless the process used the processor meanwhile: then one of them held the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger

from ...pristine import time
from ...recurring import Recurring
from .connection import Connection
from .phases import Phase

#: Seconds between two readings of the processor time.
CHECK_SECONDS = 1.0
#: Share of a gap that may be processor time if the process was stopped; includes the time from the last reading to the
#: gap.
COMPUTED_SHARE = 0.5


class Gaps:
    """Extends time-outs after a gap.

    :param connections: returns the connections of this worker.
    :param others: called with the seconds by which to extend other time-outs.
    :param spent: returns the processor time of this process, in seconds.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        connections: Callable[[], Iterable[Connection]],
        others: Iterable[Callable[[float], object]],
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        self._connections = connections
        self._others = list(others)
        self._spent = spent
        self._known = spent()
        self._looking = Recurring(clock, "the processor time check", self._note_processor_time)

    def start(self) -> None:
        """Read the processor time from now on."""
        self._looking.start(CHECK_SECONDS, now=False)

    def _note_processor_time(self) -> None:
        self._known = self._spent()

    def missed(self, gap: float) -> None:
        """Extend all time-outs: the loop did not run for `gap` seconds."""
        computed = self._spent() - self._known > COMPUTED_SHARE * gap
        for connection in self._connections():
            _put_off(connection, gap, not computed)
        for put_off in self._others:
            put_off(gap)
        if not computed:
            self.log.warn("the worker did not run for {gap:.1f} s; extending time-outs by as much", gap=gap)


def _put_off(connection: Connection, seconds: float, request: bool) -> None:
    phase = connection.phase
    if phase is Phase.TURN:
        if request:
            connection.redo_log.restart_clock(connection.redo_log.counted_from + int(seconds * 1e9))
    elif phase is Phase.READING and not connection.header_since:
        connection.become_idle(connection.deadline + seconds)
    else:
        connection.deadline += seconds
        connection.end_by += seconds
    if connection.waiting:
        connection.queued_since += seconds
