"""The rounds of a worker's loop: wait for events, read requests, give each its turn, send the answers.

Law: runs on the leader's thread, and stops at once when that thread loses the lead; the next leader continues there.
`poller` decides what an event means for a connection.
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
#: Nanoseconds of turns in one round, before timers and the reactor's own descriptors are served.
ROUND_NANOSECONDS = 5_000_000
#: Nanoseconds that an answer may wait to be sent together with others, while more requests are ready.
HOLD_NANOSECONDS = 1_000_000


class RoundActions(Protocol):
    """What a round does with a connection (`poller.Poller`)."""

    def handle(self, connection: Connection, mask: int) -> None:
        """Handle events (epoll_ctl(2)); a connection with a complete request goes to `Rounds.ready`."""

    def rearm(self, connection: Connection) -> None:
        """Watch for the events of its present phase, after a turn on another thread."""

    def enter_next_phase(self, connection: Connection) -> None:
        """End a turn of the leader, whose answer is sent as far as the kernel took it."""

    def abandon(self, connection: Connection, seat: Seat | None = None) -> None:
        """Close a connection because of an internal error; called while the exception is handled."""


class Rounds:
    """Runs one round after the other.

    :param take: gives a connection with a request its turn, perhaps on this thread at once.
    :param before_send: called before answers are sent.
    :ivar keep_alive: seconds that a connection may be idle.
    :ivar ready: connections that have a complete request and no turn yet.
    :ivar answers: connections whose answer is complete and not sent.
    :ivar returned: connections from other threads' turns whose events must be rearmed.
    :ivar scratch: buffer for taking bytes that were peeked at before.
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
        """Wait for events and handle them, as long as this thread leads.

        :param timeout: seconds; None to wait without limit.
        """
        if self.answers:
            # Left by a thread that lost the lead.
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
        """Handle this round's events, and finish what an earlier round left, perhaps on another thread.

        Read all requests, then give each its turn, then send the answers: see `defer`.
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
            # Reading the clock for each request would cost as much as the remainder of this loop.
            if seat.ended > end:
                break
        if self.answers:
            self.send_answers()

    def defer(self, connection: Connection, now: int) -> None:
        """Send a complete answer soon, together with others. On the leader's thread; `now`: when its turn began.

        The kernel's share of a request costs much less for several at once: its code is in the processor's caches, and
        a client that wakes for one answer sees the others as well.
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
                    # The common case of `enter_next_phase`, inlined.
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
    """Whether the client announced this request as its last (RFC 9112 section 9.6).

    It sends nothing more, so closing cannot reset the connection and lose the answer.
    """
    return connection.request is not None and not connection.request.block.keep_alive
