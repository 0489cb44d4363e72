"""The service as the application of its process: signals, exit code, pid file, limits.

Law: everything that an embedded service must not touch is here, and only here. Used by `tap` and `cli`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import globalLogPublisher

from .errors import TwistcornError
from .logs.events import escaped
from .logs.server import set_level
from .master import signals
from .master.control import socket as control
from .master.control.commands import ControlCommands
from .master.control.recent import Recent
from .master.workers import orphans, reaping
from .origins import Sourced
from .pidfile import PidFile
from .service import WSGIPoolService
from .settings import Settings

if TYPE_CHECKING:
    from .master.workers.supervisor import Supervisor


class StandaloneService(WSGIPoolService):
    """A `WSGIPoolService` that owns its process.

    :param reopen: reopens the log file of the process, for SIGUSR1.
    :ivar exit_code: the exit code for the process.
    :ivar ended_by: the signal that ended it, when the reactor does not know it.
    """

    def __init__(
        self,
        app: str = "",
        *,
        reactor: Any,
        reopen: Callable[[], None] | None = None,
        reread: Callable[[], Settings | Sourced] | None = None,
        origins: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(app, reactor=reactor, on_fatal=self._end, reread=reread, origins=origins, **settings)
        self._reopen = reopen
        self._ending = False
        self._quick = False
        self._running = False
        self._pidfile = PidFile("")
        self._recent = Recent(reactor.callFromThread)
        self._orphans = orphans.Orphans(reactor)
        self.exit_code = 0
        self.ended_by = 0

    def _settle(self, settings: Settings) -> Settings:
        return settings

    def startService(self) -> None:
        """Start, with signals, pid file and limits of the process.

        :raises SystemExit: when an address is taken; the message has been printed.
        """
        if not sys.platform.startswith("linux"):
            self.log.warn("twistcorn supports Linux only")
        globalLogPublisher.addObserver(self._recent)
        _raise_descriptor_limit()
        _name_systemd_sockets()
        if not orphans.adopt_orphans():
            self.log.warn("kernel without PR_SET_CHILD_SUBREAPER: forked processes may outlive their workers")
        self._reactor.callWhenRunning(self._reactor_runs)
        super().startService()
        if self.exit_code:
            self.abandon()
            raise SystemExit(self.exit_code)
        self._write_pidfile()

    def privilegedStartService(self) -> None:
        """Bind early under twistd, with the descriptor limit that the listeners' table is made for."""
        _raise_descriptor_limit()
        _name_systemd_sockets()
        super().privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Stop as the signal that ended the reactor said."""
        self._ending = True
        stopped = self.stop(self._quick)
        stopped.addCallback(lambda _: self._orphans.when_ended())
        return stopped.addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        self.running = 0
        globalLogPublisher.removeObserver(self._recent)
        self._pidfile.remove()
        return result

    def _control_path(self) -> Callable[[], str] | None:
        """A standalone server has a control socket unless the operator turns it off."""
        return super()._control_path() or (
            None if self.settings.control else lambda: control.place(os.environ, os.geteuid())
        )

    def _clerk(self) -> ControlCommands:
        return ControlCommands(self._reactor, self._operations, self._recent, self._asked_to_stop)

    def _asked_to_stop(self, quick: bool) -> None:
        """As TERM, or INT; the exit code is that of an orderly stop, because no signal ended the process."""
        if quick or not self._ending:
            self._shut_down(lambda: False, 0, quick)

    def _start_pool(self) -> None:
        super()._start_pool()
        self._with_supervisor(self._attend)

    def _attend(self, supervisor: Supervisor) -> None:
        supervisor.on_configured.append(lambda settings: set_level(settings.log_level))
        supervisor.on_born.append(self._orphans.know)
        supervisor.on_dead.append(self._orphans.left)

    def _child_ended(self) -> None:
        reaping.reap()
        self._orphans.search()

    def _reactor_runs(self) -> None:
        self._running = True
        signals.hear_of_children(self._reactor, self._child_ended)
        signals.install(
            self._reactor,
            {
                "terminate": lambda earlier, number: self._shut_down(earlier, number, quick=False),
                "interrupt": lambda earlier, number: self._shut_down(earlier, number, quick=True),
                "reload": lambda earlier, number: self.reload(),
                "more_workers": lambda earlier, number: self.scale(+1),
                "fewer_workers": lambda earlier, number: self.scale(-1),
                "reopen_logs": lambda earlier, number: self._reopen_all(earlier),
                "upgrade": lambda earlier, number: self._not_yet("SIGUSR2 (binary upgrade)"),
                "retire_all": lambda earlier, number: self._not_yet("SIGWINCH (retire all workers)"),
            },
        )

    def _shut_down(self, earlier: Callable[[], bool], number: int, quick: bool) -> None:
        if self._ending:
            if not quick and self.skip_drain_delay():
                self.log.info("second stop signal: drain delay skipped")
                return
            self.log.info("second stop signal: stopping at once")
            self.stop(quick=True)
            return
        self._ending = True
        self._quick = quick
        self.announce_stop()
        why = f" ({signal.Signals(number).name})" if number else ""
        self.log.info("stopping {how}{why}", how="at once" if quick else "gracefully", why=why)
        if not earlier():
            self.ended_by = number
            self._stop_reactor()

    def _reopen_all(self, earlier: Callable[[], bool]) -> None:
        earlier()
        if self._reopen is not None:
            self._reopen()
        self.reopen_logs()

    def _not_yet(self, what: str) -> None:
        self.log.warn("{what} is not supported; ignored", what=what)

    def _end(self, error: TwistcornError) -> None:
        """The service can never serve: print why and end the process."""
        self.exit_code = error.exit_code
        # In one piece: the log's thread writes to the same stream.
        sys.stderr.write(f"twistcorn: {escaped(str(error))}\n")
        sys.stderr.flush()
        if self._running:
            self._ending = self._quick = True
            self._stop_reactor()

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):
            self._reactor.stop()

    def _write_pidfile(self) -> None:
        if not self.settings.pidfile:
            return
        self._pidfile = PidFile(self.settings.pidfile)
        try:
            self._pidfile.write()
        except OSError as problem:
            self.log.warn(
                "cannot write pid file {path}: {why}", path=self.settings.pidfile, why=problem.strerror
            )


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard one: the master keeps every connection."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _name_systemd_sockets() -> None:
    """Give passed sockets names: without LISTEN_FDNAMES Twisted finds none at all (sd_listen_fds(3))."""
    passed = os.environ.get("LISTEN_FDS", "")
    if passed.isdigit() and os.environ.get("LISTEN_PID") == str(os.getpid()):
        os.environ.setdefault("LISTEN_FDNAMES", ":".join("unknown" for _ in range(int(passed))))
