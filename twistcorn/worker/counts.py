"""What a worker counts of its requests on the scoreboard.

Law: each word has one writer at a time: what the leader answers is counted apart from what the other threads answer,
who hold a lock meanwhile. Times are monotonic nanoseconds.
"""

from __future__ import annotations

import threading
import time

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

_LAST = LATENCY_BUCKETS - 1


class Counts:
    """The words of one worker.

    :param region: the first one of them.
    """

    __slots__ = ("_led_latency", "_led_status", "_queue_lock", "_region", "_words")

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region
        self._led_status = region + W_LED_STATUS
        self._led_latency = region + W_LED_LATENCY
        self._queue_lock = threading.Lock()

    @property
    def led(self) -> int:
        """Requests that the leader has answered."""
        return int(self._words[self._region + W_LED_REQUESTS])

    def set_busy(self, requests: int) -> None:
        """So many are in the application, or wait for a thread."""
        self._words[self._region + W_BUSY] = requests

    def count_led(self, row: int, code: int, began: int, busy: int) -> None:
        """The leader has answered with this status (0: nobody was there to be answered); so many are left.

        :param row: that of the request's method (`wire.statuses`).
        """
        words, region = self._words, self._region
        took = time.monotonic_ns() - began
        number = (took // LATENCY_STEP).bit_length()
        words[region + W_BUSY] = busy
        words[region + W_LED_REQUESTS] += 1
        words[self._led_status + row + COLUMNS.get(code, 0)] += 1
        words[self._led_latency + (number if number < _LAST else _LAST)] += 1
        words[region + W_LED_LATENCY_SUM] += took

    def count(self, row: int, code: int, began: int, busy: int) -> None:
        """Another thread has."""
        words, region = self._words, self._region
        took = time.monotonic_ns() - began
        words[region + W_BUSY] = busy
        words[region + W_REQUESTS] += 1
        words[region + W_STATUS + row + COLUMNS.get(code, 0)] += 1
        words[region + W_LATENCY + min((took // LATENCY_STEP).bit_length(), _LAST)] += 1
        words[region + W_LATENCY_SUM] += took

    def count_queued(self, waited: int) -> None:
        """A request has waited so long for a thread, which is there now; on any thread."""
        words, region = self._words, self._region
        with self._queue_lock:
            words[region + W_QUEUE_TIME + min((waited // LATENCY_STEP).bit_length(), _LAST)] += 1
            words[region + W_QUEUE_SUM] += waited
