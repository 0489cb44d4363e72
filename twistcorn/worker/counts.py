"""What a worker counts of its requests on the scoreboard.

Law: each word has one writer at a time: what the leader answers is counted apart from what the other threads answer,
who hold a lock meanwhile.
"""

from __future__ import annotations

from ..wire.scoreboard import W_BUSY, W_LED_REQUESTS, W_LED_STATUS, W_REQUESTS, W_STATUS


class Counts:
    """The words of one worker.

    :param region: the first one of them.
    """

    __slots__ = ("_region", "_words")

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region

    @property
    def led(self) -> int:
        """Requests that the leader has answered."""
        return int(self._words[self._region + W_LED_REQUESTS])

    def set_busy(self, requests: int) -> None:
        """So many are in the application, or wait for a thread."""
        self._words[self._region + W_BUSY] = requests

    def count_led(self, code: int, busy: int) -> None:
        """The leader has answered with this status; so many are left."""
        words, region = self._words, self._region
        words[region + W_BUSY] = busy
        words[region + W_LED_REQUESTS] += 1
        if 100 <= code < 600:
            words[region + W_LED_STATUS + code // 100 - 1] += 1

    def count(self, code: int, busy: int) -> None:
        """Another thread has."""
        words, region = self._words, self._region
        words[region + W_BUSY] = busy
        words[region + W_REQUESTS] += 1
        if 100 <= code < 600:
            words[region + W_STATUS + code // 100 - 1] += 1
