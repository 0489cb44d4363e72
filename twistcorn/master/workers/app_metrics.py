"""The application's metrics from all workers: collected, kept, added up.

Law: asks only workers that export metrics, all at once, and waits for none longer than `SCRAPE_SECONDS`; a worker that
does not answer in time counts with its last answer. The last answer of a dead worker is kept, so that sums never go
down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime

from ...logs.logger import Logger
from ...policy.merging import Told, merge, parse, total, trim
from ...policy.worker import Worker, WorkerState
from ...wire import amp_commands
from ...wire.scoreboard import W_EXPORTS, Scoreboard

#: Seconds that a scrape waits for a worker.
SCRAPE_SECONDS = 0.5
#: Maximum bytes from one worker; `worker.exports` keeps to less.
MAX_WORKER_BYTES = 1 << 20
#: Label sets kept from dead workers: labels may hold values that clients make up.
MAX_KEPT_SAMPLES = 20_000


class AppMetrics:
    """The metrics of the application.

    :param workers: all that there are.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, board: Scoreboard, workers: Callable[[], Iterable[Worker]]) -> None:
        self._clock = clock
        self._board = board
        self._workers = workers
        self._known: dict[int, list[Told]] = {}
        self._parts: dict[int, bytes] = {}
        self._gone: list[Told] = []
        self._waiting: list[Deferred[list[Told]]] = []

    def gather(self) -> Deferred[list[Told]]:
        """The metrics of all workers; concurrent calls share one round."""
        asked = [worker for worker in self._workers() if worker.state is WorkerState.READY and self._counts(worker)]
        if not asked:
            return succeed(merge(self._gone, self._known.values()))
        gathered: Deferred[list[Told]] = Deferred()
        self._waiting.append(gathered)
        if len(self._waiting) == 1:
            answers = DeferredList([self._ask(worker) for worker in asked])
            timer = self._clock.callLater(SCRAPE_SECONDS, answers.cancel)
            answers.addBoth(self._end_scrape, timer)
        return gathered

    def _counts(self, worker: Worker) -> bool:
        return bool(self._board.words[self._board.worker_base(worker.region) + W_EXPORTS])

    def _end_scrape(self, result: object, timer: Any) -> None:
        if timer.active():
            timer.cancel()
        merged = merge(self._gone, self._known.values())
        waiting, self._waiting = self._waiting, []
        for gathered in waiting:
            gathered.callback(merged)

    @inlineCallbacks
    def _ask(self, worker: Worker) -> Any:
        """Ask a worker, piece by piece; a death, an error and a cancellation leave what is known as it is."""
        data, size = b"", 1
        try:
            while len(data) < size <= MAX_WORKER_BYTES:
                piece = yield worker.process.ask(amp_commands.Export, offset=len(data))
                data, size = data + piece["data"], piece["size"]
                if not piece["data"]:
                    break
        except Exception:
            # The worker has logged what it cannot collect.
            return
        self._learn(worker, data)

    def record(self, worker: Worker, data: bytes, last: bool) -> None:
        """A leaving worker sends a piece of its last report."""
        whole = self._parts.pop(worker.ident, b"") + data
        if last:
            self._learn(worker, whole)
        elif len(whole) <= MAX_WORKER_BYTES:
            self._parts[worker.ident] = whole

    def _learn(self, worker: Worker, data: bytes) -> None:
        if not data:
            return
        try:
            self._known[worker.ident] = parse(data, worker.ident)
        except ValueError as error:
            self.log.warn("invalid metrics from worker {ident}: {error}", ident=worker.ident, error=str(error))

    def fold_into_totals(self, worker: Worker) -> None:
        """A worker is dead: what it had counted is kept."""
        self._parts.pop(worker.ident, None)
        known = self._known.pop(worker.ident, None)
        if known is not None:
            self._gone = total([self._gone, known])
            trim(self._gone, MAX_KEPT_SAMPLES, self._known.values())
