"""The server's own metrics, as families: what docs/metrics.md lists.

Law: reads what others have counted, and counts nothing. Nothing here asks a worker: all of it is on the scoreboard or
in the master's own records, so that a look costs the master well below two milliseconds.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping

import twisted

from ... import __version__
from ...policy.blame import Cause
from ...policy.exposition import Family, Labels, MetricSample, counter, gauge, histogram
from ...policy.histogram import BOUNDS
from ...policy.worker import SERVING, Worker, WorkerState
from ...wire import vitals
from ...wire.scoreboard import (
    H_QUEUED,
    W_BUSY,
    W_CPU,
    W_FDS,
    W_LAG,
    W_LED_REQUESTS,
    W_OS_THREADS,
    W_PSS,
    W_REQUESTS,
    W_RSS,
    W_SPOOLED,
    W_WORST_LAG,
    Scoreboard,
    SlotState,
)
from ..sockets.dispatcher import Dispatcher
from ..sockets.table import ConnectionTable
from ..workers.supervisor import Supervisor
from ..workers.totals import Totals

#: Seconds from one look at the master's own PSS and descriptors to the next.
MEMORY_INTERVAL_SECONDS = 10.0
#: The states of connections that a worker has.
_STATES = {each: each.name.lower() for each in SlotState if each is not SlotState.FREE}

#: Causes of worker exits, as `death_report` names them: one that never happened is exported as 0.
_CAUSES = dict.fromkeys(["boot", "killed", *(each.name.lower() for each in Cause)], 0)

#: A metric of each worker: its name, what it means, the word of its region, and what that is divided by.
_OF_WORKERS: tuple[tuple[str, str, int, float], ...] = (
    ("requests_in_app", "Requests in the worker, running or waiting for a thread.", W_BUSY, 1),
    ("request_body_bytes", "Request bodies that are kept, in memory and in files.", W_SPOOLED, 1),
    ("resident_memory_bytes", "Memory in use.", W_RSS, 1),
    ("proportional_memory_bytes", "Memory in use, what is shared in parts; seen every ten seconds.", W_PSS, 1),
    ("threads", "Threads of the process, the application's included.", W_OS_THREADS, 1),
    ("open_fds", "Open files of the process; seen every ten seconds.", W_FDS, 1),
    ("loop_lag_seconds", "By how much the loop was late at its last heartbeat.", W_LAG, 1e9),
    ("loop_lag_worst_seconds", "By how much the loop was late at most within a minute.", W_WORST_LAG, 1e9),
)


class Measures:
    """Looks at a running master.

    :param now: seconds since the epoch; `monotonic`: monotonic seconds.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        dispatcher: Dispatcher,
        table: ConnectionTable,
        board: Scoreboard,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._dispatcher = dispatcher
        self._table = table
        self._board = board
        self._monotonic = monotonic
        self._began = now()
        self._rare: tuple[float, int, int] = (-MEMORY_INTERVAL_SECONDS, 0, 0)

    def families(self) -> list[Family]:
        """All of them."""
        totals = self._supervisor.tally.totals()
        return [
            *_of_requests(totals), *self._of_now(), *self._of_events(), *self._of_workers(), *self._of_master(),
        ]  # fmt: skip

    def _of_now(self) -> list[Family]:
        workers = list(self._supervisor.workers.values())
        words = self._board.words
        busy = sum(words[self._board.worker_base(worker.region) + W_BUSY] for worker in workers if _serves(worker))
        states = Counter(worker.state for worker in workers)
        return [
            _one("twistcorn_requests_in_app", "Requests in workers, running or waiting for a thread.", busy),
            _one("twistcorn_requests_queued", "Requests waiting in the master for a thread.", words[H_QUEUED]),
            gauge(
                "twistcorn_connections", "Connections by state; parked, waiting and ending ones are with the master.",
                _labelled("state", self._connections()),
            ),
            gauge(
                "twistcorn_workers", "Workers by state.",
                {(("state", each.value),): states[each] for each in WorkerState if each is not WorkerState.GONE},
            ),
            _one("twistcorn_workers_target", "Worker target.", self._supervisor.target),
        ]  # fmt: skip

    def _connections(self) -> dict[str, int]:
        slots = [connection.slot for connection in self._table if connection.holder is not None]
        words = self._board.slot_states(max(slots, default=-1) + 1)
        found = Counter([words[slot] for slot in slots])
        return {
            **{name: found[state] for state, name in _STATES.items()},
            "waiting": self._dispatcher.waiting,
            "parked": len(self._dispatcher.parking),
            "ending": self._dispatcher.answers.ending,
        }

    def _of_events(self) -> list[Family]:
        chronicle, replays = self._supervisor.chronicle, self._dispatcher.recovery.replays
        causes = _labelled("cause", _CAUSES | chronicle.causes)
        last = chronicle.reloads[-1] if chronicle.reloads else None
        reloads = {"done": chronicle.reloads_done, "failed": chronicle.reloads_failed}
        sent = {str(status): self._dispatcher.answers.sent[status] for status in (502, 503, 504)}
        return [
            counter("twistcorn_worker_exits_total", "Workers that ended.", causes),
            _count("twistcorn_replays_total", "Requests replayed after their worker died.", replays),
            counter("twistcorn_master_answers_total", "Responses of the master itself.", _labelled("status", sent)),
            counter("twistcorn_reloads_total", "Reloads that ended.", _labelled("result", reloads)),
            _one("twistcorn_reload_running", "1 while a reload is under way.", int(self._supervisor.fleet.reloading)),
            _one("twistcorn_reload_success", "1 unless the last reload failed.", int(last is None or not last.problem)),
            _one("twistcorn_generation", "Successful reloads, plus one.", self._supervisor.fleet.generation),
        ]

    def _of_workers(self) -> list[Family]:
        workers = [worker for worker in self._supervisor.workers.values() if _lives(worker)]
        labels: dict[int, Labels] = {worker.ident: (("worker", str(worker.ident)),) for worker in workers}
        regions = {worker.ident: self._region(worker) for worker in workers}
        state = {
            (
                *labels[worker.ident], ("state", worker.state.value), ("pid", str(worker.pid)),
                ("generation", str(worker.generation)),
            ): 1
            for worker in workers
        }  # fmt: skip
        requests = {labels[key]: region[W_REQUESTS] + region[W_LED_REQUESTS] for key, region in regions.items()}
        return [
            gauge("twistcorn_worker_state", "1 for each worker, with its state, pid and generation.", state),
            counter("twistcorn_worker_requests_total", "Requests that the worker has answered.", requests),
            counter(
                "twistcorn_worker_cpu_seconds_total", "Processor time of the worker.",
                {labels[key]: region[W_CPU] / 1e9 for key, region in regions.items()},
            ),
            *(
                gauge(
                    f"twistcorn_worker_{name}", help,
                    {labels[key]: region[word] / by if by != 1 else region[word] for key, region in regions.items()},
                )
                for name, help, word, by in _OF_WORKERS
            ),
        ]  # fmt: skip

    def _region(self, worker: Worker) -> list[int]:
        """The worker's words, as far as there are no tables."""
        base = self._board.worker_base(worker.region)
        words: list[int] = self._board.words[base : base + W_LED_REQUESTS + 1].tolist()
        return words

    def _of_master(self) -> list[Family]:
        seen, lag = vitals.read_vitals(), self._supervisor.lag
        if self._monotonic() - self._rare[0] >= MEMORY_INTERVAL_SECONDS:
            self._rare = (self._monotonic(), vitals.pss(), vitals.descriptors())
        _, pss, descriptors = self._rare
        python = platform.python_version()
        build: Labels = (("version", __version__), ("python", python), ("twisted", twisted.__version__))
        return [
            _count("twistcorn_master_cpu_seconds_total", "Processor time of the master.", seen.cpu / 1e9),
            _one("twistcorn_master_resident_memory_bytes", "Memory in use.", seen.rss),
            _one("twistcorn_master_proportional_memory_bytes", "Memory in use, what is shared in parts.", pss),
            _one("twistcorn_master_threads", "Threads of the master.", seen.threads),
            _one("twistcorn_master_open_fds", "Open files of the master.", descriptors),
            _one("twistcorn_master_loop_lag_seconds", "By how much the loop was late last.", lag.last),
            _one("twistcorn_master_loop_lag_worst_seconds", "The same, at most within a minute.", lag.worst),
            _one("twistcorn_start_time_seconds", "When the server started, since the epoch.", self._began),
            Family("twistcorn_build", "info", "Versions of what runs.", [MetricSample("_info", build, 1)]),
        ]


