"""The sweeper: periodic checks for what causes no event: expired deadlines, idle connections to park, lost turns.

Law: runs on the leader's thread. Each connection is checked separately: an internal error in one is logged and closes
that one, and the others are still checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from twisted.logger import Logger

from ...errors import HTTPError
from ...pristine import time
from ...recurring import Recurring
from ...settings import Settings
from ...wire.channel import Kind
from ..process import failing
from .connection import Connection
from .custody import Custody
from .holdings import Holdings
from .idle import leaving
from .intake import has_bytes, relieve
from .phases import Phase
from .traffic import Traffic

#: Seconds that an idle connection stays open when the server stops: a client about to send a request is answered.
LAST_REQUEST_SECONDS = 1.0
#: Seconds between two sweeps.
SWEEP_SECONDS = 0.5
#: Sweeps in a row that find no thread for a turn, until it counts as lost: a hand-over shows none for microseconds.
LOST_SWEEPS = 10

#: Connections that wait for a thread; threads in turns, each with the time at which its turn began.
Census = tuple[Collection[Connection], Collection[tuple[int, int]]]


class SweepActions(Protocol):
    """What the sweeper does with a connection (`poller.Poller`)."""

    def read(self, connection: Connection, ended: bool) -> None:
        """Read the bytes that are there, as after an event; `ended`: the client has closed its side."""

    def begin_lingering(self, connection: Connection) -> None:
        """Close it gently: its client is gone."""

    def refuse(self, connection: Connection, error: HTTPError) -> None:
        """Answer with an error, then close it."""

    def abandon(self, connection: Connection) -> None:
        """Close it because of an internal error; called while the exception is handled."""


class Sweeper:
    """Checks all connections of a worker.

    :param census: returns which requests have threads, or wait for one.
    :param unclaimed: returns the connections that the loop holds between two steps of a turn.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        holdings: Holdings,
        traffic: Traffic,
        settings: Settings,
        actions: SweepActions,
        custody: Custody,
        census: Callable[[], Census],
        unclaimed: Callable[[], Iterable[Connection]],
    ) -> None:
        self._holdings = holdings
        self._traffic = traffic
        self._settings = settings
        self._actions = actions
        self._custody = custody
        self._census = census
        self._unclaimed = unclaimed
        self._recurring = Recurring(reactor, "the deadline check", self.sweep, failing.fail)
        #: Turns that no thread had at the last sweep: when each began, and in how many sweeps that was so.
        self._missing: dict[Connection, tuple[int, int]] = {}

    def start(self) -> None:
        """Sweep from now on."""
        self._recurring.start(SWEEP_SECONDS, now=False)

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self._settings = settings

    def sweep(self) -> None:
        """Check every connection once."""
        now = time.monotonic()
        self._traffic.count(self._holdings.connections.values())
        if not self._holdings.stopping:
            for connection in leaving(self._holdings.connections.values(), self._settings, now):
                self._alone(connection, lambda each: self._custody.give_back(each, Kind.PARKED))
        for connection in self._holdings.all():
            self._alone(connection, lambda each: self._check(each, now))
        self._find_lost()

    def _alone(self, connection: Connection, act: Callable[[Connection], object]) -> None:
        try:
            act(connection)
        except Exception:
            self._actions.abandon(connection)

    def _check(self, connection: Connection, now: float) -> None:
        if self._holdings.stopping and connection.phase is Phase.READING and not connection.header_since:
            connection.deadline = min(connection.deadline, now + LAST_REQUEST_SECONDS)
        if connection.deadline < now and connection.phase is not Phase.TURN:
            self._expire(connection, now)
        elif connection.phase is Phase.READING and not relieve(connection, now):
            self._actions.begin_lingering(connection)

    def _expire(self, connection: Connection, now: float) -> None:
        reading = (Phase.READING, Phase.BODY)
        if connection.phase in reading and has_bytes(connection):
            # An event may have been lost.
            self._actions.read(connection, False)
            if connection.phase not in reading or connection.deadline >= now:
                return
        if connection.phase is Phase.BODY or (connection.phase is Phase.READING and connection.header_since):
            self._actions.refuse(connection, HTTPError(408, "the client took too long to send the request"))
        elif connection.phase is not Phase.READING or not has_bytes(connection):
            self._custody.close(connection)

    # Turns

    def _find_lost(self) -> None:
        """Close connections whose turn no thread has: threads enforce the deadlines of turns, so it would never end."""
        turns = [each for each in self._holdings.connections.values() if each.phase is Phase.TURN]
        if not turns:
            self._missing.clear()
            return
        waiting, running = self._census()
        known = {*waiting, *self._unclaimed()}
        missing = {}
        for connection in turns:
            # A turn may have ended, and another begun, since the census.
            log = connection.redo_log
            since = log.since
            if connection in known or (log.thread, since) in running or connection.phase is not Phase.TURN:
                continue
            before, looks = self._missing.get(connection, (since, 0))
            missing[connection] = since, looks + 1 if before == since else 1
        self._missing = missing
        for connection in [each for each, (_, looks) in missing.items() if looks >= LOST_SWEEPS]:
            self._alone(connection, self._end_lost)

    def _end_lost(self, connection: Connection) -> None:
        del self._missing[connection]
        request = connection.request
        self.log.critical(
            "internal error: {name} lost: no thread runs it, none will; closing its connection",
            name="a request" if request is None else request.line.name,
        )
        self._custody.close(connection)
