"""The queue of connections that no worker holds: new ones, and requests that found every thread busy.

Law: keeps order and bounds, lends nothing. A request over --queue-timeout or --queue-size is answered 503 here; an idle
connection never is, because it has no request.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ...logs.logger import Logger
from ...policy.queue import Queue
from ...settings import Settings
from ...wire.scoreboard import H_QUEUED, S_DEADLINE, S_QUEUED, Scoreboard
from . import tcp_info
from .answers import Answers
from .table import ConnectionRecord

#: Seconds between two checks while requests wait for a thread: workers report a free one, but a report may be missed.
THREAD_CHECK_SECONDS = 0.01
#: While connections wait for a worker: seconds between two checks of their age, and connections per check.
SWEEP_SECONDS = 1.0
CHECKED_AT_ONCE = 4096


class Backlog:
    """What waits in the master.

    :param pump: lends what can be lent.
    :param now: the monotonic clock of the workers, in seconds.
    :ivar connections: for any worker that takes part, the one to be lent next on the left.
    :ivar requests: for a worker with a free thread.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        scoreboard: Scoreboard,
        answers: Answers,
        settings: Settings,
        pump: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._scoreboard = scoreboard
        self._answers = answers
        self._settings = settings
        self._pump = pump
        self._now = now
        self.connections: deque[ConnectionRecord] = deque()
        self.requests: Queue[ConnectionRecord] = Queue(settings.queue_size, settings.queue_timeout)
        self._tick: Any = None
        self._sweep: Any = None

    def configure(self, settings: Settings) -> None:
        """From now on these settings count."""
        self._settings = settings
        self.requests.size, self.requests.timeout = settings.queue_size, settings.queue_timeout

    def put_off(self, seconds: float) -> None:
        """What waits began to wait so much later, and its time-outs are over later."""
        words, later = self._scoreboard.words, int(seconds * 1e9)
        for connection in self.connections:
            connection.since += seconds
        for connection in (*self.connections, *self.requests):
            for word in (S_QUEUED, S_DEADLINE):
                place = self._scoreboard.slot_base(connection.slot) + word
                # 0 is none.
                words[place] += later if words[place] else 0
        self.requests.put_off(seconds)

    def __len__(self) -> int:
        return len(self.connections) + len(self.requests)

    def enqueue(self, connections: Iterable[ConnectionRecord]) -> None:
        """They came, or came back: last in the line."""
        now = self._now()
        for connection in connections:
            connection.since = now
            self.connections.append(connection)

    def requeue(self, connections: list[ConnectionRecord]) -> None:
        """They have waited before: first in the line, in this order."""
        for connection in connections:
            connection.since = connection.since or self._now()
        self.connections.extendleft(reversed(connections))

    def enqueue_request(self, connection: ConnectionRecord) -> None:
        """Its request waits for a thread, and its worker had none."""
        since = self._since(connection)
        if not self.requests.push(connection, since):
            self._answers.answer(connection, 503, since=since)

    def refuse_request(self, connection: ConnectionRecord) -> None:
        """Its worker says that it has waited for too long, or is one too many."""
        self._answers.answer(connection, 503, since=self._since(connection))

    def _since(self, connection: ConnectionRecord) -> float:
        """When the request of a connection that a worker gave back began to wait."""
        since: float = self._scoreboard.words[self._scoreboard.slot_base(connection.slot) + S_QUEUED] / 1e9
        return since

    def publish_queue(self) -> None:
        """After lending: publish how many requests still wait, and schedule the next check."""
        self._scoreboard.words[H_QUEUED] = len(self.requests)
        if self.requests and self._tick is None:
            self._tick = self._clock.callLater(THREAD_CHECK_SECONDS, self._check_requests)
        if self.connections and self._sweep is None:
            self._sweep = self._clock.callLater(SWEEP_SECONDS, self._check_connections)
        elif self._sweep is not None and not self.connections:
            self._sweep.cancel()
            self._sweep = None

    def _check_requests(self) -> None:
        self._tick = None
        for connection in self.requests.expired(self._now()):
            self.refuse_request(connection)
        self._pump()

    def _check_connections(self) -> None:
        """No worker takes connections now: answer 503 to requests over the time-out or the queue size."""
        self._sweep = None
        oldest, asking = self._now() - self._settings.queue_timeout, 0
        kept: list[ConnectionRecord] = []
        for _ in range(min(CHECKED_AT_ONCE, len(self.connections))):
            connection = self.connections.popleft()
            try:
                asks = bool(connection.carried) or tcp_info.facts(connection.sock).unread > 0
                asking += asks
                if asks and (connection.since < oldest or asking > self._settings.queue_size):
                    self._answers.answer(connection, 503, since=connection.since)
                    continue
            except Exception:
                # It keeps waiting for a worker; the check goes on with the others.
                self.log.failure("internal error while checking a connection that waits for a worker")
            kept.append(connection)
        self.connections.extendleft(reversed(kept))
        self._pump()

    def clear(self) -> None:
        """The server ends."""
        self.connections.clear()
        self.requests.clear()
        for timer in (self._tick, self._sweep):
            if timer is not None:
                timer.cancel()
        self._tick = self._sweep = None
