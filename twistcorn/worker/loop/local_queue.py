"""Requests that wait for an app thread of this worker, and their hops to other workers.

Law: runs on the leader's thread, except `claim`, with which any thread takes a request; each request is taken once, by
a thread or for a release. The rules: a request waits here for a short time; then the oldest ones are released, but only
to threads of other workers that are free and not yet spoken for; a request hops once; past the time-out, or when too
many wait in all workers and the master, the master answers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from ...pristine import time
from ...settings import Settings
from ...wire.channel import Kind
from ...wire.scoreboard import H_QUEUED, W_BUSY, W_HOPS, W_INCOMING, W_THREADS, Scoreboard
from .connection import Connection

#: Seconds that a request waits for a thread of its worker before it hops: most turns are shorter, and a hop is work
#: for three processes.
HOP_AFTER_SECONDS = 0.002

#: One worker's load on the scoreboard: its threads, its requests, the lends on their way to it.
Numbers = tuple[int, int, int]


def spare_threads(others: list[Numbers], queued: int) -> int:
    """Count the threads of other workers that are free and not spoken for.

    :param queued: requests that wait in the master for the same threads.
    """
    return sum(max(0, threads - busy - incoming) for threads, busy, incoming in others) - queued


def waiting_in_all(workers: list[Numbers], queued: int) -> int:
    """Count the requests that wait for a thread, in all workers and in the master."""
    return sum(max(0, busy - threads) for threads, busy, _ in workers if threads) + queued


class LocalQueue:
    """The requests of one worker that wait for a thread.

    :param region: the first word of this worker on the scoreboard.
    :param give_back: hands a connection to the master, with a report of this kind.
    :param now: monotonic seconds.
    :param draining: whether the worker drains.
    :param withdraw: called for each released request, which no thread may take any more.
    :param abandon: closes a connection after an internal error, while the exception is handled; None: raise the error.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        give_back: Callable[[Connection, Kind], None],
        draining: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
        withdraw: Callable[[Connection], None] = lambda connection: None,
        abandon: Callable[[Connection], None] | None = None,
    ) -> None:
        self._clock = clock
        self._board = board
        self._region = region
        self._settings = settings
        self._hand_over = give_back
        self._draining = draining
        self._withdraw = withdraw
        self._abandon = abandon
        self._now = now
        self._entries: dict[Connection, None] = {}
        self._ticking = False
        self._looked = 0.0
        self._room = 0

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self._settings = settings
        self._room = 0

    def enqueue(self, connection: Connection) -> bool:
        """Queue a request, as every thread is busy; returns False when it went to the master instead."""
        now = self._now()
        connection.queued_since = now
        if self._full(now):
            self._give_back(connection, Kind.REFUSED)
            return False
        connection.waiting = True
        self._entries[connection] = None
        self._tick_later()
        return True

    def _tick_later(self) -> None:
        if not self._ticking:
            self._clock.callLater(HOP_AFTER_SECONDS, self._tick)
            self._ticking = True

    def has_free_thread(self) -> bool:
        """Whether a thread of this worker is free."""
        return self._board.words[self._region + W_BUSY] < self._settings.threads

    def claim(self, connection: Connection) -> bool:
        """Take the request for this thread; returns False when it was released meanwhile. Called from any thread."""
        if not connection.waiting:
            return True
        connection.waiting = False
        # Removing it from a dictionary is atomic in the interpreter.
        return self._entries.pop(connection, self) is None

    def _full(self, now: float) -> bool:
        """Whether too many requests wait.

        Counting over all workers is expensive, so after one count this worker may fill its share of the room.
        """
        if self._room > 0 and now - self._looked < HOP_AFTER_SECONDS:
            self._room -= 1
            return False
        numbers = self._numbers()
        room = self._settings.queue_size - waiting_in_all(numbers, self._board.words[H_QUEUED])
        self._looked = now
        self._room = room // max(1, sum(threads > 0 for threads, _, _ in numbers)) - 1
        return room <= 0

    def _numbers(self, without: int = -1) -> list[Numbers]:
        board = self._board
        columns = [board.column(word) for word in (W_THREADS, W_BUSY, W_INCOMING)]
        # The master may have added a worker between two columns.
        numbers = list(zip(*columns, strict=False))
        if 0 <= without < len(numbers):
            del numbers[without]
        return numbers

    def _tick(self) -> None:
        self._ticking = False
        try:
            self._release()
        except Exception:
            self.log.failure("internal error while releasing queued requests; they stay queued")
        finally:
            if self._entries:
                self._tick_later()

    def _release(self) -> None:
        """Release the requests that must not wait here any longer, oldest first."""
        now, draining = self._now(), self._draining()
        spare = 0 if draining else self._spare()
        for connection in list(self._entries):
            waited = now - connection.queued_since
            if waited > self._settings.queue_timeout:
                self._take(connection, Kind.REFUSED)
            elif draining:
                if connection.untouched:
                    self._take(connection, Kind.RELEASED)
            elif spare <= 0 or waited < HOP_AFTER_SECONDS:
                return
            elif connection.untouched and self._take(connection, Kind.WAITS):
                self._board.words[self._region + W_HOPS] += 1
                spare -= 1

    def _spare(self) -> int:
        board = self._board
        return spare_threads(self._numbers(board.worker_number(self._region)), board.words[H_QUEUED])

    def _take(self, connection: Connection, kind: Kind) -> bool:
        """Release one, unless a thread took it first."""
        if self._entries.pop(connection, self) is not None:
            return False
        try:
            self._withdraw(connection)
            self._give_back(connection, kind)
        except Exception:
            # It has left the queue already: close this connection, and go on with the others.
            if self._abandon is None:
                raise
            self._abandon(connection)
        return True

    def _give_back(self, connection: Connection, kind: Kind) -> None:
        request = connection.request
        if request is not None and not isinstance(request.body, bytes):
            request.body.drop()
        connection.redo_log.write_queued(connection.queued_since)
        self._hand_over(connection, kind)
