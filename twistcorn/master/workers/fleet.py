"""The fleet: how many workers there are, which ones are replaced, and by what code and settings.

Law: spawn first, retire second; `policy.rollout` says how fast. A reload and the replacement of single workers are one
thing: some workers are outdated, and go when others have taken their place. New settings count from the moment in
which the first worker that has them is ready; until then nothing was changed.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from ...logs.logger import Logger
from ...policy import rollout
from ...policy.restarts import BackOff
from ...policy.worker import TIMERS, Event, Outdated, Worker, WorkerState
from ...settings import Settings
from ...syntax import MAX_WORKERS, Span
from ...wire.scoreboard import Scoreboard
from ..sockets.dispatcher import Dispatcher
from .machine import Machine
from .pool import WorkerPool

#: What an order to leave at once, or a SIGKILL, may take before SIGKILL is sent (again).
KILL_SECONDS = 2.0


class Spawner(Protocol):
    """What starts processes: `process.WorkerStarter`, or `testing.MemorySpawner`."""

    def spawn(self, worker: Worker, owner: Any) -> Any: ...


class Chief(Protocol):
    """Receives the fleet's events (`supervisor.Supervisor`)."""

    def boot(self, worker: Worker, settings: Settings) -> None:
        """A process was started: order it to boot."""

    def never_born(self, worker: Worker, reason: str) -> None:
        """A process could not be started."""

    def committed(self) -> None:
        """The settings of a reload count now."""

    def reload_ended(self, problem: str) -> None:
        """A reload is over; the problem is empty when it went through."""


