"""Recent deaths of workers, and reloads.

Law: keeps a bounded number of each, and counts all of them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

#: Entries kept of each kind.
MAX_ENTRIES = 50


@dataclass(frozen=True)
class Ended:
    """A worker that is no more.

    :ivar at: when, in seconds since the epoch.
    :ivar cause: the name of its `policy.blame.Cause`.
    :ivar text: what the log says of it.
    """

    at: float
    worker: int
    pid: int
    generation: int
    cause: str
    text: str


@dataclass(frozen=True)
class Reloaded:
    """A reload that is over.

    :ivar at: when it was over, in seconds since the epoch; `took`: seconds.
    :ivar problem: why it was cancelled; empty when it succeeded.
    :ivar needs_restart: long options that have changed, and that it left out: they change at a restart only.
    """

    at: float
    took: float
    generation: int
    problem: str
    needs_restart: tuple[str, ...] = ()


class Chronicle:
    """The history of a server.

    :ivar ended: the latest deaths and orderly ends, oldest first; `causes` counts all of them.
    :ivar reloads: the latest reloads, oldest first; `reloads_done` and `reloads_failed` count all of them.
    """

    def __init__(self) -> None:
        self.ended: deque[Ended] = deque(maxlen=MAX_ENTRIES)
        self.causes: Counter[str] = Counter()
        self.reloads: deque[Reloaded] = deque(maxlen=MAX_ENTRIES)
        self.reloads_done = 0
        self.reloads_failed = 0

    def add_end(self, end: Ended) -> None:
        """A worker is no more."""
        self.ended.append(end)
        self.causes[end.cause] += 1

    def add_reload(self, reload: Reloaded) -> None:
        """A reload is over."""
        self.reloads.append(reload)
        if reload.problem:
            self.reloads_failed += 1
        else:
            self.reloads_done += 1
