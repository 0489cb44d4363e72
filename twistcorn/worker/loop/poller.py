"""The poller: decides what an event means for a connection, and what follows a turn, a refusal or an internal error.

Law: runs on the leader's thread, except `turn_ended`, which any thread calls. Connections have their own epoll, with
edge-triggered events because bytes are only peeked at; the reactor's epoll is one descriptor in it. `holdings` is the
table of connections, `custody` registers and closes them, `rounds` runs the loop, `sweeping` enforces deadlines.
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

# Looking up members of an enumeration costs measurable time in each request.
_READING, _TURN, _REQUEST = Phase.READING, Phase.TURN, Found.REQUEST


class TurnTaker(Protocol):
    """Gives requests to threads (`turns.Turns`)."""

    def take(self, connection: Connection, seat: Seat) -> None:
        """Give a connection with a request its turn, perhaps on this thread at once; `Poller.turn_ended` follows."""

    def before_send(self) -> None:
        """The leader is about to send answers."""

    def census(self) -> Census:
        """Return the connections that wait for a thread, and the threads in turns."""


class Poller:
    """Handles the connections of a worker (`rounds.RoundActions`, `sweeping.SweepActions`).

    :param listeners: the listeners' addresses, by index.
    :param report: reports a lend to the master: kind, slot, sequence, and for CARRIED the bytes taken of a head.
    :param on_empty: called when a draining or stopping worker has no connection left to wait for.
    :ivar heads: parses the heads of requests; `spool`: stores their bodies.
    :ivar holdings: the table of connections; `custody`: takes them over and closes them; `rounds`: runs the loop;
        `sweeper`: checks deadlines.
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
        """Accept lends, and check deadlines, from now on."""
        self._board.words[self._region + W_THREADS] = self._settings.threads
        self.sweeper.start()

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on, also for connections that wait already."""
        retime(self.holdings.connections.values(), self._settings, settings)
        self._settings = settings
        self.rounds.keep_alive = settings.keep_alive
        self.sweeper.configure(settings)
        self.custody.configure(settings)

    def stop(self) -> None:
        """Close every connection after its present request, idle ones soon. None goes back to the master."""
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
            # A thread that ends the turn writes the phase first and reads `missed` then.
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
            # The event for the end of the stream is used up, and does not come again.
            connection.missed |= ended
            self.rounds.ready.append(connection)
        elif found is Found.END:
            self.begin_lingering(connection)
        elif found is Found.AGAIN:
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)
        elif connection.partial is not None and connection.partial.looks > MAX_PEEKS:
            self.holdings.epoll.modify(connection.stream.sock, _RESTING)
            self._resting.rest(connection)

    def _watch_again(self, connection: Connection) -> None:
        if connection.partial is not None and connection.phase is Phase.READING:
            try:
                self.rearm(connection)
            except Exception:
                self.abandon(connection)

    def begin_lingering(self, connection: Connection) -> None:
        """The client closed its side. Read unread bytes first: closing with them would reset an answer on its way."""
        drop_body(connection)
        lingering.begin(connection, self._settings, time.monotonic(), refused=False)
        self.holdings.epoll.modify(connection.stream.sock, WATCHED)
        self._linger(connection)

    def turn_ended(self, connection: Connection) -> None:
        """End a turn. Called from any thread.

        As soon as the next phase is written, the leader owns the connection; only the leader may rearm its events.
        """
        if self._end_turn(connection):
            self.rounds.returned.append(connection)
            self._reactor.wakeUp()

    def enter_next_phase(self, connection: Connection) -> None:
        if self._end_turn(connection):
            self.rearm(connection)

    def _end_turn(self, connection: Connection) -> bool:
        """Write the next phase, last of all; returns whether events must be rearmed."""
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
        """Watch for the events of the present phase of a connection whose turn is over."""
        phase = connection.phase
        if phase is Phase.WRITING:
            self.holdings.epoll.modify(connection.stream.sock, _WRITABLE)
        elif phase is _READING and self.holdings.draining:
            self.custody.give_back(connection)
        elif phase is _READING or phase is Phase.LINGERING:
            # This reports bytes again that are there already.
            connection.watched = True
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)

    def _linger(self, connection: Connection) -> None:
        """Read and drop what the client still sends, until it closes or the bounds are reached."""
        over = lingering.drop(connection, self._scratch)
        if over:
            self.custody.close(connection)
        elif over is None:
            self.holdings.epoll.modify(connection.stream.sock, WATCHED)

    def _write(self, connection: Connection) -> None:
        """Send more of a complete answer."""
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
            # Edge-triggered EPOLLOUT comes only after a send found no room; rearming asks for it again.
            self.holdings.epoll.modify(connection.stream.sock, _WRITABLE)

    def refuse(self, connection: Connection, error: HTTPError) -> None:
        """Answer with an error, then close; bytes behind the request are never read as another one."""
        now = time.monotonic()
        self._refusals.log_refusal(connection.peer[0], error, now)
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
        """Log an internal error, while it is handled, and close this connection and no other.

        :param seat: of this thread, which may have lost the lead; None: this thread leads.
        """
        try:
            self.holdings.prove()
        except OSError:
            # Not this connection's fault: while its redo log is unchanged, another worker can continue with it.
            failing.fail("the application closed or replaced an epoll descriptor of the server", Failure())
        self.log.failure("internal error in a connection; closing it")
        try:
            if seat is not None and not seat.leads:
                connection.stream.keep, connection.answer, connection.stream.unsent = False, None, None
                self.turn_ended(connection)
            elif self.holdings.connections.get(connection.stream.sock.fileno()) is connection:
                self.custody.close(connection)
        except Exception:
            # It would stay open for ever, and so might others that were due after it.
            failing.fail("it cannot close a connection", Failure())
