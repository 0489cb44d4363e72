"""The parts of the master, put together: scoreboard, table, dispatcher, listeners, supervisor.

Law: builds and takes apart; of the settings it resolves what depends on the machine: the number of workers, of
connections, and the directory of the application.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ..errors import BootError
from ..pool.sizing import auto_workers
from ..settings import Settings
from ..syntax import MAX_WORKERS
from ..wire.scoreboard import REGIONS, Scoreboard
from .connections import ConnectionTable
from .dispatcher import Dispatcher
from .insight import Insight
from .listener import Listener
from .operations import Operations
from .process import WorkerStarter
from .supervisor import Supervisor

#: Most connections when the operator did not say: a slot costs 256 bytes once it was used.
DEFAULT_CONNECTIONS = 65536
#: Descriptors that the master needs besides connections: logs, listeners, and some for each worker.
RESERVED_DESCRIPTORS = 128
DESCRIPTORS_OF_A_WORKER = 6


class Assembly:
    """One master.

    :ivar settings: with everything resolved.
    :ivar listeners: in the order of the settings, not bound yet.
    :ivar supervisor: there after `start`; so are `operations`, what an operator can ask of it.
    """

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self.settings = settings = self._resolve(settings)
        self.scoreboard = Scoreboard.create(REGIONS, _slots(settings))
        self.table = ConnectionTable(self.scoreboard)
        self.dispatcher = Dispatcher(reactor, self.table, self.scoreboard, self._room, settings)
        self.listeners = [
            Listener(reactor, description, index, self.table, self.dispatcher.arrived)
            for index, description in enumerate(settings.listen)
        ]
        self.supervisor: Supervisor | None = None
        self.operations: Operations | None = None

    def _resolve(self, settings: Settings) -> Settings:
        if settings.workers == 0:
            wanted, reason = auto_workers(len(os.sched_getaffinity(0)), _read)
            settings = replace(settings, workers=min(wanted, MAX_WORKERS))
            self.log.info("--workers auto: {reason}", reason=reason)
        access = settings.access_log
        if access not in ("", "-"):
            # A worker is in the application's directory, and names are the operator's.
            access = os.path.abspath(access)
        return replace(settings, chdir=_directory(settings.chdir), access_log=access)

    def _room(self) -> None:
        for listener in self.listeners:
            listener.room()

    def start(
        self,
        on_ready: Callable[[], None],
        on_fatal: Callable[[BootError], None],
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        """Boot the first worker; the listeners are bound.

        :param reread: the settings as they are at a reload; None: they never change.
        """
        again = None if reread is None else lambda: self._resolve(reread())
        self.supervisor = Supervisor(
            self._reactor, self.settings, WorkerStarter(self._reactor, self.scoreboard.fd), self.dispatcher,
            self.table, self.scoreboard, [listener.address for listener in self.listeners], on_ready, on_fatal, again,
        )  # fmt: skip
        insight = Insight(
            self.supervisor, self.dispatcher, self.table, self.scoreboard,
            lambda: [listener.shown for listener in self.listeners], self._reactor.seconds,
        )  # fmt: skip
        self.operations = Operations(self.supervisor, insight)
        self.supervisor.start()

    def stop(self, quick: bool) -> Deferred[None]:
        """End the workers, then what is left of the connections."""
        if self.supervisor is None:
            self._end()
            return succeed(None)
        return self.supervisor.stop(quick).addCallback(lambda _: self._end())

    def _end(self) -> None:
        self.dispatcher.close_all()
        self.scoreboard.close()


def _slots(settings: Settings) -> int:
    """How many connections there can be."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if room == resource.RLIM_INFINITY:
        room = 1 << 20
    room = max(16, room - RESERVED_DESCRIPTORS - DESCRIPTORS_OF_A_WORKER * settings.workers)
    return min(room, settings.max_connections or DEFAULT_CONNECTIONS)


def _directory(chdir: str) -> str:
    """The directory of the application as the operator names it, symbolic links and all.

    A deployment that points `current` elsewhere takes effect at the next spawn. The shell keeps that name in PWD;
    the kernel knows only the directory behind it.
    """
    here = os.environ.get("PWD", "")
    try:
        same = os.path.samefile(here, ".")
    except OSError:
        same = False
    return os.path.normpath(os.path.join(here if same else os.getcwd(), chdir))


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None
