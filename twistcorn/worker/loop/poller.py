"""The poller: the worker's connections, their events, deadlines and ends.

Law: runs on the leader's thread, and stops at once where that has lost the lead; only here connections are registered
and closed. They have an epoll descriptor of their own, for edge-triggered events on bytes that were only looked at; the
reactor's is one among them. The order of an end is always EPOLL_CTL_DEL, close, report; a descriptor closed earlier
stays registered as long as the master's copy lives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import HTTPError
from ...pristine import select, time
from ...settings import Settings
from ...wire.scoreboard import W_THREADS, Scoreboard
from ..http import responses
from ..http.head_cache import Heads
from ..http.refusals import Refusals
from ..http.spool import Spool
from ..process import failing
from . import lingering
from .addresses import Address
from .connection import Connection
from .custody import Custody
from .holdings import WATCHED, Holdings
from .intake import Found, advance, drop_body, method_of
from .partial import MAX_PEEKS
from .phases import Phase
from .resting import Resting
from .retiming import retime
from .rounds import Rounds
from .seats import Seat
from .stream import SCRATCH_BYTES, ClientGone
from .sweeping import Census, Sweeper
from .traffic import Traffic

_WRITABLE = select.EPOLLOUT | select.EPOLLET
_RESTING = select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP

# What an enumeration's members cost to look up is seen in each request.
_READING, _TURN, _REQUEST = Phase.READING, Phase.TURN, Found.REQUEST


class TurnTaker(Protocol):
    """Who answers requests (`turns.Turns`)."""

    def take(self, connection: Connection, seat: Seat) -> None:
        """Give a connection that has a request its turn, perhaps here and now; `Poller.turn_ended` follows."""

    def before_send(self) -> None:
        """The leader is about to send answers."""

    def census(self) -> Census:
        """Who has turns."""


class Poller:
    """All connections of this worker (`rounds.RoundActions`, `sweeping.SweepActions`).

    :param listeners: their addresses, by index.
    :param report: tells the master about a lend: kind, slot, sequence, with CARRIED also what was taken of a head.
    :param on_empty: called when a draining or stopping worker has no connection left.
    :ivar heads: reads the heads of requests; `spool`: where their bodies are kept.
    :ivar holdings: the connections; `custody`: how they come and go; `rounds`: the rounds of the loop; `sweeper`: what
        checks them at regular times.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        listeners: Sequence[Address],
        turns: TurnTaker,
        report: Callable[..., None],
        on_empty: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._board = board
        self._region = region
        self._settings = settings
        self.heads = Heads(settings)
        self.spool = Spool(board, region, settings)
        self.holdings = holdings = Holdings()
        traffic = Traffic(board.words, region)
        self.custody = custody = Custody(board, region, settings, holdings, traffic, listeners, report, on_empty)
        self._scratch = scratch = bytearray(SCRATCH_BYTES)
        self.rounds = rounds = Rounds(
            holdings, self, custody, turns.take, turns.before_send, scratch, settings.keep_alive
        )  # fmt: skip
        self.sweeper = Sweeper(
            reactor, holdings, traffic, settings, self, custody, turns.census, lambda: (*rounds.ready, *rounds.answers)
        )
        self._refusals = Refusals(board, region)
        self._resting = Resting(reactor, self._watch_again)

    def start(self) -> None:
        """Take requests, and check deadlines."""
        self._board.words[self._region + W_THREADS] = self._settings.threads
        self.sweeper.start()

    def configure(self, settings: Settings) -> None:
        """From now on these settings count, also for what waits already."""
        retime(self.holdings.connections.values(), self._settings, settings)
        self._settings = settings
        self.rounds.keep_alive = settings.keep_alive
        self.sweeper.configure(settings)
        self.custody.configure(settings)

    def stop(self) -> None:
        """End every connection after its present request; idle ones soon. From now on nobody takes one back."""
        self.custody.stop()
        self.sweeper.sweep()
        self.custody.report_if_empty()

    # Events

    def handle(self, connection: Connection, mask: int) -> None:
        phase = connection.phase
        if phase is _READING:
            if self.holdings.draining:
                self.custody.give_back(connection)
            else:
                self.read(connection, mask & _ENDED != 0)
        elif phase is Phase.BODY:
            self.read(connection, mask & _ENDED != 0)
        elif phase is Phase.LINGERING:
            self._linger(connection)
        elif phase is Phase.WRITING:
            self._write(connection)
        elif phase is Phase.TURN:
            connection.missed = True
            # Whoever ends the turn first writes the phase and then looks at `missed`.
            if connection.phase is not Phase.TURN:
                self.handle(connection, mask)

    def read(self, connection: Connection, ended: bool) -> None:
        try:
            found = advance(connection, self.heads, self._settings, ended, self.spool)
        except HTTPError as error:
            self.refuse(connection, error)
            return
        except BlockingIOError:
            found = Found.MORE
        except (OSError, ClientGone):
            found = Found.END
        if found is _REQUEST:
            connection.phase = _TURN
            connection.stream.keep = False
            # The end of the stream has been told, and will not be told again.
            connection.missed |= ended
            self.rounds.ready.append(connection)
        elif found is Found.END:
            self.begin_lingering(connection)
        elif found is Found.AGAIN:
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)
        elif connection.partial is not None and connection.partial.looks > MAX_PEEKS:
            self.holdings.epoll.modify(connection.stream.sock, _RESTING)
            self._resting.add(connection)

    def _watch_again(self, connection: Connection) -> None:
        if connection.partial is not None and connection.phase is Phase.READING:
            try:
                self.rearm(connection)
            except Exception:
                self.abandon(connection)

    def begin_lingering(self, connection: Connection) -> None:
        """The client has ended it. What is unread is taken first: closing on it would reset an answer on its way."""
        drop_body(connection)
        lingering.begin(connection, self._settings, time.monotonic(), refused=False)
        self.holdings.epoll.modify(connection.stream.sock, WATCHED)
        self._linger(connection)

    def turn_ended(self, connection: Connection) -> None:
        """The turn is over. Called from any thread.

        The leader may have the connection as soon as its phase is written: its events are the leader's from then on.
        """
        if self._end_turn(connection):
            self.rounds.returned.append(connection)
            self._reactor.wakeUp()

    def enter_next_phase(self, connection: Connection) -> None:
        if self._end_turn(connection):
            self.rearm(connection)

    def _end_turn(self, connection: Connection) -> bool:
        """Write the next phase, last of all; returns whether its events have to be set right."""
        now = time.monotonic()
        if connection.stream.unsent is not None:
            connection.redo_log.write_answered()
            connection.deadline = now + self._settings.write_timeout
            connection.watched = False
            connection.phase = Phase.WRITING
        elif connection.stream.keep:
            connection.request = None
            connection.become_idle(now + self._settings.keep_alive)
            connection.phase = Phase.READING
            return self.holdings.draining or connection.missed or not connection.watched
        else:
            lingering.begin(connection, self._settings, now, refused=False)
        return True

    def rearm(self, connection: Connection) -> None:
        """Have the events of a connection that has just come back, whatever was done with it meanwhile."""
        phase = connection.phase
        if phase is Phase.WRITING:
            self.holdings.epoll.modify(connection.stream.sock, _WRITABLE)
        elif phase is _READING and self.holdings.draining:
            self.custody.give_back(connection)
        elif phase is _READING or phase is Phase.LINGERING:
            # What is there is told again.
            connection.watched = True
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)

    def _linger(self, connection: Connection) -> None:
        """Take and forget what the client still sends, until it closes or the bounds are reached."""
        over = lingering.drop(connection, self._scratch)
        if over:
            self.custody.close(connection)
        elif over is None:
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)

    def _write(self, connection: Connection) -> None:
        """Send more of an answer that is made."""
        assert connection.stream.unsent is not None
        try:
            sent = connection.stream.send_some(connection.stream.unsent)
        except ClientGone:
            self.custody.close(connection)
            return
        connection.stream.unsent = connection.stream.unsent[sent:] or None
        if connection.stream.unsent is None:
            if self.custody.access is not None:
                self.custody.access.finished(connection)
            self.enter_next_phase(connection)
        elif sent:
            connection.deadline = time.monotonic() + self._settings.write_timeout
            # The event for the next room is told only after a send found none; ask for it anew.
            self.holdings.epoll.modify(connection.stream.sock, _WRITABLE)

    def refuse(self, connection: Connection, error: HTTPError) -> None:
        """One answer, then the end; nothing behind it is ever read as a request."""
        now = time.monotonic()
        self._refusals.tell(connection.peer[0], error, now)
        if self.custody.access is not None:
            self.custody.access.refused(connection, error.status)
        connection.redo_log.write_closing()
        drop_body(connection)
        stream = connection.stream
        with contextlib.suppress(OSError):
            stream.written += stream.sock.send(responses.refusal(error.status, method_of(connection)))
        lingering.begin(connection, self._settings, now, refused=True)
        self.holdings.epoll.modify(connection.stream.sock, WATCHED)

    def abandon(self, connection: Connection, seat: Seat | None = None) -> None:
        """An error of ours, being handled, ends this connection and no other; it is logged once.

        :param seat: of this thread, which may have lost the lead; None: it leads.
        """
        try:
            self.holdings.prove()
        except OSError:
            # Not this connection's fault: as long as nothing is noted, another worker can continue with it.
            failing.fail("the application closed or replaced an epoll descriptor of the server", Failure())
        self.log.failure("internal error in a connection; closing it")
        try:
            if seat is not None and not seat.leads:
                connection.stream.keep, connection.answer, connection.stream.unsent = False, None, None
                self.turn_ended(connection)
            elif self.holdings.connections.get(connection.stream.sock.fileno()) is connection:
                self.custody.close(connection)
        except Exception:
            # It would stay for ever, and so might others that were to be checked after it.
            failing.fail("it cannot close a connection", Failure())
