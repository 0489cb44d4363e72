"""The poller: the worker's connections, their events, deadlines and ends.

Law: runs on the leader's thread, and stops at once where that has lost the lead; only here connections are registered
and closed. They have an epoll descriptor of their own, for edge-triggered events on bytes that were only looked at; the
reactor's is one among them. The order of an end is always EPOLL_CTL_DEL, close, report; a descriptor closed earlier
stays registered as long as the master's copy lives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...errors import HTTPError
from ...pristine import select, time
from ...settings import Settings
from ...wire.channel import Kind, Lend
from ...wire.scoreboard import W_THREADS, Scoreboard
from ..http import responses
from ..http.head_cache import Heads
from ..http.refusals import Refusals
from ..http.spool import Spool
from . import lingering
from .addresses import Address
from .arrivals import arrived
from .connection import Connection
from .intake import Found, advance, drop_body, method_of
from .partial import MAX_PEEKS
from .parting import check_known, part, take_descriptor
from .phases import Phase
from .resting import Resting
from .rounds import WATCHED
from .seats import Seat
from .stream import ClientGone
from .sweeping import Sweeping

_WRITABLE = select.EPOLLOUT | select.EPOLLET
_RESTING = select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP

# What an enumeration's members cost to look up is seen in each request.
_READING, _TURN, _REQUEST = Phase.READING, Phase.TURN, Found.REQUEST


class Poller(Sweeping):
    """All connections of this worker.

    :param listeners: their addresses, by index.
    :param take: gives a connection that has a request its turn, perhaps here and now; `turn_ended` is called from any
        thread when that is over.
    :param report: tells the master about a lend: kind, slot, sequence, with CARRIED also what was taken of a head.
    :param on_empty: called when a draining or stopping worker has no connection left.
    :ivar heads: reads the heads of requests; `spool`: where their bodies are kept.
    """

    def __init__(
        self,
        reactor: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        listeners: Sequence[Address],
        take: Callable[[Connection, Seat], None],
        report: Callable[..., None],
        on_empty: Callable[[], None],
    ) -> None:
        super().__init__(reactor, board, region, settings, take)
        self._listeners = listeners
        self._report = report
        self._on_empty = on_empty
        self.heads = Heads(settings)
        self.spool = Spool(board, region, settings)
        self._refusals = Refusals(board, region)
        self._resting = Resting(reactor, self._watch_again)
        #: Connections whose request cannot be ended: nobody waits for them.
        self.given_up: set[Connection] = set()

    def start(self) -> None:
        """Take requests, and look at deadlines."""
        self._board.words[self._region + W_THREADS] = self._settings.threads
        self._start_sweeping()

    # Coming and going

    def adopt(self, descriptor: int, lend: Lend) -> None:
        """Take over a connection that the master lends; the descriptor is ours from here on.

        What is raised leaves nothing of it here, neither a descriptor nor a record.
        """
        known = self._connections.get(descriptor)
        if known is not None:
            # The number was free: the application has closed the other one.
            check_known(known, descriptor)
            self._leave(known, descriptor, Kind.CLOSED)
        sock = take_descriptor(descriptor, self._listeners[lend.listener].family)
        try:
            name = sock.getpeername()
        except OSError:
            # It was reset while it waited.
            sock.close()
            self._report(Kind.CLOSED, lend.slot, lend.sequence)
            return
        if self.draining:
            sock.close()
            self._report(Kind.RELEASED, lend.slot, lend.sequence)
            return
        try:
            connection = arrived(self._board, sock, name, lend, self._settings.header_timeout)
            self._epoll.register(descriptor, WATCHED)
            self._connections[descriptor] = connection
        except BaseException:
            # To close it takes it out of the epoll only where nobody else has a copy (epoll(7)).
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)
            sock.close()
            raise
        self._traffic.set_connections(len(self._connections))

    def _remove(self, connection: Connection, kind: Kind) -> None:
        descriptor = connection.stream.sock.fileno()
        drop_body(connection)
        part(self._epoll, connection.stream.sock, kind is Kind.CLOSED)
        self._leave(connection, descriptor, kind)

    def _leave(self, connection: Connection, descriptor: int, kind: Kind) -> None:
        """Nothing of it is here any more but its record."""
        connection.phase = Phase.CLOSED
        self.given_up.discard(connection)
        # A fork that comes now finds it in the table, and the child closes its copy.
        del self._connections[descriptor]
        carried = (connection.partial.taken,) if connection.partial and kind is Kind.CARRIED else ()
        self._report(kind, connection.slot, connection.sequence, *carried)
        # Whatever goes wrong from here on, the master knows where it is.
        self._log_end(connection)
        self._traffic.count((connection,))
        self._traffic.set_connections(len(self._connections))
        self._report_if_empty()

    def _close(self, connection: Connection) -> None:
        connection.redo_log.write_closing()
        self._remove(connection, Kind.CLOSED)

    def give_back(self, connection: Connection, kind: Kind = Kind.RELEASED) -> None:
        """Give the connection back; its unread bytes wait in the kernel."""
        if connection.untouched:
            connection.become_idle(connection.deadline)
        elif connection.partial is not None:
            # The slot goes on to say that bytes were taken, until the master has them.
            connection.redo_log.write_deadline(connection.deadline)
            kind = Kind.CARRIED
        else:
            connection.redo_log.write_closing()
        self._remove(connection, kind)

    @property
    def empty(self) -> bool:
        """Whether nothing is here that anybody waits for."""
        return len(self._connections) <= len(self.given_up)

    def _report_if_empty(self) -> None:
        if self.empty and (self.draining or self.stopping):
            self._on_empty()

    def give_up(self, connections: Iterable[Connection]) -> None:
        """Wait for these no longer when everything else is gone; the last word counts."""
        self.given_up = set(connections)
        self._report_if_empty()

    def drain(self) -> None:
        """Give back every connection, the busy ones after their turn."""
        self.draining = True
        self._board.words[self._region + W_THREADS] = 0
        for connection in list(self._connections.values()):
            if connection.phase is Phase.READING:
                self.give_back(connection)
        self._report_if_empty()

    def release_some(self, count: int) -> None:
        """Give back so many connections, of those that are free now."""
        for connection in [each for each in self._connections.values() if each.phase is Phase.READING][:count]:
            self.give_back(connection)

    def stop(self) -> None:
        """End every connection after its present request; idle ones soon. From now on nobody takes one back."""
        self.stopping, self.draining = True, False
        self._board.words[self._region + W_THREADS] = 0
        self._sweep()
        self._report_if_empty()

    # Events

    def _handle(self, connection: Connection, mask: int) -> None:
        phase = connection.phase
        if phase is _READING:
            if self.draining:
                self.give_back(connection)
            else:
                self._read(connection, mask & _ENDED != 0)
        elif phase is Phase.BODY:
            self._read(connection, mask & _ENDED != 0)
        elif phase is Phase.LINGERING:
            self._linger(connection)
        elif phase is Phase.WRITING:
            self._write(connection)
        elif phase is Phase.TURN:
            connection.missed = True
            # Whoever ends the turn first writes the phase and then looks at `missed`.
            if connection.phase is not Phase.TURN:
                self._handle(connection, mask)

    def _read(self, connection: Connection, ended: bool) -> None:
        try:
            found = advance(connection, self.heads, self._settings, ended, self.spool)
        except HTTPError as error:
            self._refuse(connection, error)
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
            self._ready.append(connection)
        elif found is Found.END:
            self._begin_lingering(connection)
        elif found is Found.AGAIN:
            self._epoll.modify(connection.stream.sock, WATCHED)
        elif connection.partial is not None and connection.partial.looks > MAX_PEEKS:
            self._epoll.modify(connection.stream.sock, _RESTING)
            self._resting.add(connection)

    def _watch_again(self, connection: Connection) -> None:
        if connection.partial is not None and connection.phase is Phase.READING:
            try:
                self._rearm(connection)
            except Exception:
                self.abandon(connection)

    def _begin_lingering(self, connection: Connection) -> None:
        """The client has ended it. What is unread is taken first: closing on it would reset an answer on its way."""
        drop_body(connection)
        lingering.begin(connection, self._settings, time.monotonic(), refused=False)
        self._epoll.modify(connection.stream.sock, WATCHED)
        self._linger(connection)

    def turn_ended(self, connection: Connection) -> None:
        """The turn is over. Called from any thread.

        The leader may have the connection as soon as its phase is written: its events are the leader's from then on.
        """
        if self._end_turn(connection):
            self._returned.append(connection)
            self._reactor.wakeUp()

    def _enter_next_phase(self, connection: Connection) -> None:
        if self._end_turn(connection):
            self._rearm(connection)

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
            return self.draining or connection.missed or not connection.watched
        else:
            lingering.begin(connection, self._settings, now, refused=False)
        return True

    def _rearm(self, connection: Connection) -> None:
        """Have the events of a connection that has just come back, whatever was done with it meanwhile."""
        phase = connection.phase
        if phase is Phase.WRITING:
            self._epoll.modify(connection.stream.sock, _WRITABLE)
        elif phase is _READING and self.draining:
            self.give_back(connection)
        elif phase is _READING or phase is Phase.LINGERING:
            # What is there is told again.
            connection.watched = True
            self._epoll.modify(connection.stream.sock, WATCHED)

    def _linger(self, connection: Connection) -> None:
        """Take and forget what the client still sends, until it closes or the bounds are reached."""
        over = lingering.drop(connection, self._scratch)
        if over:
            self._close(connection)
        elif over is None:
            self._epoll.modify(connection.stream.sock, WATCHED)

    def _write(self, connection: Connection) -> None:
        """Send more of an answer that is made."""
        assert connection.stream.unsent is not None
        try:
            sent = connection.stream.send_some(connection.stream.unsent)
        except ClientGone:
            self._close(connection)
            return
        connection.stream.unsent = connection.stream.unsent[sent:] or None
        if connection.stream.unsent is None:
            self._log_end(connection)
            self._enter_next_phase(connection)
        elif sent:
            connection.deadline = time.monotonic() + self._settings.write_timeout
            # The event for the next room is told only after a send found none; ask for it anew.
            self._epoll.modify(connection.stream.sock, _WRITABLE)

    def _refuse(self, connection: Connection, error: HTTPError) -> None:
        """One answer, then the end; nothing behind it is ever read as a request."""
        now = time.monotonic()
        self._refusals.tell(connection.peer[0], error, now)
        self._log_refusal(connection, error.status)
        connection.redo_log.write_closing()
        drop_body(connection)
        stream = connection.stream
        with contextlib.suppress(OSError):
            stream.written += stream.sock.send(responses.refusal(error.status, method_of(connection)))
        lingering.begin(connection, self._settings, now, refused=True)
        self._epoll.modify(connection.stream.sock, WATCHED)
