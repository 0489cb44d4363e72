"""The rounds of a worker's loop: wait for events, read requests, give each its turn, send the answers.

Law: runs on the leader's thread, and stops at once where that has lost the lead; what it leaves, the next leader
goes on with. What an event means for a connection, and how one ends, is `poller`'s.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import select, time
from ...settings import Settings
from ..process import failing
from .connection import Connection
from .phases import Phase
from .retiming import retime
from .seats import Seat
from .stream import SCRATCH_BYTES

#: Every event: edge-triggered, because bytes that were only looked at would be told again and again.
WATCHED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
#: Events taken at once.
EVENTS_AT_ONCE = 64
#: Nanoseconds of turns in one round, before timers and the reactor's own descriptors get theirs.
ROUND_NANOSECONDS = 5_000_000
#: Nanoseconds that an answer may wait for others to be sent with it, while requests are at hand.
HOLD_NANOSECONDS = 1_000_000

class ConnectionLog(Protocol):
    """What notes how requests end (`wsgi.access_log.AccessLog`)."""

    def finished(self, connection: Connection) -> None:
        """The client has taken the rest of an answer, or never will."""

    def refused(self, connection: Connection, code: int) -> None:
        """A request was refused before it was whole."""


class Rounds(abc.ABC):
    """What a poller does in each round.

    :param take: gives a connection that has a request its turn, perhaps here and now.
    """

    log = Logger()

    def __init__(self, settings: Settings, take: Callable[[Connection, Seat], None]) -> None:
        self._settings = settings
        self._take = take
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._sources: dict[int, Callable[[], object]] = {}
        self._pending: Iterator[tuple[int, int]] = iter(())
        self._ready: deque[Connection] = deque()
        self._answers: list[Connection] = []
        #: From other threads: connections whose events must change.
        self._returned: deque[Connection] = deque()
        self._answers_since = 0
        self._scratch = bytearray(SCRATCH_BYTES)
        self.draining = False
        #: Called before answers are sent.
        self.on_send: Callable[[], None] = lambda: None
        #: The access log, while it is on.
        self.access: ConnectionLog | None = None

    def _log_end(self, connection: Connection) -> None:
        if self.access is not None:
            self.access.finished(connection)

    def _log_refusal(self, connection: Connection, status: int) -> None:
        if self.access is not None:
            self.access.refused(connection, status)

    def configure(self, settings: Settings) -> None:
        """From now on these settings count, also for what waits already."""
        retime(self._connections.values(), self._settings, settings)
        self._settings = settings

    def held(self) -> list[Connection]:
        """The connections of this worker."""
        return list(self._connections.values())

    @abc.abstractmethod
    def _handle(self, connection: Connection, mask: int) -> None: ...

    @abc.abstractmethod
    def _close(self, connection: Connection) -> None: ...

    @abc.abstractmethod
    def _enter_next_phase(self, connection: Connection) -> None: ...

    @abc.abstractmethod
    def turn_ended(self, connection: Connection) -> None: ...

    @abc.abstractmethod
    def _rearm(self, connection: Connection) -> None: ...

    def add_source(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Watch a descriptor that is no connection."""
        self._sources[descriptor] = ready
        self._epoll.register(descriptor, select.EPOLLIN)

    def forget(self) -> None:
        """In a child that the application forks: connections, and what watches them, are its parent's alone.

        Nothing is unregistered: the two share that. What is closed here stays open there.
        """
        words: memoryview | None = None
        for connection in list(self._connections.values()):
            # The child has no scoreboard, and the application a method that writes to it.
            words = connection.redo_log.divert(words)
            connection.stream.sock.close()
        self._epoll.close()

    def poll(self, timeout: float | None, seat: Seat) -> None:
        """Wait for events and handle them, on the leader's thread, while that leads.

        :param timeout: seconds; None to wait for as long as it takes.
        """
        if self._answers:
            # Another thread made them, and lost the lead.
            self.send_answers()
        while self._returned:
            connection = self._returned.popleft()
            try:
                self._rearm(connection)
            except Exception:
                self.abandon(connection, seat)
        if self._ready:
            timeout = 0
        self._pending = iter(self._epoll.poll(-1 if timeout is None else timeout, EVENTS_AT_ONCE))
        self._run_round(seat)

    def _run_round(self, seat: Seat) -> None:
        """Handle the events of this round, and go on with what an earlier one has left, perhaps another thread's.

        First every request is read, then each gets its turn, then the answers are sent: see `defer`.
        """
        connections = self._connections
        for descriptor, mask in self._pending:
            connection = connections.get(descriptor)
            if connection is not None:
                try:
                    self._handle(connection, mask)
                except Exception:
                    self.abandon(connection, seat)
            elif (source := self._sources.get(descriptor)) is not None:
                source()
        ready, take, end = self._ready, self._take, time.monotonic_ns() + ROUND_NANOSECONDS
        while ready:
            connection = ready.popleft()
            try:
                take(connection, seat)
            except Exception:
                self.abandon(connection, seat)
            if not seat.leads:
                return
            # A clock that is read for each of them costs as much as the rest of this loop.
            if seat.ended > end:
                break
        if self._answers:
            self.send_answers()

    def defer(self, connection: Connection, now: int) -> None:
        """An answer is made: send it in a moment, with others. On the leader's thread, where its turn began `now`.

        The kernel's part of a request costs much less when it is done for several at once: the code for it is in the
        processor's caches then, and a client that was woken for one answer sees the others without being woken.
        """
        connection.redo_log.write_answered()
        if not self._answers:
            self._answers_since = now
        self._answers.append(connection)
        if now - self._answers_since > HOLD_NANOSECONDS:
            self.send_answers()

    def send_answers(self) -> None:
        """Send the answers that are made."""
        self.on_send()
        made, self._answers = self._answers, []
        scratch, idle = self._scratch, time.monotonic() + self._settings.keep_alive
        for connection in made:
            try:
                connection.send_answer(scratch)
                stream = connection.stream
                if stream.keep and stream.unsent is None and connection.watched and not self.draining:
                    # As `_enter_next_phase`, in short: it is what nearly always happens.
                    connection.request = None
                    connection.deadline = idle
                    connection.redo_log.write_idle(idle, stream.consumed, stream.written)
                    connection.phase = Phase.READING
                    if connection.missed:
                        self._epoll.modify(stream.sock, WATCHED)
                elif stream.keep or stream.unsent is not None or connection.missed or not _was_last(connection):
                    self._enter_next_phase(connection)
                else:
                    self._close(connection)
            except Exception:
                self.abandon(connection)

    def abandon(self, connection: Connection, seat: Seat | None = None) -> None:
        """An error of ours, being handled, ends this connection and no other; told once.

        :param seat: of this thread, which may have lost the lead; None: it leads.
        """
        try:
            self.prove()
        except OSError:
            # Not this connection's fault: as long as nothing is noted, another worker can go on with it.
            failing.fail("the application closed or replaced an epoll of the server's", Failure())
        self.log.failure("internal error in a connection, which is closed")
        try:
            if seat is not None and not seat.leads:
                connection.stream.keep, connection.answer, connection.stream.unsent = False, None, None
                self.turn_ended(connection)
            elif self._connections.get(connection.stream.sock.fileno()) is connection:
                self._close(connection)
        except Exception:
            # It would stay for ever, and so might others that were to be looked at after it.
            failing.fail("a connection could not be ended", Failure())

    def prove(self) -> None:
        """That the connections' epoll is the one that watches the reactor's.

        :raises OSError: one of them is not there any more.
        """
        for descriptor in self._sources:
            self._epoll.modify(descriptor, select.EPOLLIN)


def _was_last(connection: Connection) -> bool:
    """Whether the client has said that it sends nothing after its request (RFC 9112 section 9.6), and nothing is there.

    Closing then cannot reset the connection under an answer that is on its way.
    """
    return connection.request is not None and not connection.request.block.keep_alive