def _of_requests(totals: Totals) -> list[Family]:
    by: dict[Labels, float] = {
        (("method", method), ("status", status)): count for (method, status), count in totals.by.items()
    }
    return [
        counter("twistcorn_requests_total", "Requests answered by workers, by method and class of status.", by),
        histogram(
            "twistcorn_request_duration_seconds", "From the call of the application to the end of its answer.",
            BOUNDS, totals.latency, totals.latency_sum,
        ),
        histogram(
            "twistcorn_queue_time_seconds", "How long requests waited for a thread, of those that had to.",
            BOUNDS, totals.queue, totals.queue_sum,
        ),
        _count("twistcorn_requests_refused_total", "Requests refused because they were not valid.", totals.refused),
        _count("twistcorn_request_hops_total", "Requests that went to another worker for a thread.", totals.hops),
        _count("twistcorn_received_bytes_total", "Bytes of requests taken from clients.", totals.received),
        _count("twistcorn_sent_bytes_total", "Bytes of answers given to the kernel.", totals.sent),
    ]  # fmt: skip


def _one(name: str, help: str, value: float) -> Family:
    return gauge(name, help, {(): value})


def _count(name: str, help: str, value: float) -> Family:
    return counter(name, help, {(): value})


def _labelled(name: str, values: Mapping[str, int]) -> dict[Labels, float]:
    return {((name, value),): count for value, count in values.items()}


def _lives(worker: Worker) -> bool:
    """Whether there is a process, whose region is its own."""
    return worker.process is not None and worker.state not in (WorkerState.WAITING, WorkerState.GONE)


def _serves(worker: Worker) -> bool:
    return worker.state in SERVING
