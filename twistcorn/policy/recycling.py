"""When a worker is recycled: by requests, memory or age. Pure.

Law: says that a worker is due and why; how many are replaced at once is `rollout`'s.
"""

from __future__ import annotations

from typing import NamedTuple


class RecyclingLimits(NamedTuple):
    """What a worker may reach before it is replaced; 0 is no limit.

    :ivar requests: answered requests; `jitter`: the most that chance adds to that.
    :ivar rss: bytes of memory.
    :ivar age: seconds since it was started.
    """

    requests: int = 0
    jitter: int = 0
    rss: int = 0
    age: float = 0.0


def due(limits: RecyclingLimits, requests: int, rss: int, age: float, chance: float) -> str:
    """Why a worker is due, for the log; empty when it is not.

    :param chance: the worker's own number from 0 up to 1: without it workers that are started together, and share the
        load, would be due together.
    """
    if limits.requests and requests >= limits.requests + int(limits.jitter * chance):
        return f"{requests} requests answered"
    if limits.rss and rss > limits.rss:
        return f"{rss >> 20} MiB resident"
    if limits.age and age >= limits.age:
        return f"{age:.0f} s old"
    return ""
