"""Workers that can take no connection, because they have no file descriptor left: told once, replaced, never flooded.

Law: the dispatcher notices, and lends such a worker nothing more; here its replacement is asked for, not at once where
it got full as soon as it was ready: the next one may be as full.
"""

from __future__ import annotations

from typing import Any

from ..logs.logger import Logger
from ..pool.worker import Outdated, State, Worker
from .fleet import Fleet

#: Seconds for which a worker must have been ready before it is replaced for this.
SETTLED = 2.0


class Full:
    """Has full workers replaced."""

    log = Logger()

    def __init__(self, clock: Any, fleet: Fleet) -> None:
        self._clock = clock
        self._fleet = fleet

    def noticed(self, worker: Worker) -> None:
        """A worker has sent a connection back for want of a descriptor, and is lent nothing more."""
        if worker.full:
            return
        worker.full = True
        self.log.error(
            "worker {ident} (pid {pid}) has no file descriptor left: it gets no more connections and is replaced;"
            " find what its application leaves open, or raise the limit (LimitNOFILE= of systemd, ulimit -n)",
            ident=worker.ident, pid=worker.pid, worker=worker.ident,
        )  # fmt: skip
        left = worker.ready_at + SETTLED - self._clock.seconds()
        self._clock.callLater(max(0.0, left), self._replace, worker)

    def _replace(self, worker: Worker) -> None:
        if worker.state is State.READY and worker.outdated is None:
            self._fleet.outdate(worker, Outdated.FULL)
