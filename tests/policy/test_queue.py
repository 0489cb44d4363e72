"""The claims of twistcorn.policy.queue, alone and in a simulation of the whole: workers, master, and the way between.

In the simulation the decisions are those of the real code, `policy.queue` in the master and `worker.waiting` in the
workers; threads, messages and time are simulated.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from twistcorn.policy.dispatch import MAX_UNACKNOWLEDGED
from twistcorn.policy.queue import Queue, choose_free, free_threads
from twistcorn.policy.worker import TAKING, Worker, WorkerState
from twistcorn.settings import Settings
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import H_QUEUED, H_REGIONS, W_BUSY, W_INCOMING, W_THREADS, Scoreboard
from twistcorn.worker.loop.local_queue import LocalQueue


class TestQueue:
    def test_oldest_comes_first(self) -> None:
        """Whatever the order in which they were given back."""
        queue: Queue[str] = Queue(10, 30.0)
        for since, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2")):
            assert queue.push(name, since)

        assert [queue.pop() for _ in range(4)] == ["a", "a2", "b", "c"]

    def test_it_is_full(self) -> None:
        """There is room for so many."""
        queue: Queue[int] = Queue(2, 30.0)
        assert [queue.push(number, 0.0) for number in range(3)] == [True, True, False]
        queue.pop()

        assert queue.push(4, 0.0)

    def test_some_have_waited_for_too_long(self) -> None:
        """They leave, the others stay."""
        queue: Queue[int] = Queue(10, 30.0)
        for since in (5, 1, 3, 2):
            queue.push(since, float(since))

        assert queue.expired(33.0) == [1, 2]
        assert (len(queue), queue.pop()) == (2, 3)

    def test_server_ends(self) -> None:
        """Nothing is left."""
        queue: Queue[int] = Queue(10, 30.0)
        queue.push(1, 0.0)
        queue.clear()

        assert not queue


def worker(ident: int = 1, busy: int = 0, unacknowledged: int = 0, state: WorkerState = WorkerState.READY) -> Worker:
    return Worker(ident, ident - 1, 1, None, state=state, busy=busy, unacknowledged=unacknowledged)


class TestFreeThreads:
    def test_some_are_busy(self) -> None:
        """The others are free, but for those that a lend on its way will need."""
        assert free_threads(worker(busy=3), 8) == 5
        assert free_threads(worker(busy=3, unacknowledged=2), 8) == 3

    def test_requests_wait(self) -> None:
        """There is never less than nothing."""
        assert free_threads(worker(busy=30), 8) == 0

    @pytest.mark.parametrize("state", [state for state in WorkerState if state not in TAKING])
    def test_worker_is_not_ready(self, state: WorkerState) -> None:
        """It has no thread for anybody."""
        assert free_threads(worker(state=state), 8) == 0

    def test_worker_does_not_answer(self) -> None:
        """One that has the bound of unacknowledged lends gets nothing, however many threads it has."""
        assert free_threads(worker(unacknowledged=MAX_UNACKNOWLEDGED), 1000) == 0

    def test_choice(self) -> None:
        """The worker with the most of them, if any has one."""
        assert choose_free([], 8) is None
        assert choose_free([worker(1, busy=8), worker(2, busy=9)], 8) is None
        few, many = worker(1, busy=7), worker(2, busy=5)
        assert choose_free([few, many], 8) is many


class Request:
    """A request on its connection: what `LocalQueue` knows of one.

    :ivar home: the worker that has the connection.
    """

    untouched = True
    request = None

    def __init__(self, number: int, home: int) -> None:
        self.number = number
        self.home = home
        self.came = 0.0
        self.time = 0.0
        self.hops = 0
        self.queued_since = 0.0
        self.waiting = False
        self.answered = True

    @property
    def redo_log(self) -> Request:
        return self

    def write_queued(self, since: float) -> None:
        """Its age goes with it."""


class Simulation:
    """Workers with threads, connections that stay where they are, and requests on them.

    :param rules: whether requests may go elsewhere.
    :ivar waits: how long each answered request waited, in seconds, sorted once it ran.
    :ivar hops: how many requests were given back so often; `refused`: how many got 503.
    :ivar longest: the most that waited with the master.
    """

    WORKERS, THREADS, CONNECTIONS = 4, 4, 400
    #: One way between two processes.
    WAY = 0.0001

    def __init__(self, load: float, rules: bool = True, requests: int = 20_000, **settings: Any) -> None:
        self.now = 1.0
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._random = random.Random(42)
        self._settings = Settings(workers=self.WORKERS, threads=self.THREADS, **settings)
        self.board = Scoreboard.create(self.WORKERS, 1)
        self.board.words[H_REGIONS] = self.WORKERS
        self.records = [worker(n + 1) for n in range(self.WORKERS)]
        self.queues: list[deque[Request]] = [deque() for _ in self.records]
        self.idle = [self.THREADS] * self.WORKERS
        self.waiting = [self._make_waiting(n, rules) for n in range(self.WORKERS)]
        self.master: Queue[Request] = Queue(self._settings.queue_size, self._settings.queue_timeout)
        self.waits: list[float] = []
        self.hops: Counter[int] = Counter()
        self.refused = self.longest = 0
        self._connections = {n: Request(n, n % self.WORKERS) for n in range(self.CONNECTIONS)}
        self._rate = load * self.WORKERS * self.THREADS / 0.01
        self._left = requests

    def _make_waiting(self, number: int, rules: bool) -> LocalQueue:
        base = self.board.worker_base(number)
        self.board.words[base + W_THREADS] = self.THREADS if rules else 0
        give_back = cast(Any, lambda request, kind: self._given_back(number, request, kind))
        return LocalQueue(self, self.board, base, self._settings, give_back, lambda: False, lambda: self.now)

    def callLater(self, delay: float, function: Callable[..., object], *arguments: Any) -> None:
        """As a reactor's."""
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), function, arguments))

    def run(self) -> Simulation:
        """Until every request is answered."""
        self.callLater(0.0, self._arrive)
        while self._events:
            self.now, _, function, arguments = heapq.heappop(self._events)
            function(*arguments)
        self.waits.sort()
        self.board.close()
        return self

    def percentile(self, part: float) -> float:
        """So many waited for no longer than this."""
        return self.waits[int(len(self.waits) * part)]

    def _arrive(self) -> None:
        some = self._random.sample(range(self.CONNECTIONS), 20)
        free = [self._connections[number] for number in some if self._connections[number].answered]
        if free:
            request = free[0]
            request.came, request.answered, request.hops, request.queued_since = self.now, False, 0, 0.0
            # Most are short, some are not.
            request.time = self._random.expovariate(1 / 0.005) if self._random.random() < 0.95 else 0.105
            self._left -= 1
            self._read(request, False)
        if self._left:
            self.callLater(self._random.expovariate(self._rate), self._arrive)

    # A worker

    def _busy(self, number: int, difference: int) -> None:
        self.board.words[self.board.worker_base(number) + W_BUSY] += difference

    def _read(self, request: Request, first: bool) -> None:
        number = request.home
        self._busy(number, 1)
        if not first and not self.idle[number] and not self.waiting[number].enqueue(cast(Any, request)):
            return
        if first:
            self.queues[number].appendleft(request)
        else:
            self.queues[number].append(request)
        self._start(number)

    def _start(self, number: int) -> None:
        while self.idle[number] and self.queues[number]:
            request = self.queues[number].popleft()
            if self.waiting[number].claim(cast(Any, request)):
                self.idle[number] -= 1
                self.callLater(request.time, self._end, number, request)

    def _end(self, number: int, request: Request) -> None:
        self.idle[number] += 1
        self._busy(number, -1)
        request.answered = True
        self.hops[request.hops] += 1
        self.waits.append(self.now - request.came - request.time)
        self._start(number)
        if self.board.words[H_QUEUED] and self.idle[number]:
            self.callLater(self.WAY, self._pump)

    def _given_back(self, number: int, request: Request, kind: Kind) -> None:
        self._busy(number, -1)
        if kind is Kind.REFUSED:
            self._refuse(request)
            return
        assert kind is Kind.WAITS
        # As in a worker: the next holder has an object of its own, this one passes a thread that leaves it alone.
        again = self._connections[request.number] = Request(request.number, number)
        again.came, again.time, again.hops, again.answered = request.came, request.time, request.hops + 1, False
        again.queued_since = request.queued_since
        self.callLater(self.WAY, self._returned, again)

    def _refuse(self, request: Request) -> None:
        self.refused += 1
        self._connections[request.number] = Request(request.number, request.home)

    # The master

    def _returned(self, request: Request) -> None:
        if not self.master.push(request, request.queued_since):
            self._refuse(request)
        self._pump()

    def _pump(self) -> None:
        for number, record in enumerate(self.records):
            record.busy = self.board.words[self.board.worker_base(number) + W_BUSY]
        while self.master and (chosen := choose_free(self.records, self.THREADS)):
            self._incoming(chosen, 1)
            self.callLater(self.WAY, self._lent, self.master.pop(), chosen)
        self.board.words[H_QUEUED] = len(self.master)
        self.longest = max(self.longest, len(self.master))

    def _incoming(self, record: Worker, difference: int) -> None:
        record.unacknowledged += difference
        self.board.words[self.board.worker_base(record.region) + W_INCOMING] = record.unacknowledged

    def _lent(self, request: Request, record: Worker) -> None:
        request.home = record.region
        self._read(request, True)
        self.callLater(self.WAY, self._incoming, record, -1)