class Fleet:
    """The workers and their number.

    :ivar target: the number of workers to keep.
    :ivar workers: all of them, by number; also those that leave and no longer count.
    :ivar settings: those of the workers that are ready.
    :ivar open: whether the number is kept: from the first ready worker until the server stops.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        spawner: Spawner,
        dispatcher: Dispatcher,
        scoreboard: Scoreboard,
        chief: Chief,
    ) -> None:
        self._clock = clock
        self.settings = settings
        self._spawner = spawner
        self._dispatcher = dispatcher
        self._scoreboard = scoreboard
        self._chief = chief
        self.machine = Machine(clock, dispatcher, self, lambda worker: self._gone(worker))
        self.pool = WorkerPool(self._spawn, self._retire, _least)
        self._idents = itertools.count(1)
        self.regions = list(range(scoreboard.workers - 1, -1, -1))
        self._back_off = BackOff()
        self._generation = 1
        self._next: tuple[int, Settings] | None = None
        self._way = rollout.ROLLING
        #: The last boot failed: workers over a recycling limit keep serving.
        self.paused = False
        self.open = False
        self.target = settings.workers
        self.workers: dict[int, Worker] = {}

    # The machine asks (machine.Pace)

    def delay(self, state: WorkerState) -> float:
        """Seconds that a worker may be in a state."""
        if state is WorkerState.WAITING:
            return self._back_off.delay(any(w.state is WorkerState.READY for w in self.workers.values()))
        if state is WorkerState.STOPPING:
            return KILL_SECONDS
        return float(getattr(self.settings, TIMERS[state]))

    def admits(self, worker: Worker) -> bool:
        """Whether a worker that got ready takes connections at once; a generation may wait until it is complete."""
        return self._strategy() != rollout.TOGETHER

    def forget(self, worker: Worker) -> None:
        """A worker counts no longer."""
        self.pool.processes.discard(worker)

    def _gone(self, worker: Worker) -> None:
        self.workers.pop(worker.ident, None)

    # What happens to workers

    def booted(self, worker: Worker) -> None:
        """A worker loaded the application; what follows from the numbers is `fill`'s."""
        worker.was_ready, worker.ready_at = True, self._clock.seconds()
        self.paused = False
        self._back_off = self._back_off.got_ready()
        if self._next is not None and worker.generation == self._next[0] != self._generation:
            self._commit(*self._next)
        self.machine.handle(worker, Event.BOOTED)
        for leaving in [each for each in self.workers.values() if each.state is WorkerState.DRAINING]:
            self.machine.handle(leaving, Event.RETIRE)

    def _commit(self, generation: int, settings: Settings) -> None:
        """The new code boots: the settings that it was started with are those of the server now."""
        self._generation = generation
        self._take(settings)
        self._chief.committed()

    def _take(self, settings: Settings) -> None:
        before, self.settings = self.settings, settings
        if (before.workers, before.workers_bounds) != (settings.workers, settings.workers_bounds):
            bounds = settings.workers_bounds
            self.target = settings.workers if bounds is None else bounds.clamp(self.target)
        self._dispatcher.configure(settings)

    def configure(self, fields: dict[str, Any]) -> None:
        """These fields of the settings have other values at once, also in a reload that is under way."""
        if self._next is not None:
            generation, wanted = self._next
            self._next = generation, replace(wanted, **fields)
        self._take(replace(self.settings, **fields))
        if "workers" in fields:
            # A newly set number overrides an earlier `scale`.
            self.target = self.target if self.settings.workers_bounds else self.settings.workers
            self.fill()

    def settings_of(self, worker: Worker) -> Settings:
        """The settings that a worker has, or boots with."""
        return self._next[1] if self._next is not None and worker.generation == self._next[0] else self.settings

    def ended(self, worker: Worker, reason: str) -> None:
        """A worker is no more, or never came to be; the reason is what the log says of it."""
        booting = worker.state is WorkerState.STARTING
        if booting:
            self._back_off = self._back_off.died_before_ready()
        self.machine.handle(worker, Event.EXITED)
        if booting and self.open and not worker.was_ready:
            if self._next is not None and worker.generation == self._next[0] != self._generation:
                self._abandon_reload(reason if worker.process is None else "the code on disk fails to boot", reason)
            else:
                self._replacement_failed()
        elif self._strategy() == rollout.STOP_FIRST:
            # Its replacement may have waited for this exit.
            self.fill()

    def outdate(self, worker: Worker, reason: Outdated) -> None:
        """Replace a worker: it goes when another one has taken its place."""
        if reason is not Outdated.SPENT or not self.paused:
            worker.outdated = reason
            self.fill()

    def pardon(self, worker: Worker) -> bool:
        """Cancel the replacement of a worker, unless it has another reason; false: a replacement already counts."""
        worker.outdated = worker.lasting
        stays = worker in self.pool.processes
        if not stays:
            self.machine.handle(worker, Event.RETIRE)
        self.fill()
        return stays

    def drain(self, worker: Worker) -> None:
        """Drain a worker now; its replacement boots meanwhile."""
        if worker in self.pool.processes:
            self.pool.stopAWorker(worker)
            self.fill()

    def kill(self, worker: Worker, why: str) -> None:
        """Kill a worker that takes no orders."""
        worker.killed = why
        self.machine.handle(worker, Event.KILL)
        self.fill()

    def _replacement_failed(self) -> None:
        """A worker died before it was ready, and not the first one of a reload."""
        if any(worker.outdated is Outdated.SPENT for worker in self.pool.processes):
            self._pause("a replacement worker failed to boot")
        self.fill()

    def _pause(self, why: str) -> None:
        """Replace no worker that serves, until one boots again."""
        settings = self.settings
        if not self.paused and (settings.max_requests or settings.max_rss or settings.max_age):
            self.log.error("{why}: recycling paused until a worker boots", why=why)
        self.paused = True
        for worker in self.workers.values():
            if worker.outdated is Outdated.SPENT:
                worker.outdated = None

    # Reload

    @property
    def generation(self) -> int:
        """The present generation; during a reload the old one until the first new worker is ready."""
        return self._generation

    @property
    def reloading(self) -> bool:
        """Whether a reload is under way."""
        return self._next is not None

    def reload(self, settings: Settings) -> None:
        """Replace all workers by new ones, that load the code on disk and have these settings."""
        generation = max((worker.generation for worker in self.workers.values()), default=self._generation) + 1
        # It goes on as it began, whatever is set meanwhile.
        self._next, self._way = (generation, settings), settings.reload_strategy
        how = "stopping all workers, then booting" if self._way == rollout.STOP_FIRST else "booting one worker of"
        self.log.info("reload: {how} generation {generation}", how=how, generation=generation)
        self.fill()

    def _abandon_reload(self, why: str, reason: str) -> None:
        """The first new worker failed to boot: the old generation goes on, and the callers get the full reason."""
        assert self._next is not None
        (generation, _), self._next = self._next, None
        self.log.error("reload cancelled: {why}; {then}", why=why, then=rollout.afterwards(reason, self._way))
        self._pause(why)
        for worker in [w for w in self.pool.processes if w.generation == generation]:
            self.pool.stopAWorker(worker)
        self.fill()
        self._chief.reload_ended(reason)

    # Numbers

    def scale(self, difference: int, why: str = "") -> None:
        """Change the worker target, within the bounds if there are some, and never below one; `why` is logged."""
        bounds = self.settings.workers_bounds or Span(1, MAX_WORKERS)
        self.target = bounds.clamp(self.target + difference)
        self.log.info("worker target set to {target}{why}", target=self.target, why=f": {why}" if why else "")
        self.fill()

    def fill(self) -> None:
        """Bring the pool to its target, and replace outdated workers."""
        if not self.open:
            return
        old = sorted((w for w in self.pool.processes if self._is_old(w)), key=_least_wanted)
        if self._next is None and not old:
            size = min(self.target, len(self.pool.processes)) if self._waits_for_end() else self.target
            self.pool.adjustPoolSize(size, size)
        else:
            self._advance(old)

    def _is_old(self, worker: Worker) -> bool:
        return worker.outdated is not None or (self._next is not None and worker.generation != self._next[0])

    def _strategy(self) -> str:
        if self._next is not None:
            return self._way
        # What cannot be there twice cannot be so when a single worker is replaced, either.
        first = self.settings.reload_strategy == rollout.STOP_FIRST
        return rollout.STOP_FIRST if first else rollout.ROLLING

    def _leaving(self) -> int:
        return len(self.workers) - len(self.pool.processes)

    def _waits_for_end(self) -> bool:
        return self._strategy() == rollout.STOP_FIRST and self._leaving() > 0

    def _advance(self, old: list[Worker]) -> None:
        fresh = [worker for worker in self.pool.processes if not self._is_old(worker)]
        ready = [worker for worker in fresh if worker.state is WorkerState.READY]
        numbers = self.target, len(old), len(ready), len(fresh) - len(ready)
        plan = rollout.step(*numbers, self._strategy(), self._leaving())
        waits = self._strategy() == rollout.TOGETHER
        if waits and (len(ready) >= self.target or not any(worker.state is WorkerState.READY for worker in old)):
            # The waiting generation is complete and takes over, or no old worker is left.
            for worker in ready:
                if worker not in self._dispatcher.workers:
                    self._dispatcher.admit(worker)
        for worker in old[: plan.retire]:
            self.pool.stopAWorker(worker)
        wanted = len(self.pool.processes) + plan.spawn
        if self._next is None and len(old) == plan.retire and not self._waits_for_end():
            wanted = self.target
        self.pool.adjustPoolSize(wanted, wanted)
        if self._next is not None and self._is_through(self._next[0]):
            (generation, _), self._next = self._next, None
            self.log.info("reload complete: generation {generation} is serving", generation=generation)
            self.fill()
            self._chief.reload_ended("")

    def _is_through(self, generation: int) -> bool:
        """Whether a reload to this generation is over; some of its workers may have served their time already."""
        others = [worker for worker in self.pool.processes if worker.generation != generation]
        ready = [worker for worker in self.pool.processes if worker.state is WorkerState.READY]
        return rollout.finished(len(others), len(ready) - len(set(ready) & set(others)), self.target)

    def _retire(self, worker: Worker) -> None:
        # An unresponsive worker takes no order; it is killed when its time is over, or pardoned before.
        if worker.outdated is not Outdated.FROZEN:
            self.machine.handle(worker, Event.RETIRE)

    def _spawn(self) -> Worker:
        generation, settings = self._next or (self._generation, self.settings)
        worker = Worker(
            next(self._idents), self.regions.pop(), generation, None, born=self._clock.seconds(),
            chance=random.random(),
        )  # fmt: skip
        self._scoreboard.clear_worker(worker.region)
        self.workers[worker.ident] = worker
        try:
            worker.process = self._spawner.spawn(worker, self._chief)
        except OSError as problem:
            # No process, no descriptor, no memory: as if it had died while it booted.
            self.regions.append(worker.region)
            text = worker.boot_error = f"cannot start a worker process: {problem.strerror}"
            self.log.error("{text}", text=text)
            # The pool files it first.
            self._clock.callLater(0, self._chief.never_born, worker, text)
            return worker
        worker.pid = worker.process.pid
        self.machine.start_timer(worker)
        self._chief.boot(worker, settings)
        return worker


def _least_wanted(worker: Worker) -> tuple[bool, bool, int, int, int]:
    """The order in which workers are retired: first those that do not serve, then old code, trouble, age."""
    trouble = list(Outdated).index(worker.outdated) if worker.outdated else len(Outdated)
    frozen = worker.outdated is Outdated.FROZEN
    return worker.state is WorkerState.READY, not frozen, worker.generation, trouble, worker.ident


def _least(workers: set[Worker]) -> Worker:
    """The worker to retire when there are too many."""
    return min(workers, key=_least_wanted)
