"""The rounds of a worker's loop: wait for events, read requests, give each its turn, send the answers.

Law: runs on the leader's thread, and stops at once where that has lost the lead; what it leaves, the next leader
continues. What an event means for a connection, and how one ends, is `poller`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from ...pristine import time
from .connection import Connection
from .custody import Custody
from .holdings import WATCHED, Holdings
from .phases import Phase
from .seats import Seat

#: Events taken at once.
EVENTS_AT_ONCE = 64
#: Nanoseconds of turns in one round, before timers and the reactor's own descriptors get theirs.
ROUND_NANOSECONDS = 5_000_000
#: Nanoseconds that an answer may wait for others to be sent with it, while requests are at hand.
HOLD_NANOSECONDS = 1_000_000


class RoundActions(Protocol):
    """What a round does with a connection (`poller.Poller`)."""

    def handle(self, connection: Connection, mask: int) -> None:
        """Events have come (epoll_ctl(2)); a request that is complete goes to `Rounds.ready`."""

    def rearm(self, connection: Connection) -> None:
        """A turn that another thread had is over: have the events of the phase that it left."""

    def enter_next_phase(self, connection: Connection) -> None:
        """A turn of the leader's is over, and its answer was sent as far as the client took it."""

    def abandon(self, connection: Connection, seat: Seat | None = None) -> None:
        """End a connection for an error of ours, which is being handled."""


class Rounds:
    """One round after the other.

    :param take: gives a connection that has a request its turn, perhaps here and now.
    :param before_send: called before answers are sent.
    :ivar keep_alive: seconds that a connection may be idle.
    :ivar ready: connections that have a complete request and no turn yet.
    :ivar answers: connections whose answer is complete and not sent.
    :ivar returned: from other threads: connections whose events must change.
    :ivar scratch: for bytes that were seen by peeking and have to be taken.
    """

    def __init__(
        self,
        holdings: Holdings,
        actions: RoundActions,
        custody: Custody,
        take: Callable[[Connection, Seat], None],
        before_send: Callable[[], None],
        scratch: bytearray,
        keep_alive: float,
    ) -> None:
        self._holdings = holdings
        self._actions = actions
        self._custody = custody
        self._take = take
        self._before_send = before_send
        self.scratch = scratch
        self.keep_alive = keep_alive
        self._pending: Iterator[tuple[int, int]] = iter(())
        self.ready: deque[Connection] = deque()
        self.answers: list[Connection] = []
        self._answers_since = 0
        self.returned: deque[Connection] = deque()

    def poll(self, timeout: float | None, seat: Seat) -> None:
        """Wait for events and handle them, on the leader's thread, while that leads.

        :param timeout: seconds; None to wait for as long as it takes.
        """
        if self.answers:
            # Another thread completed them, and lost the lead.
            self.send_answers()
        while self.returned:
            connection = self.returned.popleft()
            try:
                self._actions.rearm(connection)
            except Exception:
                self._actions.abandon(connection, seat)
        if self.ready:
            timeout = 0
        self._pending = iter(self._holdings.epoll.poll(-1 if timeout is None else timeout, EVENTS_AT_ONCE))
        self._run_round(seat)

    def _run_round(self, seat: Seat) -> None:
        """Handle the events of this round, and continue what an earlier one has left, perhaps another thread's.

        First every request is read, then each gets its turn, then the answers are sent: see `defer`.
        """
        connections, sources, actions = self._holdings.connections, self._holdings.sources, self._actions
        for descriptor, mask in self._pending:
            connection = connections.get(descriptor)
            if connection is not None:
                try:
                    actions.handle(connection, mask)
                except Exception:
                    actions.abandon(connection, seat)
            elif (source := sources.get(descriptor)) is not None:
                source()
        ready, take, end = self.ready, self._take, time.monotonic_ns() + ROUND_NANOSECONDS
        while ready:
            connection = ready.popleft()
            try:
                take(connection, seat)
            except Exception:
                actions.abandon(connection, seat)
            if not seat.leads:
                return
            # A clock that is read for each of them costs as much as the rest of this loop.
            if seat.ended > end:
                break
        if self.answers:
            self.send_answers()

    def defer(self, connection: Connection, now: int) -> None:
        """An answer is complete: send it soon, with others. On the leader's thread, where its turn began `now`.

        The kernel's part of a request costs much less when it is done for several at once: the code for it is in the
        processor's caches then, and a client that was woken for one answer sees the others without being woken.
        """
        connection.redo_log.write_answered()
        if not self.answers:
            self._answers_since = now
        self.answers.append(connection)
        if now - self._answers_since > HOLD_NANOSECONDS:
            self.send_answers()

    def send_answers(self) -> None:
        """Send the answers that are complete."""
        self._before_send()
        answers, self.answers = self.answers, []
        scratch, idle, holdings = self.scratch, time.monotonic() + self.keep_alive, self._holdings
        for connection in answers:
            try:
                connection.send_answer(scratch)
                stream = connection.stream
                if stream.keep and stream.unsent is None and connection.watched and not holdings.draining:
                    # As `enter_next_phase`, in short: it is what nearly always happens.
                    connection.request = None
                    connection.deadline = idle
                    connection.redo_log.write_idle(idle, stream.consumed, stream.written)
                    connection.phase = Phase.READING
                    if connection.missed:
                        holdings.epoll.modify(stream.sock, WATCHED)
                elif stream.keep or stream.unsent is not None or connection.missed or not _was_last(connection):
                    self._actions.enter_next_phase(connection)
                else:
                    self._custody.close(connection)
            except Exception:
                self._actions.abandon(connection)


def _was_last(connection: Connection) -> bool:
    """Whether the client has said that it sends nothing after its request (RFC 9112 section 9.6), and nothing is there.

    Closing then cannot reset the connection under an answer that is on its way.
    """
    return connection.request is not None and not connection.request.block.keep_alive
