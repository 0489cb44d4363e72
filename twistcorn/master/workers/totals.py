"""What all workers have counted, also those that are gone.

Law: reads the regions of the scoreboard; a worker that is dead is added once, before its region is used again. What is
counted only grows, whatever becomes of the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ...wire.scoreboard import (
    COUNTED_FROM,
    LATENCY_BUCKETS,
    W_ERRORS,
    W_HOPS,
    W_LATENCY,
    W_LATENCY_SUM,
    W_LED_LATENCY,
    W_LED_LATENCY_SUM,
    W_LED_REQUESTS,
    W_LED_STATUS,
    W_QUEUE_SUM,
    W_QUEUE_TIME,
    W_RECEIVED,
    W_REQUESTS,
    W_SENT,
    W_STATUS,
    WORKER_WORDS,
    Scoreboard,
)
from ...wire.statuses import CLASSES, METHODS, SIZE, WIDTH, classes, name

#: The words that count.
_SIZE = WORKER_WORDS - COUNTED_FROM


@dataclass(frozen=True)
class Totals:
    """Counts since the server started. Times are seconds, sizes bytes; for histograms see `policy.histogram`.

    :ivar requests: answered by the application, or by a worker in its place.
    :ivar by: requests by method and class of status, such as `("GET", "2xx")`; `none`: its client was gone before.
    :ivar codes: requests by status, such as `200`; of rare ones only the class is known, such as `5xx`.
    :ivar statuses: requests by class of status, 1xx to 5xx.
    :ivar latency: how long they took, from the call of the application to the end of the answer, as a histogram.
    :ivar queue: how long those that had to wait for a thread did, as a histogram.
    :ivar refused: requests that were not valid; they are not among the others.
    :ivar hops: requests that went to another worker for a thread.
    :ivar received: bytes of requests and from clients; `sent`: bytes of answers.
    """

    requests: int
    by: Mapping[tuple[str, str], int]
    codes: Mapping[str, int]
    statuses: tuple[int, int, int, int, int]
    latency: list[int]
    latency_sum: float
    queue: list[int]
    queue_sum: float
    refused: int
    hops: int
    received: int
    sent: int


class Tally:
    """Adds up.

    :param living: the regions of the workers that there are; one may be named twice.
    """

    def __init__(self, board: Scoreboard, living: Callable[[], Iterable[int]]) -> None:
        self._board = board
        self._living = living
        self._gone = [0] * _SIZE

    def fold_into_totals(self, region: int) -> None:
        """A worker is dead: what it had counted is kept, and its region counts from zero again."""
        self._gone = self._plus(region, self._gone)
        self._board.clear_worker(region)

    def _plus(self, region: int, words: list[int]) -> list[int]:
        base = self._board.worker_base(region)
        counted = self._board.words[base + COUNTED_FROM : base + WORKER_WORDS].tolist()
        return [one + other for one, other in zip(words, counted, strict=True)]

    def totals(self) -> Totals:
        """What was counted up to now."""
        words = self._gone
        for region in set(self._living()):
            words = self._plus(region, words)
        return _read([0] * COUNTED_FROM + words)


def _read(words: list[int]) -> Totals:
    """Totals from the sums of all regions; the indices are those of a region."""

    def pair(first: int, second: int, size: int) -> list[int]:
        """What the leaders and the other threads have counted."""
        both = zip(words[first : first + size], words[second : second + size], strict=True)
        return [one + other for one, other in both]

    table = pair(W_STATUS, W_LED_STATUS, SIZE)
    rows = [table[start : start + WIDTH] for start in range(0, SIZE, WIDTH)]
    by = {
        (method, each): count
        for method, row in zip(METHODS, rows, strict=True)
        for each, count in zip(CLASSES, classes(row), strict=True)
    }
    one, two, three, four, five = (sum(by[method, each] for method in METHODS) for each in CLASSES[1:])
    return Totals(
        requests=words[W_REQUESTS] + words[W_LED_REQUESTS],
        by={key: count for key, count in by.items() if count},
        codes={name(column): sum(row[column] for row in rows) for column in range(WIDTH)},
        statuses=(one, two, three, four, five),
        latency=pair(W_LATENCY, W_LED_LATENCY, LATENCY_BUCKETS),
        latency_sum=(words[W_LATENCY_SUM] + words[W_LED_LATENCY_SUM]) / 1e9,
        queue=words[W_QUEUE_TIME : W_QUEUE_TIME + LATENCY_BUCKETS],
        queue_sum=words[W_QUEUE_SUM] / 1e9,
        refused=words[W_ERRORS],
        hops=words[W_HOPS],
        received=words[W_RECEIVED],
        sent=words[W_SENT],
    )
