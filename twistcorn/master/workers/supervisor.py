"""The supervisor: starts, reloads and stops the workers, and handles their reports.

Law: it takes the operator's verbs and the workers' reports, and the `fleet` carries out what follows. It never ends the
master, except that a first boot in which no worker got ready is reported as fatal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ... import __version__
from ...errors import BootError
from ...logs.logger import Logger
from ...origins import Sourced
from ...policy.restarts import Intensity
from ...policy.worker import Event, Outdated, Worker, WorkerState
from ...settings import Settings, to_json
from ...wire import amp_commands
from ...wire.scoreboard import Scoreboard
from ..lag import Lag
from ..sockets.dispatcher import Dispatcher
from ..sockets.table import ConnectionTable
from .app_metrics import AppMetrics
from .chronicle import Chronicle, Ended
from .death_report import Death, describe
from .fleet import Fleet, Spawner
from .forensics import Forensics
from .freezes import Freezes
from .heartbeats import HeartbeatMonitor
from .process import ExitStatus
from .reloads import Reloads
from .scaling import Scaling
from .totals import Tally
from .tuning import Reread, Tuning

#: More deaths of serving workers than this, within these seconds, are logged as a crash loop.
MAX_DEATHS_IN_PERIOD, DEATHS_PERIOD_SECONDS = 5, 60.0
#: Methods and paths in quarantine that are sent to workers: as many as fit an AMP value (65 535 bytes).
MAX_QUARANTINED = 200


class Supervisor:
    """The workers and their target.

    :param listeners: what workers must know of each listener: (family, name, port).
    :param on_ready: called once, when the first worker is ready.
    :param on_fatal: called when no worker ever got ready.
    :ivar lag: how late the master's loop is; `chronicle`: deaths and reloads; `tally`: what workers have counted;
        `exports`: what the application in them has.
    :param reread: the settings as they are at a reload; raises TwistcornError when they are not valid.
    :param origins: where the settings come from; `resolve`: what they mean on this machine.
    :ivar tuning: the settings, as an operator sees and changes them.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        spawner: Spawner,
        dispatcher: Dispatcher,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        listeners: Sequence[Sequence[object]],
        on_ready: Callable[[], None],
        on_fatal: Callable[[BootError], None],
        reread: Callable[[], Settings | Sourced] | None = None,
        origins: Mapping[str, str] | None = None,
        resolve: Callable[[Settings], Settings] = lambda settings: settings,
    ) -> None:
        self._clock, self._dispatcher, self._scoreboard = clock, dispatcher, scoreboard
        self._listeners = json.dumps(listeners).encode()
        self._on_ready, self._on_fatal = on_ready, on_fatal
        sourced = Sourced(settings, origins or {})
        self._read = reread or (lambda: sourced)
        self.fleet = Fleet(clock, settings, spawner, dispatcher, scoreboard, self)
        self.care = HeartbeatMonitor(clock, self.fleet, dispatcher, scoreboard, Freezes(table, scoreboard))
        self.tuning = Tuning(self.fleet, sourced, resolve)
        #: Called with the settings whenever other ones count from then on.
        self.on_configured = self.tuning.on_configured
        self.scaling = Scaling(clock, self.fleet, dispatcher, scoreboard, self.tuning.set_threads)
        self.forensics = Forensics(clock, table, scoreboard)
        self.lag = Lag(clock)
        #: Called with a worker that runs, and has nothing of the application yet; with one that is dead.
        self.on_born: list[Callable[[Worker], object]] = []
        self.on_dead: list[Callable[[Worker], object]] = []
        self._deaths = Intensity(DEATHS_PERIOD_SECONDS, MAX_DEATHS_IN_PERIOD)
        self.chronicle = Chronicle()
        self.tally = Tally(scoreboard, lambda: (worker.region for worker in self.workers.values()))
        self.exports = AppMetrics(clock, scoreboard, self.workers.values)
        self._reloads = Reloads(clock, self.fleet, self.chronicle, self._reread, lambda: self.state == "stopping")
        self._serving = False
        self._stopped: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None

    @property
    def settings(self) -> Settings:
        """The settings that count."""
        return self.fleet.settings

    @property
    def state(self) -> str:
        """`starting`, `serving` or `stopping`."""
        if self._stopped is not None or self._scoreboard.stopping:
            return "stopping"
        return "serving" if self._serving else "starting"

    @property
    def started(self) -> bool:
        """Whether a worker ever got ready."""
        return self._serving

    @property
    def target(self) -> int:
        """The worker target."""
        return self.fleet.target

    @property
    def workers(self) -> dict[int, Worker]:
        """All workers, by number."""
        return self.fleet.workers

    # Verbs of the operator

    def start(self) -> None:
        """Boot one worker; the others follow when it is ready."""
        self.fleet.pool.adjustPoolSize(1, 1)

    def scale(self, difference: int) -> None:
        """Change the worker target, never below one."""
        self.fleet.scale(difference)

    def reload(self) -> Deferred[str]:
        """Read the settings again, and replace all workers by new ones that load the code on disk.

        It is remembered while it cannot begin yet, and refused when the server stops, or is about to.

        :return: fires when it is over: with nothing, or with why it did not go through.
        """
        return self._reloads.ask()

    def _reread(self) -> Reread:
        return self.tuning.reread(Sourced.of(self._read()))

    def reload_ended(self, problem: str) -> None:
        """A reload is over."""
        self._reloads.ended(problem)

    def reopen_logs(self) -> None:
        """Have every worker reopen its log files."""
        for worker in self.workers.values():
            if worker.process is not None:
                worker.process.order(amp_commands.Reopen)

    def stop(self, quick: bool) -> Deferred[None]:
        """End all workers; fires when none is left. A second, quick call hurries the first."""
        first = self._stopped is None
        stopped = self._stopped = self._stopped or Deferred()
        self.fleet.open = False
        self.fleet.pool.finished = True
        self.care.stop()
        self.scaling.stop()
        self.lag.stop()
        if quick:
            self._tell_all(Event.QUIT)
        elif first:
            self._deadline = self._clock.callLater(self.settings.graceful_timeout, self._tell_all, Event.QUIT)
            self._dispatcher.when_empty().addCallback(lambda _: self._tell_all(Event.STOP))
        self._reloads.stop()
        self._tell_stopped()
        return stopped

    def _tell_all(self, event: Event) -> None:
        for worker in list(self.workers.values()):
            self.fleet.machine.handle(worker, event)
        self._tell_stopped()

    def _tell_stopped(self) -> None:
        if self._stopped is not None and not self.workers and not self._stopped.called:
            if self._deadline is not None and self._deadline.active():
                self._deadline.cancel()
            self._stopped.callback(None)

    # Calls from the fleet (fleet.Chief)

    def committed(self) -> None:
        """The settings of a reload count now."""
        self.tuning.committed()

    def boot(self, worker: Worker, settings: Settings) -> None:
        """A process was started: order it to boot."""
        answer = worker.process.ask(
            amp_commands.Boot,
            version=__version__, settings=to_json(settings), listeners=self._listeners,
            worker=worker.ident, region=worker.region, generation=worker.generation,
            workers=self._scoreboard.workers, slots=self._scoreboard.slots,
        )  # fmt: skip
        answer.addCallbacks(lambda _: [tell(worker) for tell in self.on_born], lambda _: None)
        kept_out = self.forensics.quarantine.quarantined(self._clock.seconds())
        if kept_out:
            self._order_quarantine(worker, kept_out)

    def never_born(self, worker: Worker, reason: str) -> None:
        """A process could not be started."""
        self._ended(worker, reason)

    # Reports of the workers (process.Owner)

    def booted(self, worker: Worker, app: str, how: str) -> None:
        """A worker loaded the application."""
        self.log.info(
            "worker {ident} (pid {pid}) is ready after {age:.1f} s: {app}{how}",
            ident=worker.ident, pid=worker.pid, age=self._clock.seconds() - worker.born, app=app,
            how=f" ({how})" if how and not self._serving else "",
        )  # fmt: skip
        self.fleet.booted(worker)
        if not self._serving and self._stopped is None:
            self._serving = self.fleet.open = True
            self.care.start()
            self.scaling.start()
            self.lag.start()
            self._on_ready()
        self.fleet.fill()
        self._reloads.go_on()

    def boot_failed(self, worker: Worker, message: str) -> None:
        """A worker reported why it cannot load the application; its exit follows."""
        worker.boot_error = message
        self.fleet.machine.handle(worker, Event.BOOT_FAILED)

    def leaving(self, worker: Worker) -> None:
        """A worker got SIGTERM, and drains."""
        self.log.info("worker {ident} (pid {pid}) got SIGTERM; draining", ident=worker.ident, pid=worker.pid)
        self.fleet.machine.handle(worker, Event.LEAVING)

    def emptied(self, worker: Worker) -> Deferred[None]:
        """The server stops, and a worker holds nothing any more; fires when it may leave."""
        return self._dispatcher.when_unneeded(worker)

    def stuck(self, worker: Worker, requests: dict[int, int]) -> None:
        """A worker cannot interrupt some requests: slot and start time of each. It is replaced, and ends without them.

        Empty: all of them have ended.
        """
        worker.stuck = requests
        if not requests and worker.interrupted and worker.outdated is Outdated.STUCK:
            # It goes all the same.
            worker.outdated = Outdated.INTERRUPTED
            return
        if worker.state is not WorkerState.READY or worker.outdated is Outdated.FROZEN:
            return
        if not requests and worker.outdated is Outdated.STUCK:
            self.log.info(
                "worker {ident} (pid {pid}) finished its stuck requests; keeping it",
                ident=worker.ident, pid=worker.pid,
            )  # fmt: skip
            self.fleet.pardon(worker)
        elif requests and worker.outdated is not Outdated.STUCK:
            self.log.warn(
                "{names}: over --request-timeout and not interruptible; replacing worker {ident}",
                names=", ".join(self._scoreboard.read_slot(slot).head for slot in requests), ident=worker.ident,
            )  # fmt: skip
            self.fleet.outdate(worker, Outdated.STUCK)

    def overdue(self, worker: Worker, name: str, age: float) -> None:
        """A worker has interrupted a request, which may have left a lock of the application held for ever."""
        worker.interrupted = True
        stays = worker.state is not WorkerState.READY or worker.outdated is not None
        self.log.error(
            "{name}: {age:.1f} s, over --request-timeout {timeout:g} s; {what}", name=name, age=age,
            timeout=self.settings.request_timeout, ident=worker.ident,
            what=f"worker {worker.ident} is already being replaced" if stays
            else f"replacing worker {worker.ident}, where the interrupted call may have left a lock held",
        )  # fmt: skip
        if not stays:
            self.fleet.outdate(worker, Outdated.INTERRUPTED)

    def reported(self, worker: Worker, data: bytes) -> None:
        """A worker reported on connections."""
        self._dispatcher.handle_report(worker, data)

    def exported(self, worker: Worker, data: bytes, last: bool) -> None:
        """A leaving worker sends the metrics of its application."""
        self.exports.record(worker, data, last)

    def exited(self, worker: Worker, status: ExitStatus) -> None:
        """A process is dead and reaped."""
        worker.process.end()
        death = self.forensics.examine(worker, status)
        worker.blame = death.blame
        death = death._replace(connections=self._dispatcher.worker_died(worker))
        self.tally.fold_into_totals(worker.region)
        self.exports.fold_into_totals(worker)
        for tell in self.on_dead:
            tell(worker)
        self.fleet.regions.append(worker.region)
        level, text = describe(worker, death)
        if not self._is_fatal(worker):
            self.log.emit(level, "{text}", text=text)
        if worker.state is WorkerState.READY:
            self._warn_of_crash_loop()
        self._look_for_offenders(death)
        self.chronicle.add_end(
            Ended(time.time(), worker.ident, worker.pid, worker.generation, death.as_text(worker), text)
        )
        self._ended(worker, worker.boot_error or text)

    def _look_for_offenders(self, death: Death) -> None:
        offenders = self.forensics.attribute_death(death, self.settings.quarantine_after)
        for name, deaths in offenders.items():
            workers = f"{deaths} worker{'s' * (deaths > 1)}"
            self.log.error("{name} killed {workers} within a minute", name=name, workers=workers)
        kept_out = self.forensics.quarantine.quarantined(self._clock.seconds())
        if kept_out and offenders:
            for worker in self.workers.values():
                if worker.process is not None:
                    self._order_quarantine(worker, kept_out)
            self.log.error("quarantine: answering 503 to {names}", names=", ".join(sorted(kept_out)))

    def _order_quarantine(self, worker: Worker, kept_out: dict[str, float]) -> None:
        # The latest offenders first: a client that makes up many others must not displace them.
        latest = sorted(kept_out.items(), key=lambda each: -each[1])[:MAX_QUARANTINED]
        names = [{"name": name, "time": int(left * 1000)} for name, left in latest]
        worker.process.order(amp_commands.SetQuarantine, names=names)

    def _ended(self, worker: Worker, reason: str) -> None:
        """A worker is no more, or never came to be."""
        fatal = self._is_fatal(worker)
        self.fleet.ended(worker, reason)
        if fatal:
            self._on_fatal(BootError(reason))
        self._tell_stopped()

    def _is_fatal(self, worker: Worker) -> bool:
        """Only a first boot in which no worker got ready ends the server."""
        return not self._serving and not worker.was_ready and self._stopped is None

    def _warn_of_crash_loop(self) -> None:
        self._deaths, exceeded = self._deaths.add_death(self._clock.seconds())
        if exceeded:
            self.log.warn(
                "crash loop: more than {deaths} worker deaths within {period:g} s; still replacing each at once",
                deaths=MAX_DEATHS_IN_PERIOD, period=DEATHS_PERIOD_SECONDS,
            )  # fmt: skip
