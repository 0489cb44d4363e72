"""Turns with real threads, on a loop that is a queue: what the leader does is what a test puts there.

Law: nothing waits for time to pass; whoever waits is told, or fails after `PATIENCE`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from twistcorn.master.workers.totals import Tally, Totals
from twistcorn.wire.scoreboard import W_LED_REQUESTS, W_REQUESTS, Scoreboard
from twistcorn.worker.http.request import RequestLine
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.turns.turns import Turns

#: How long anything may take that happens in another thread.
PATIENCE = 10.0


class Loop:
    """A reactor's loop (`roles.Loop`): runs what it is told, on the leader's thread, and counts who is in it.

    :ivar leads: how often somebody began to lead.
    :ivar most: how many threads were in it at once, at most.
    """

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[Callable[[Seat], object] | None] = queue.SimpleQueue()
        self._inside: list[Seat] = []
        self.leads = 0
        self.most = 0
        self.later: list[Callable[[], object]] = []
        self.running = True
        self.settle: Callable[[Seat], object] = lambda seat: None

    def tell(self, work: Callable[[Seat], object]) -> None:
        self._todo.put(work)

    def stop(self) -> None:
        def end(seat: Seat) -> None:
            self.running = False

        self.tell(end)

    def lead(self, seat: Seat) -> None:
        self.leads += 1
        self._inside.append(seat)
        self.most = max(self.most, len(self._inside))
        while self.running and seat.leads:
            work = self._todo.get()
            if work is not None:
                work(seat)
                self.settle(seat)

    def left(self) -> None:
        if self._inside:
            self._inside.pop()

    def wakeUp(self) -> None:
        self._todo.put(None)

    def callLater(self, delay: float, function: Callable[[], object]) -> Any:
        self.later.append(function)

    def tick(self) -> None:
        """The moment for which `callLater` was asked has come."""
        later, self.later = self.later, []
        for function in later:
            self.tell(lambda seat, function=function: function())  # type: ignore[misc]


class Job:
    """A request, and what the application does with it; stands for its connection.

    :ivar runs: seats that answered it.
    """

    def __init__(
        self,
        act: Callable[[Seat], object] = lambda seat: None,
        path: str = "/",
        code: int = 200,
        method: str = "GET",
    ) -> None:
        self._act = act
        self.request = self
        self.expects = False
        self.line = RequestLine(method, path.encode(), path.encode(), b"", (1, 1))
        self.made: bytes | None = None
        self.code = code
        self.hopped = self.waiting = False
        self.runs: list[Seat] = []
        self.led: list[bool] = []
        self.ended = threading.Event()

    def run(self, seat: Seat) -> None:
        self.runs.append(seat)
        self._act(seat)

    def wait(self) -> Job:
        assert self.ended.wait(PATIENCE)
        return self


class Held(Job):
    """A request that says when it runs, and ends when it is let."""

    def __init__(self, path: str = "/") -> None:
        super().__init__(self._hold, path)
        self.running = threading.Event()
        self.go = threading.Event()

    def _hold(self, seat: Seat) -> None:
        self.running.set()
        assert self.go.wait(PATIENCE)

    def until_runs(self) -> None:
        assert self.running.wait(PATIENCE)

    def end(self) -> None:
        self.go.set()
        self.wait()


class Crew:
    """A worker's threads, with one that plays the main thread.

    :ivar busy: how many calls run now; `most`: at once, at most.
    """

    def __init__(
        self, threads: int, mode: str = "adaptive", makes: bool = True, stand_ins: int = 8, full: bool = True
    ) -> None:
        self.board = Scoreboard.create(1, 1)
        self.loop = Loop()
        self.makes = makes
        self.busy = self.most = 0
        self._lock = threading.Lock()
        region = self.board.worker_base(0)
        self.turns = Turns(self.loop, threads, mode, self.board, region, self, stand_ins)  # type: ignore[arg-type]
        self.loop.settle = self.turns.settle
        self.main = threading.Thread(target=self.turns.lead.join, name="main")
        self.main.start()
        if threads > 1 and full:
            self.until(lambda: len(self.turns.threads.parked) == threads)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for what no event tells."""
        begun = time.monotonic()
        while not true():
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.0001)

    def forget(self) -> None:
        """Time passes in which no client was slow: stand-ins are not kept any longer."""
        for _ in range(2):
            self.turns.threads._crest_until = 0.0
            self.turns.keep_up()

    def word(self, word: int) -> int:
        return int(self.board.words[self.board.worker_base(0) + word])

    def requests(self) -> int:
        return self.word(W_REQUESTS) + self.word(W_LED_REQUESTS)

    def totals(self) -> Totals:
        """What is counted, as the master adds it up."""
        return Tally(self.board, lambda: [0]).totals()

    # roles.Server

    def serve(self, job: Job, seat: Seat, now: int) -> bool:
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        try:
            job.run(seat)
        finally:
            with self._lock:
                self.busy -= 1
        if self.makes and seat.inline:
            job.made = b"made"
            return True
        self.turns.answered(seat, job.code)
        job.ended.set()
        return False

    def accept_queued(self, job: Job) -> bool:
        job.waiting = True
        return True

    def claim_queued(self, job: Job) -> bool:
        return True

    def deliver(self, job: Job, seat: Seat, now: int) -> None:
        job.led.append(seat.leads)
        if seat.leads:
            self.turns.before_send()
        job.ended.set()

    def take(self, *jobs: Job) -> None:
        """The leader finds these requests."""
        for job in jobs:
            self.loop.tell(lambda seat, job=job: self.turns.take(job, seat))  # type: ignore[misc]

    def close(self) -> None:
        self.loop.stop()
        self.main.join(PATIENCE)
        assert not self.main.is_alive()
        with self.turns._lock:
            for seat in [*self.turns.threads.parked, *([self.turns.lead.deputy] if self.turns.lead.deputy else [])]:
                seat.gate.release()
        self.turns._watchdog.close()
        for thread in threading.enumerate():
            if thread.name.startswith("app-") or thread.name == "watchdog":
                thread.join(PATIENCE)
        self.board.close()
