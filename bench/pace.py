"""When requests are due, which of them are slow ones, and what the answers' times come to.

Law: pure; the clock's time comes in as a number, and the same seed gives the same order of requests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: The same order of fast and slow requests for everybody.
SEED = 20


@dataclass
class Schedule:
    """When requests are due, in seconds from the start.

    With a rate, whatever the answers do: a request that finds no free connection waits, and its time runs (what
    wrk2 calls correcting for coordinated omission). Without one, the next is due when a connection is free.
    """

    rate: float | None
    seconds: float
    number: int = 0

    def next_due(self) -> float | None:
        """When the next request is due; ``None`` when that is as soon as there is a connection."""
        return None if self.rate is None else self.number / self.rate

    def take(self, now: float) -> float | None:
        """Take the next request if it is due, and tell since when it is; ``None`` when none is, or none any more."""
        due = self.next_due()
        due = now if due is None else due
        if due > now or due >= self.seconds:
            return None
        self.number += 1
        return due

    def is_over(self, now: float) -> bool:
        """Whether no request will be due any more."""
        due = self.next_due()
        return (now if due is None else due) >= self.seconds


def kinds(slow_share: float) -> Iterator[int]:
    """Without end: 1 for a slow request and 0 for another, as often as the share says, in no order but repeatable."""
    chance = random.Random(SEED)
    while True:
        yield int(chance.random() < slow_share)


@dataclass(frozen=True)
class Percentiles:
    """What requests of one kind took, in seconds from when each was due."""

    count: int
    mean: float
    p50: float
    p99: float
    p999: float
    worst: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value which this share of the ordered values does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """All of them at once; ``None`` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p99, p999 = (percentile(ordered, share) for share in (0.5, 0.99, 0.999))
    return Percentiles(len(ordered), sum(ordered) / len(ordered), p50, p99, p999, ordered[-1])


@dataclass(frozen=True)
class Head:
    """What is to be known of a response's head to find its end."""

    status: int
    total: int | None
    closes: bool


def read_head(received: bytes | bytearray) -> Head | None:
    """The head of what was received, once it is whole. ``total`` is ``None`` where the connection's end is its end."""
    end = received.find(b"\r\n\r\n")
    return None if end < 0 else parse_head(bytes(received[: end + 4]))


def parse_head(head: bytes) -> Head:
    """Status, length of head and body together, and whether the server closes."""
    first, *lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    length = fields.get(b"content-length")
    connection = fields.get(b"connection", b"").strip()
    closes = connection == b"close" or (first.startswith(b"http/1.0") and connection != b"keep-alive")
    return Head(int(first.split()[1]), None if length is None else len(head) + int(length), closes)
