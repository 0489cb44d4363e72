"""A worker's request counts on the scoreboard.

Law: each word has one writer at a time: the leader's requests count apart from those of the other threads, which hold a
lock. The leader's counts reach the scoreboard before the responses are sent. Times are monotonic nanoseconds.
"""

from __future__ import annotations

from ..pristine import threading, time
from ..wire.scoreboard import (
    LATENCY_BUCKETS,
    LATENCY_STEP,
    W_BUSY,
    W_LATENCY,
    W_LATENCY_SUM,
    W_LED_LATENCY,
    W_LED_LATENCY_SUM,
    W_LED_REQUESTS,
    W_LED_STATUS,
    W_QUEUE_SUM,
    W_QUEUE_TIME,
    W_REQUESTS,
    W_STATUS,
)
from ..wire.statuses import COLUMNS

_LAST_BUCKET = LATENCY_BUCKETS - 1
#: The column of every status that an application can send, and of 0. A status outside all classes counts as 5xx, as
#: clients treat it (RFC 9110 section 15).
_COLUMNS = [COLUMNS.get(code, 5 if code else 0) for code in range(1000)]


class Counts:
    """The counts of one worker.

    :param region: the first one of them.
    :ivar busy: the number of busy requests shown there. Two threads that write it at once may leave a wrong number,
        until the leader corrects it (`Turns.settle`).
    """

    __slots__ = ("_alike", "_before", "_number", "_place", "_queue_lock", "_region", "_took", "_words", "busy")

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region
        self.busy = 0
        # The leader's requests that are not on the scoreboard yet, all of one method, status and bucket: true for most
        # of a batch under load, and writing a word costs more than all else here.
        self._alike = self._took = self._place = self._number = 0
        # Earlier groups: place, number, how many, their total time. None may reach the scoreboard early: a worker that
        # is killed before it sends has answered nothing.
        self._before: list[tuple[int, int, int, int]] = []
        self._queue_lock = threading.Lock()

    @property
    def led(self) -> int:
        """Requests answered by the leader."""
        return int(self._words[self._region + W_LED_REQUESTS]) + self._alike + sum(each[2] for each in self._before)

    def set_busy(self, requests: int) -> None:
        """Show the number of requests in the application or waiting for a thread."""
        self._words[self._region + W_BUSY] = self.busy = requests

    def count_led(self, row: int, code: int, began: int) -> int:
        """Count a request that the leader answered with this status (0: the client was gone).

        :param row: the row of the request's method (`wire.statuses`).
        :return: the current time.
        """
        now = time.monotonic_ns()
        took = now - began
        place, number = row + _COLUMNS[code], (took // LATENCY_STEP).bit_length()
        if place != self._place or number != self._number:
            if self._alike:
                self._before.append(self._latest())
                self._alike = self._took = 0
            self._place, self._number = place, number
        self._alike += 1
        self._took += took
        return now

    def flush(self) -> None:
        """Write the leader's counts to the scoreboard; called just before it sends responses."""
        if self._before:
            groups, self._before = [*self._before, self._latest()], []
            for group in groups:
                self._place, self._number, self._alike, self._took = group
                self.flush()
            return
        alike = self._alike
        if alike:
            words, region = self._words, self._region
            words[region + W_LED_REQUESTS] += alike
            words[region + W_LED_STATUS + self._place] += alike
            words[region + W_LED_LATENCY + min(self._number, _LAST_BUCKET)] += alike
            words[region + W_LED_LATENCY_SUM] += self._took
            self._alike = self._took = 0

    def _latest(self) -> tuple[int, int, int, int]:
        """The present group, in the form of `_before`."""
        return self._place, self._number, self._alike, self._took

    def count(self, row: int, code: int, began: int, busy: int) -> None:
        """Count a request that another thread answered."""
        words, region = self._words, self._region
        took = time.monotonic_ns() - began
        words[region + W_BUSY] = self.busy = busy
        words[region + W_REQUESTS] += 1
        words[region + W_STATUS + row + _COLUMNS[code]] += 1
        words[region + W_LATENCY + min((took // LATENCY_STEP).bit_length(), _LAST_BUCKET)] += 1
        words[region + W_LATENCY_SUM] += took

    def count_queued(self, waited: int) -> None:
        """Count the time that a request waited for its thread; on any thread."""
        words, region = self._words, self._region
        with self._queue_lock:
            words[region + W_QUEUE_TIME + min((waited // LATENCY_STEP).bit_length(), _LAST_BUCKET)] += 1
            words[region + W_QUEUE_SUM] += waited
