"""The one queue: requests that wait for an app thread in any worker, because all threads of theirs are busy.

Law: pure; the time comes in. Oldest first. A request comes here at most once: it is lent to a worker that has a free
thread, goes to the head of that worker's own queue, and stays.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from .dispatch import MAX_UNACKNOWLEDGED
from .worker import TAKING, Worker

T = TypeVar("T")


class Queue(Generic[T]):
    """A queue by age.

    :param size: how many there may be.
    :param timeout: how old they may become, in seconds.
    """

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.timeout = timeout
        self._entries: list[tuple[float, int, T]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, item: T, since: float) -> bool:
        """Add what waits since then; returns whether there was room."""
        if len(self._entries) >= self.size:
            return False
        heapq.heappush(self._entries, (since, next(self._numbers), item))
        return True

    def pop(self) -> T:
        """Take the oldest."""
        return heapq.heappop(self._entries)[2]

    def expired(self, now: float) -> list[T]:
        """Take those that have waited for too long, oldest first."""
        found = []
        while self._entries and self._entries[0][0] < now - self.timeout:
            found.append(self.pop())
        return found

    def __iter__(self) -> Iterator[T]:
        """In no order."""
        return (item for _, _, item in self._entries)

    def put_off(self, seconds: float) -> None:
        """Move the start of all waits by some seconds."""
        self._entries = [(since + seconds, number, item) for since, number, item in self._entries]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def free_threads(worker: Worker, threads: int) -> int:
    """Threads of a worker that have nothing to do, when each lend on the way to it brings a request."""
    if worker.state not in TAKING or worker.unacknowledged >= MAX_UNACKNOWLEDGED:
        return 0
    return max(0, threads - worker.busy - worker.unacknowledged)


def choose_free(workers: Sequence[Worker], threads: int) -> Worker | None:
    """The worker with the most free threads; None when no thread is free."""
    best = max(workers, key=lambda worker: free_threads(worker, threads), default=None)
    return best if best is not None and free_threads(best, threads) else None