class TestSimulation:
    @pytest.mark.parametrize(("load", "less"), [(0.5, 0.5), (0.8, 0.3), (0.95, 0.6)])
    def test_wait(self, load: float, less: float) -> None:
        """Requests that may go where a thread is free wait far less than those that may not; most need not go."""
        bound, free = Simulation(load, rules=False).run(), Simulation(load).run()

        assert bound.hops == {0: 20_000}
        assert sum(free.waits) < less * sum(bound.waits)
        assert free.percentile(0.99) < bound.percentile(0.99)
        assert free.hops[1] < 0.2 * 20_000
        assert free.refused == bound.refused == 0

    @pytest.mark.parametrize("load", [0.5, 0.95, 3.0])
    def test_hops(self, load: float) -> None:
        """No request goes twice, and the master's queue is for those few that came too late for a thread."""
        simulation = Simulation(load).run()

        assert set(simulation.hops) <= {0, 1}
        assert simulation.longest <= Simulation.WORKERS * Simulation.THREADS

    def test_overload(self) -> None:
        """Of ten times too many requests those that are accepted wait for no longer than a full queue takes."""
        simulation = Simulation(10.0, queue_size=64).run()
        full = 64 * 0.01 / (Simulation.WORKERS * Simulation.THREADS)

        assert simulation.refused > 0.5 * 20_000
        assert len(simulation.waits) + simulation.refused == 20_000
        assert simulation.percentile(0.5) < 2 * full
        assert simulation.waits[-1] < 6 * full

    def test_patience_ends(self) -> None:
        """None waits for longer than the operator wants."""
        simulation = Simulation(3.0, queue_timeout=0.05).run()

        assert simulation.refused > 0
        # Looked at every two milliseconds.
        assert simulation.waits[-1] < 0.05 + 0.005
