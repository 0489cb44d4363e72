"""The supervisor: keeps the wanted number of workers alive, replaces, reloads, stops.

Law: the transitions stand in `pool.worker`, the pace of a reload in `pool.rollout`, the back-off in
`pool.restarts`; this file carries out their effects and logs. Spawn first, retire second. It never takes the master
down, except that a first boot in which no worker got ready is told as fatal.
"""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from .. import __version__
from ..errors import BootError
from ..pool import rollout
from ..pool.restarts import BackOff, Intensity
from ..pool.worker import TIMERS, Effect, Event, State, Worker, step
from ..settings import MAX_WORKERS, Settings, to_json
from ..wire import commands
from ..wire.scoreboard import Scoreboard
from .deaths import describe
from .dispatcher import Dispatcher
from .pool import WorkerPool
from .process import ExitStatus

#: What an order to leave at once, or a SIGKILL, may take before SIGKILL is sent (again).
KILL_TIMEOUT = 2.0
#: More deaths of serving workers than this many in so many seconds get a warning of their own.
DEATHS, PERIOD = 5, 60.0


class Spawner(Protocol):
    """What starts processes: `process.WorkerStarter`, or `testing.MemorySpawner`."""

    def spawn(self, worker: Worker, owner: Any) -> Any: ...


class Supervisor:
    """The workers and their target.

    :param listeners: what workers must know of each listener: (family, name, port).
    :param on_ready: called once, when the first worker is ready.
    :param on_fatal: called when no worker ever got ready.
    :ivar target: how many workers are wanted.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        spawner: Spawner,
        dispatcher: Dispatcher,
        scoreboard: Scoreboard,
        listeners: Sequence[Sequence[object]],
        on_ready: Callable[[], None],
        on_fatal: Callable[[BootError], None],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._spawner = spawner
        self._dispatcher = dispatcher
        self._scoreboard = scoreboard
        self._listeners = json.dumps(listeners).encode()
        self._on_ready = on_ready
        self._on_fatal = on_fatal
        self._pool = WorkerPool(self._spawn, self._retire, _oldest)
        self._idents = itertools.count(1)
        self._regions = list(range(scoreboard.workers - 1, -1, -1))
        self._back_off = BackOff()
        self._deaths = Intensity(PERIOD, DEATHS)
        self._generation = 1
        self._reloading: int | None = None
        self._reload_again = False
        self._serving = False
        self._stopped: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        self.target = settings.workers
        self.workers: dict[int, Worker] = {}

    # Verbs of the operator

    def start(self) -> None:
        """Boot one worker; the others follow when it is ready."""
        self._pool.adjustPoolSize(1, 1)

    def scale(self, difference: int) -> None:
        """Want so many workers more or less, never fewer than one."""
        self.target = max(1, min(MAX_WORKERS, self.target + difference))
        self.log.info("{target} workers wanted", target=self.target)
        self._fill()

    def reload(self) -> None:
        """Replace all workers by new ones that load the code on disk; remembered while it cannot begin yet."""
        if self._stopped is not None:
            return
        if not self._serving or self._reloading is not None:
            self._reload_again = True
            self.log.info("reload asked for; it begins when the present one is over")
            return
        self._reload_again = False
        self._reloading = max(worker.generation for worker in self.workers.values()) + 1
        self.log.info("reload: booting one worker of generation {generation}", generation=self._reloading)
        self._fill()

    def reopen_logs(self) -> None:
        """Have every worker reopen its log files."""
        for worker in self.workers.values():
            if worker.process is not None:
                worker.process.order(commands.Reopen)

    def stop(self, quick: bool) -> Deferred[None]:
        """End all workers; fires when none is left. A second, quick call hurries the first."""
        first = self._stopped is None
        stopped = self._stopped = self._stopped or Deferred()
        self._pool.finished = True
        if quick:
            self._tell_all(Event.QUIT)
        elif first:
            self._deadline = self._clock.callLater(self._settings.graceful_timeout, self._tell_all, Event.QUIT)
            self._dispatcher.when_empty().addCallback(lambda _: self._tell_all(Event.STOP))
        self._tell_stopped()
        return stopped

    def _tell_all(self, event: Event) -> None:
        for worker in list(self.workers.values()):
            self._handle(worker, event)
        self._tell_stopped()

    def _tell_stopped(self) -> None:
        if self._stopped is not None and not self.workers and not self._stopped.called:
            if self._deadline is not None and self._deadline.active():
                self._deadline.cancel()
            self._stopped.callback(None)

    # Reports of the workers (process.Owner)

    def booted(self, worker: Worker, app: str, how: str) -> None:
        """A worker loaded the application."""
        worker.was_ready = True
        self._back_off = self._back_off.got_ready()
        self.log.info(
            "worker {ident} (pid {pid}) is ready after {age:.1f} s: {app}{how}",
            ident=worker.ident, pid=worker.pid, age=self._clock.seconds() - worker.born, app=app,
            how=f" ({how})" if how and not self._serving else "",
        )  # fmt: skip
        if worker.generation == self._reloading:
            self._generation = self._reloading
        self._handle(worker, Event.BOOTED)
        if not self._serving and self._stopped is None:
            self._serving = True
            self._on_ready()
        self._fill()
        if self._reload_again and self._reloading is None:
            self.reload()

    def boot_failed(self, worker: Worker, message: str) -> None:
        """A worker said why it cannot load the application; its exit follows."""
        worker.boot_error = message
        self._handle(worker, Event.BOOT_FAILED)

    def leaving(self, worker: Worker) -> None:
        """Somebody told a worker to go, and it drains."""
        self.log.info("worker {ident} (pid {pid}) was sent SIGTERM: it drains", ident=worker.ident, pid=worker.pid)
        self._handle(worker, Event.LEAVING)

    def reported(self, worker: Worker, data: bytes) -> None:
        """A worker reported on connections."""
        self._dispatcher.reported(worker, data)

    def exited(self, worker: Worker, status: ExitStatus) -> None:
        """A process is dead and reaped."""
        worker.process.end()
        running = self._dispatcher.died(worker)
        self._regions.append(worker.region)
        level, text = describe(worker, str(status), running, self._clock.seconds() - worker.born)
        if not self._is_fatal(worker):
            self.log.emit(level, "{text}", text=text)
        if worker.state is State.READY:
            self._warn_of_crash_loop()
        self._ended(worker, worker.boot_error or text)

    def _ended(self, worker: Worker, reason: str) -> None:
        """A worker is no more, or never came to be."""
        fatal = self._is_fatal(worker)
        if worker.state is State.STARTING:
            self._back_off = self._back_off.died_before_ready()
        self._handle(worker, Event.EXITED)
        if fatal:
            self._on_fatal(BootError(reason))
        elif worker.generation == self._reloading != self._generation and not worker.was_ready:
            self._abandon_reload()
        self._tell_stopped()

    def _is_fatal(self, worker: Worker) -> bool:
        """Only a first boot in which nobody got ready ends the server."""
        return not self._serving and not worker.was_ready and self._stopped is None

    def _warn_of_crash_loop(self) -> None:
        self._deaths, exceeded = self._deaths.add(self._clock.seconds())
        if exceeded:
            self.log.warn(
                "workers keep dying: more than {deaths} within {period:g} s; each is replaced at once",
                deaths=DEATHS, period=PERIOD,
            )  # fmt: skip

    # The machine

    def _handle(self, worker: Worker, event: Event) -> None:
        state, effects = step(worker.state, event)
        if state is not worker.state:
            self._stop_timer(worker)
            worker.state = state
            self._start_timer(worker)
        for effect in effects:
            self._carry_out(effect, worker)

    def _start_timer(self, worker: Worker) -> None:
        delay = self._delay(worker.state) if worker.state in TIMERS else None
        # A boot may take for ever, if the operator says 0, as with Gunicorn.
        if delay is not None and (delay or worker.state is not State.STARTING):
            worker.timer = self._clock.callLater(delay, self._timed_out, worker)

    def _delay(self, state: State) -> float:
        if state is State.WAITING:
            return self._back_off.delay(any(w.state is State.READY for w in self.workers.values()))
        if state is State.STOPPING:
            return KILL_TIMEOUT
        return float(getattr(self._settings, TIMERS[state]))

    def _timed_out(self, worker: Worker) -> None:
        worker.timer = None
        if worker.state is not State.WAITING:
            worker.killed = f"{worker.state.value} for more than {self._delay(worker.state):g} s"
        if worker.state is State.STOPPING:
            worker.timer = self._clock.callLater(KILL_TIMEOUT, self._timed_out, worker)
        self._handle(worker, Event.TIMEOUT)

    def _stop_timer(self, worker: Worker) -> None:
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None

    def _carry_out(self, effect: Effect, worker: Worker) -> None:
        if effect is Effect.ADMIT:
            self._dispatcher.admit(worker)
        elif worker.process is None and effect not in (Effect.FORGET, Effect.RESPAWN):
            # It was never born; there is nobody to order.
            return
        elif effect is Effect.ORDER_DRAIN:
            worker.process.order(commands.Drain)
        elif effect is Effect.ORDER_STOP:
            worker.process.order(commands.Stop, quick=False)
        elif effect is Effect.ORDER_QUIT:
            worker.process.order(commands.Stop, quick=True)
        elif effect is Effect.KILL:
            worker.process.kill(signal.SIGKILL)
        elif effect is Effect.FORGET:
            self._pool.processes.discard(worker)
            if worker.state is State.GONE:
                self.workers.pop(worker.ident, None)
        elif effect is Effect.RESPAWN:
            self._fill()
        if worker.state is not State.READY:
            self._dispatcher.dismiss(worker)

    # Numbers

    def _fill(self) -> None:
        if self._stopped is not None or not self._serving:
            return
        if self._reloading is None:
            self._pool.adjustPoolSize(self.target, self.target)
        else:
            self._advance_reload(self._reloading)

    def _advance_reload(self, generation: int) -> None:
        old = sorted((w for w in self._pool.processes if w.generation != generation), key=_least_wanted)
        ready = self._count(generation, State.READY)
        starting = sum(w.generation == generation for w in self._pool.processes) - ready
        plan = rollout.step(self.target, len(old), ready, starting)
        for worker in old[: plan.retire]:
            self._pool.stopAWorker(worker)
        wanted = len(self._pool.processes) + plan.spawn
        self._pool.adjustPoolSize(wanted, wanted)
        if rollout.finished(len(old) - plan.retire, ready, self.target):
            self._reloading = None
            self.log.info("reload done: generation {generation} serves", generation=generation)
            self._fill()
            if self._reload_again:
                self.reload()

    def _abandon_reload(self) -> None:
        """The first new worker did not get ready: the old generation goes on."""
        generation, self._reloading = self._reloading, None
        self.log.error("reload is off: the code on disk does not boot; the old workers keep serving")
        for worker in [w for w in self._pool.processes if w.generation == generation]:
            self._pool.stopAWorker(worker)
        self._fill()
        if self._reload_again:
            self.reload()

    def _count(self, generation: int, state: State) -> int:
        return sum(w.generation == generation and w.state is state for w in self._pool.processes)

    def _retire(self, worker: Worker) -> None:
        self._handle(worker, Event.RETIRE)

    def _spawn(self) -> Worker:
        generation = self._generation if self._reloading is None else self._reloading
        worker = Worker(next(self._idents), self._regions.pop(), generation, None, born=self._clock.seconds())
        self._scoreboard.clear_worker(worker.region)
        self.workers[worker.ident] = worker
        try:
            worker.process = self._spawner.spawn(worker, self)
        except OSError as problem:
            # No process, no descriptor, no memory: as if it had died while it booted.
            self._regions.append(worker.region)
            text = f"a worker cannot be started: {problem.strerror}"
            self.log.error("{text}", text=text)
            # The pool files it first.
            self._clock.callLater(0, self._ended, worker, text)
            return worker
        worker.pid = worker.process.pid
        self._start_timer(worker)
        worker.process.order(
            commands.Boot,
            version=__version__, settings=to_json(self._settings), listeners=self._listeners,
            worker=worker.ident, region=worker.region, generation=generation,
            workers=self._scoreboard.workers, slots=self._scoreboard.slots,
        )  # fmt: skip
        return worker


def _least_wanted(worker: Worker) -> tuple[bool, int]:
    """The order in which workers are retired: first those that do not serve, then the oldest."""
    return worker.state is State.READY, worker.ident


def _oldest(workers: set[Worker]) -> Worker:
    """Whom to retire when there are too many."""
    return min(workers, key=_least_wanted)
