"""ampoule's pool, reduced to what it is here: the workers that count, and the verb that brings them to a number.

Law: `adjustPoolSize(n, n)` is the only verb that spawns or retires to reach a number. No work is given to a child
through the pool, nothing is recycled by it, and it decides nothing: it asks its owner to spawn and to retire.
"""

from __future__ import annotations

from collections.abc import Callable

from ampoule.pool import ProcessPool
from twisted.internet.defer import Deferred, succeed

from ...policy.worker import Worker


class WorkerPool(ProcessPool):  # type: ignore[misc]
    """The workers that count towards the target; those that drain have left it.

    :param spawn: starts a worker and returns its record.
    :param retire: makes a worker hand back its connections and leave.
    :param choose: the worker to retire when there are too many.
    """

    processes: set[Worker]

    def __init__(
        self,
        spawn: Callable[[], Worker],
        retire: Callable[[Worker], None],
        choose: Callable[[set[Worker]], Worker],
    ) -> None:
        super().__init__(ampChild="twistcorn.worker", min=0, max=0, recycleAfter=0)
        # Idle children are not pruned: the timer on the global reactor is of no use.
        self.looping.stop()
        self._spawn = spawn
        self._retire = retire
        self._choose = choose
        self.started = True

    def startAWorker(self) -> None:
        """Start one more."""
        if self.finished:
            # `adjustPoolSize` would ask for ever.
            raise RuntimeError("the pool has been stopped")
        self.processes.add(self._spawn())

    def stopAWorker(self, child: Worker | None = None) -> Deferred[None]:
        """Retire one; it no longer counts."""
        chosen = child if child is not None else self._choose(self.processes)
        self.processes.discard(chosen)
        self._retire(chosen)
        return succeed(None)

    def dumpStats(self) -> None:
        """The supervisor logs what changed."""
