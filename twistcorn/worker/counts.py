"""What a worker counts of its requests on the scoreboard.

Law: each word has one writer at a time: what the leader answers is counted apart from what the other threads answer,
who hold a lock meanwhile. What the leader counts comes to the scoreboard before an answer of it is sent. Times are
monotonic nanoseconds.
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
#: The column of every number that an application can give as its status, and of 0. What is in no class counts as 5xx,
#: which is how clients take it (RFC 9110 section 15).
_COLUMNS = [COLUMNS.get(code, 5 if code else 0) for code in range(1000)]


class Counts:
    """The words of one worker.

    :param region: the first one of them.
    :ivar busy: the requests that are shown as busy there. Two threads that write it may leave a wrong number, until
        the leader settles (`Turns.settle`).
    """

    __slots__ = ("_alike", "_before", "_number", "_place", "_queue_lock", "_region", "_took", "_words", "busy")

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region
        self.busy = 0
        # Requests of the leader's that are not on the scoreboard yet, all of one method, status and bucket: under load
        # that is so for most of those that are answered together, and a word costs more than the rest of it.
        self._alike = self._took = self._place = self._number = 0
        # Those before them, of others: place, number, how many, how long they took together. None of it may be on the
        # scoreboard earlier than it must: a worker that is killed before it sends has answered nothing.
        self._before: list[tuple[int, int, int, int]] = []
        self._queue_lock = threading.Lock()

    @property
    def led(self) -> int:
        """Requests that the leader has answered."""
        return int(self._words[self._region + W_LED_REQUESTS]) + self._alike + sum(each[2] for each in self._before)

    def set_busy(self, requests: int) -> None:
        """So many are in the application, or wait for a thread."""
        self._words[self._region + W_BUSY] = self.busy = requests

    def count_led(self, row: int, code: int, began: int) -> int:
        """The leader has answered with this status (0: nobody was there to be answered).

        :param row: that of the request's method (`wire.statuses`).
        :return: what time it is now.
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
        """The leader is about to send an answer: everything that it has counted comes to the scoreboard."""
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
        """Those that are alike, as `_before` has them."""
        return self._place, self._number, self._alike, self._took

    def count(self, row: int, code: int, began: int, busy: int) -> None:
        """Another thread has."""
        words, region = self._words, self._region
        took = time.monotonic_ns() - began
        words[region + W_BUSY] = self.busy = busy
        words[region + W_REQUESTS] += 1
        words[region + W_STATUS + row + _COLUMNS[code]] += 1
        words[region + W_LATENCY + min((took // LATENCY_STEP).bit_length(), _LAST_BUCKET)] += 1
        words[region + W_LATENCY_SUM] += took

    def count_queued(self, waited: int) -> None:
        """A request has waited so long for a thread, which is there now; on any thread."""
        words, region = self._words, self._region
        with self._queue_lock:
            words[region + W_QUEUE_TIME + min((waited // LATENCY_STEP).bit_length(), _LAST_BUCKET)] += 1
            words[region + W_QUEUE_SUM] += waited
