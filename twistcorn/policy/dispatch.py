"""Which worker gets the next connection: a pure choice.

Law: reads the records, changes nothing. "No worker can take this" is a value, None, with an answer in the dispatcher.
"""

from __future__ import annotations

from collections.abc import Sequence

from .worker import TAKING, Worker

#: Lends that a worker may have on the way. Few enough that a worker that just got ready is not flooded and that a
#: frozen one holds up little; enough for a batch per wake-up.
MAX_UNACKNOWLEDGED = 16


def choose(workers: Sequence[Worker], turn: int) -> Worker | None:
    """The worker that takes some with the fewest requests, then the fewest connections; ties go round with `turn`.

    A lend on the way counts as a request, because it usually brings one.
    """
    best: Worker | None = None
    best_key = (0, 0)
    size = len(workers)
    for offset in range(size):
        worker = workers[(turn + offset) % size]
        if worker.state not in TAKING or worker.unacknowledged >= MAX_UNACKNOWLEDGED:
            continue
        key = (worker.busy + worker.unacknowledged, worker.connections)
        if best is None or key < best_key:
            best, best_key = worker, key
    return best
