"""The parts of the master, put together: scoreboard, table, dispatcher, listeners, supervisor.

Law: builds and takes apart; of the settings it resolves what depends on the machine: the number of workers, of
connections, and the directory of the application.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool

from ..errors import BootError
from ..logs.logger import Logger
from ..origins import Sourced
from ..policy.abilities import judge
from ..policy.cores import auto_workers
from ..settings import Settings
from ..syntax import MAX_WORKERS
from ..wire.scoreboard import REGIONS, Scoreboard
from . import procfs, selftest
from .control.operations import Operations
from .metrics.history import History
from .metrics.insight import Insight
from .metrics.measures import Measures
from .metrics.page import Metrics
from .metrics.statsd_sender import StatsD
from .sockets.answer_log import AnswerLog
from .sockets.dispatcher import Dispatcher
from .sockets.listener import Listener
from .sockets.table import ConnectionTable
from .workers.directories import StartDirectory
from .workers.process import WorkerStarter
from .workers.supervisor import Supervisor

if TYPE_CHECKING:
    from .admin.endpoint import Admin

#: Most connections when the operator did not say: a slot costs 256 bytes once it was used.
DEFAULT_CONNECTIONS = 65536
#: Descriptors that the master needs besides connections: logs, listeners, 64 clients of the control socket; some for
#: each worker; and with an admin endpoint, those of its visitors (`http_server`, which is not loaded without it).
RESERVED_DESCRIPTORS = 192
DESCRIPTORS_OF_A_WORKER = 6
DESCRIPTORS_OF_ADMIN = 128


class Assembly:
    """One master.

    :ivar settings: with everything resolved.
    :ivar listeners: in the order of the settings, not bound yet.
    :ivar admin: the admin endpoint, not bound yet; None when there is to be none.
    :ivar supervisor: there after `start`; so are `operations`, what an operator can ask of it, and `metrics`.
    """

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings, origins: Mapping[str, str] | None = None) -> None:
        self._reactor = reactor
        self._origins = origins
        self._directory = StartDirectory()
        self.settings = settings = self._resolve(settings)
        self.scoreboard = Scoreboard.create(REGIONS, _slots(settings))
        self.table = ConnectionTable(self.scoreboard)
        self.dispatcher = Dispatcher(reactor, self.table, self.scoreboard, self._room, settings)
        self.listeners = [
            Listener(reactor, description, index, self.table, self.dispatcher.connection_arrived)
            for index, description in enumerate(settings.listen)
        ]
        self.admin = self._admin() if settings.admin else None
        self.supervisor: Supervisor | None = None
        self.operations: Operations | None = None
        self.metrics: Metrics | None = None
        self._statsd: StatsD | None = None
        self._history: History | None = None
        self._access = AnswerLog(reactor, self.scoreboard, self._log_answers)
        self._gaps: list[Callable[[float], object]] = []

    @property
    def places(self) -> list[Listener | Admin]:
        """Everything that is to be bound."""
        return [*self.listeners, *([self.admin] if self.admin is not None else [])]

    def _admin(self) -> Admin:
        # Imported here: Twisted's web server costs memory, to be paid only with an admin endpoint.
        from .admin.endpoint import Admin

        return Admin(self._reactor, self.settings, self.scoreboard, self.dispatcher)

    def _resolve(self, settings: Settings) -> Settings:
        if settings.workers == 0:
            wanted, reason = auto_workers(len(os.sched_getaffinity(0)), procfs.read)
            settings = replace(settings, workers=min(wanted, MAX_WORKERS))
            self.log.info("--workers auto: {reason}", reason=reason)
        access = settings.access_log
        if access not in ("", "-"):
            # A worker is in the application's directory, and names are the operator's.
            access = self._directory.find(access)
        return replace(settings, chdir=self._directory.find(settings.chdir), access_log=access)

    def _read_again(self, reread: Callable[[], Settings | Sourced]) -> Sourced:
        read = Sourced.of(reread())
        return replace(read, settings=self._resolve(read.settings))

    def _room(self) -> None:
        for listener in self.listeners:
            listener.room()

    def start(
        self,
        on_ready: Callable[[], None],
        on_fatal: Callable[[BootError], None],
        reread: Callable[[], Settings | Sourced] | None = None,
    ) -> None:
        """Boot the first worker; the listeners are bound.

        :param reread: the settings as they are at a reload; None: they never change.
        """
        judgement = judge(selftest.missing())
        if judgement.refusal:
            on_fatal(BootError(judgement.refusal))
            return
        if judgement.warning:
            self.log.warn("{warning}", warning=judgement.warning)
        self.dispatcher.recovery.counts = judgement.counts
        again = None if reread is None else lambda: self._read_again(reread)
        self.supervisor = Supervisor(
            self._reactor, self.settings, WorkerStarter(self._reactor, self.scoreboard.fd), self.dispatcher,
            self.table, self.scoreboard, [listener.address for listener in self.listeners], on_ready, on_fatal, again,
            self._origins, self._resolve,
        )  # fmt: skip
        insight = Insight(
            self.supervisor, self.dispatcher, self.table, self.scoreboard,
            # A server that stops has closed them already.
            lambda: [each.shown for each in self.listeners if each.fileno() >= 0], self._reactor.seconds,
        )  # fmt: skip
        self._history = insight.history
        self._history.start(self._reactor)
        self._gaps = getattr(self._reactor, "on_gap", [])
        self._gaps.append(self._missed)
        self.operations = Operations(self.supervisor, insight)
        measures = Measures(self.supervisor, self.dispatcher, self.table, self.scoreboard)
        self.metrics = Metrics(measures, self.supervisor.exports, self.supervisor.tally)
        self._access.configure(self.settings)
        self.supervisor.on_configured.append(self._access.configure)
        if self.admin is not None:
            self.admin.start(self.supervisor, self.operations, self.metrics)
        if self.settings.statsd:
            self._statsd = StatsD(self._reactor, self.settings.statsd, self.supervisor.tally, self._burden)
            self._statsd.start()
        self.supervisor.start()

    def _log_answers(self, log: AnswerLog | None) -> None:
        self.dispatcher.answers.log = log

    def reopen_logs(self) -> None:
        """Have all processes go on in new log files."""
        self._access.reopen()
        if self.supervisor is not None:
            self.supervisor.reopen_logs()

    def _missed(self, gap: float) -> None:
        """The process was suspended: neither clients nor workers are late because of that."""
        self.log.warn("the master was suspended for {gap:.1f} s; its time-outs are extended by as much", gap=gap)
        self.dispatcher.put_off(gap)

    def _burden(self) -> tuple[int, int]:
        """Workers that serve; connections and requests that no worker has."""
        return len(self.dispatcher.workers), self.dispatcher.waiting

    def stop(self, quick: bool) -> Deferred[None]:
        """End the workers, then the admin endpoint, then what is left of the connections."""
        stopped = self.supervisor.stop(quick) if self.supervisor is not None else succeed(None)
        if (admin := self.admin) is not None:
            stopped.addCallback(lambda _: admin.close())
        return stopped.addCallback(lambda _: self._end())

    def _end(self) -> Deferred[None]:
        if self._missed in self._gaps:
            self._gaps.remove(self._missed)
        if self._history is not None:
            self._history.stop()
        if self._statsd is not None:
            self._statsd.stop()
        self.dispatcher.close_all()
        log = self._access.end()
        self.scoreboard.close()
        if log is None:
            return succeed(None)
        # In a thread: a log reader may block, and the reactor may be an embedding program's.
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), log.close)


def _slots(settings: Settings) -> int:
    """How many connections there can be."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if room == resource.RLIM_INFINITY:
        room = 1 << 20
    workers = settings.workers_bounds.most if settings.workers_bounds is not None else settings.workers
    reserved = RESERVED_DESCRIPTORS + (DESCRIPTORS_OF_ADMIN if settings.admin else 0)
    room = max(16, room - reserved - DESCRIPTORS_OF_A_WORKER * workers)
    return min(room, settings.max_connections or DEFAULT_CONNECTIONS)
