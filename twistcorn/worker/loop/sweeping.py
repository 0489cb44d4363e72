"""The sweep: at regular times, what no event tells. Deadlines, clients that only rest here, turns that nobody has.

Law: runs on the leader's thread. Each connection is looked at by itself: an error of ours in one is told and ends that
one, and the others have their look.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection
from typing import Any

from ...errors import HTTPError
from ...pristine import time
from ...recurring import Recurring
from ...settings import Settings
from ...wire.channel import Kind
from ...wire.scoreboard import Scoreboard
from ..process import failing
from .connection import Connection
from .idle import leaving
from .intake import has_bytes, relieve
from .phases import Phase
from .rounds import Rounds
from .seats import Seat
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


class Sweeping(Rounds):
    """Looks at all connections.

    :ivar census: tells who has turns; None: nobody asks.
    """

    def __init__(
        self, reactor: Any, board: Scoreboard, region: int, settings: Settings, take: Callable[[Connection, Seat], None]
    ) -> None:
        super().__init__(settings, take)
        self._reactor = reactor
        self._board = board
        self._region = region
        self._traffic = Traffic(board.words, region)
        self._sweeping = Recurring(reactor, "the look at deadlines", self._sweep, failing.fail)
        self.stopping = False
        self.census: Callable[[], Census] | None = None
        #: Turns that nobody had at the last look: since when each runs, and how often that was so.
        self._missing: dict[Connection, tuple[int, int]] = {}

    @abc.abstractmethod
    def give_back(self, connection: Connection, kind: Kind = Kind.RELEASED) -> None: ...

    @abc.abstractmethod
    def _read(self, connection: Connection, ended: bool) -> None: ...

    @abc.abstractmethod
    def _begin_lingering(self, connection: Connection) -> None: ...

    @abc.abstractmethod
    def _refuse(self, connection: Connection, error: HTTPError) -> None: ...

    def _start_sweeping(self) -> None:
        self._sweeping.start(SWEEP_SECONDS, now=False)

    def _sweep(self) -> None:
        now = time.monotonic()
        self._traffic.count(self._connections.values())
        if not self.stopping:
            for connection in leaving(self._connections.values(), self._settings, now):
                self._alone(connection, lambda each: self.give_back(each, Kind.PARKED))
        for connection in list(self._connections.values()):
            self._alone(connection, lambda each: self._look_at(each, now))
        self._find_lost()

    def _alone(self, connection: Connection, act: Callable[[Connection], object]) -> None:
        try:
            act(connection)
        except Exception:
            self.abandon(connection)

    def _look_at(self, connection: Connection, now: float) -> None:
        if self.stopping and connection.phase is Phase.READING and not connection.header_since:
            connection.deadline = min(connection.deadline, now + LAST_REQUEST_SECONDS)
        if connection.deadline < now and connection.phase is not Phase.TURN:
            self._expire(connection, now)
        elif connection.phase is Phase.READING and not relieve(connection, now):
            self._begin_lingering(connection)

    def _expire(self, connection: Connection, now: float) -> None:
        reading = (Phase.READING, Phase.BODY)
        if connection.phase in reading and has_bytes(connection):
            # Its event may have been lost.
            self._read(connection, False)
            if connection.phase not in reading or connection.deadline >= now:
                return
        if connection.phase is Phase.BODY or (connection.phase is Phase.READING and connection.header_since):
            self._refuse(connection, HTTPError(408, "the request took too long"))
        elif connection.phase is not Phase.READING or not has_bytes(connection):
            self._close(connection)

    # Turns

    def _find_lost(self) -> None:
        """A turn has no deadline of its own, because threads have; one that no thread has would never end."""
        turns = [each for each in self._connections.values() if each.phase is Phase.TURN]
        if not turns or self.census is None:
            self._missing.clear()
            return
        waiting, running = self.census()
        known = {*waiting, *self._ready, *self._answers}
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
            "internal error: {name} was lost, no thread has it and none is coming for it; its connection is ended",
            name="a request" if request is None else request.line.name,
        )
        self._close(connection)
