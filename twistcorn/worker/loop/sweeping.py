"""The sweep: at regular times, what no event tells. Deadlines, clients that only rest here, turns that nobody has.

Law: runs on the leader's thread. Each connection is looked at by itself: an error of ours in one is told and ends that
one, and the others have their look.
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

#: Idle time of an open connection when the server stops: clients that are about to ask once more are answered.
LAST_REQUEST_SECONDS = 1.0
#: Between two looks at the deadlines.
SWEEP_SECONDS = 0.5
#: Looks in a row at which nobody has a turn, until it is lost: on its way from one to the next it is seen with nobody
#: for microseconds.
LOST_SWEEPS = 10

#: Who has turns: connections that wait for a thread; threads, and since when each has its turn.
Census = tuple[Collection[Connection], Collection[tuple[int, int]]]


class SweepActions(Protocol):
    """What the sweep does with a connection (`poller.Poller`)."""

    def read(self, connection: Connection, ended: bool) -> None:
        """Read what is there, as after an event; `ended`: the client has closed its side."""

    def begin_lingering(self, connection: Connection) -> None:
        """Its client is gone."""

    def refuse(self, connection: Connection, error: HTTPError) -> None:
        """Answer with an error, and end it."""

    def abandon(self, connection: Connection) -> None:
        """End it for an error of ours, which is being handled."""


class Sweeper:
    """Checks all connections.

    :param census: says who has turns.
    :param unclaimed: connections that the loop has between two steps of a turn.
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
        #: Turns that nobody had at the last check: since when each runs, and how often that was so.
        self._missing: dict[Connection, tuple[int, int]] = {}

    def start(self) -> None:
        """Check from now on."""
        self._recurring.start(SWEEP_SECONDS, now=False)

    def configure(self, settings: Settings) -> None:
        """These settings count from now on."""
        self._settings = settings

    def sweep(self) -> None:
        """Check every connection once."""
        now = time.monotonic()
        self._traffic.count(self._holdings.connections.values())
        if not self._holdings.stopping:
            for connection in leaving(self._holdings.connections.values(), self._settings, now):
                self._alone(connection, lambda each: self._custody.give_back(each, Kind.PARKED))
        for connection in self._holdings.all():
            self._alone(connection, lambda each: self._look_at(each, now))
        self._find_lost()

    def _alone(self, connection: Connection, act: Callable[[Connection], object]) -> None:
        try:
            act(connection)
        except Exception:
            self._actions.abandon(connection)

    def _look_at(self, connection: Connection, now: float) -> None:
        if self._holdings.stopping and connection.phase is Phase.READING and not connection.header_since:
            connection.deadline = min(connection.deadline, now + LAST_REQUEST_SECONDS)
        if connection.deadline < now and connection.phase is not Phase.TURN:
            self._expire(connection, now)
        elif connection.phase is Phase.READING and not relieve(connection, now):
            self._actions.begin_lingering(connection)

    def _expire(self, connection: Connection, now: float) -> None:
        reading = (Phase.READING, Phase.BODY)
        if connection.phase in reading and has_bytes(connection):
            # Its event may have been lost.
            self._actions.read(connection, False)
            if connection.phase not in reading or connection.deadline >= now:
                return
        if connection.phase is Phase.BODY or (connection.phase is Phase.READING and connection.header_since):
            self._actions.refuse(connection, HTTPError(408, "the client took too long to send the request"))
        elif connection.phase is not Phase.READING or not has_bytes(connection):
            self._custody.close(connection)

    # Turns

    def _find_lost(self) -> None:
        """A turn has no deadline of its own, because threads have; one that no thread has would never end."""
        turns = [each for each in self._holdings.connections.values() if each.phase is Phase.TURN]
        if not turns:
            self._missing.clear()
            return
        waiting, running = self._census()
        known = {*waiting, *self._unclaimed()}
        missing = {}
        for connection in turns:
            # A turn that has ended since is another one, or none.
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
