"""The service: a pool of workers behind listeners, as an `IService` that any Twisted application can hold.

Law: assembles the master in start order and takes it apart in reverse. Embedded (the default) it touches no signal,
working directory, standard stream, resource limit or log observer; `Application` in `tap` adds those.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    succeed,
)
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from . import __version__
from .errors import TwistcornError
from .interpreter import require_lock
from .logs.logger import Logger
from .origins import CODE, Sourced
from .settings import Settings, from_values
from .timers import closed, steady
from .wire.control import OFF

if TYPE_CHECKING:
    from .master.admin.endpoint import Admin
    from .master.assembly import Assembly
    from .master.control.commands import ControlCommands
    from .master.control.operations import Operations
    from .master.control.socket import Control
    from .master.sockets.listener import Listener
    from .master.workers.supervisor import Supervisor

class WSGIPoolService(Service):
    """A WSGI application served by a pool of worker processes.

    :param app: as `--app`: `module:name`, or empty to look for it.
    :param reactor: the reactor that the application runs; the service has its own timers in it, on a clock that is not
        set back.
    :param on_fatal: called with the error when the service can never serve: an address that is taken, an
        application that cannot be loaded. Without it the error is logged.
    :param reread: the settings as they are at a reload; raises `errors.SettingsError` when they are not valid, and then
        nothing changes. Without it they stay as they are.
    :param origins: where the settings come from, as shown to an operator (`origins.Sourced`); by default, from code.
    :param settings: options by field name of `settings.Settings`, as values or as texts:
        `WSGIPoolService("app:app", reactor=reactor, listen=["tcp:8000"], workers=4)`.
    """

    log = Logger()

    def __init__(
        self,
        app: str = "",
        *,
        reactor: Any,
        on_fatal: Callable[[TwistcornError], None] | None = None,
        reread: Callable[[], Settings | Sourced] | None = None,
        origins: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        require_lock()
        self.settings: Settings = self._settle(from_values(app=app, **settings))
        given = ("app", *settings) if app else settings
        self._origins = dict.fromkeys(given, CODE) if origins is None else origins
        self._reactor = steady(reactor)
        self._on_fatal = on_fatal
        self._reread = None if reread is None else lambda: self._settled(Sourced.of(reread()))
        self._bound: Deferred[Any] | None = None
        self._listeners: list[Listener] = []
        self._places: list[Listener | Admin] = []
        self._assembled: Assembly | None = None
        self._control: Control | None = None
        self._waiting_for_ready: list[Deferred[None]] = []
        self._outcome: TwistcornError | None = None
        self._ready = False
        self._told_stopped: list[Deferred[None]] = []
        self._drain_delay: Deferred[None] | None = None

    # IService

    def privilegedStartService(self) -> None:
        """Bind the listeners, while the process may still have the right to."""
        super().privilegedStartService()
        self._bind()

    def startService(self) -> None:
        """Bind the listeners unless that is done, and boot the first worker as soon as the reactor runs."""
        super().startService()
        bound = self._bind()
        bound.addCallback(lambda _: self._reactor.callWhenRunning(self._start_pool))
        bound.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop gracefully: what was accepted is answered, within the graceful time-out."""
        super().stopService()
        return self.stop(quick=False)

    # Verbs

    def when_ready(self) -> Deferred[None]:
        """Fires when the first worker is ready and connections are accepted; fails when the service can never serve."""
        ready: Deferred[None] = Deferred()
        self._waiting_for_ready.append(ready)
        self._tell_ready()
        return ready

    @property
    def addresses(self) -> list[str]:
        """Where it listens, once bound: `http://127.0.0.1:8000`, `unix:/path`; shows the port chosen for `tcp:0`."""
        return [listener.shown for listener in self._listeners]

    def reload(self) -> Deferred[str]:
        """Read the settings again, and replace all workers by new ones, which load the code on disk.

        :return: fires when that is over: with nothing, or with why it did not go through; the old workers serve then.
        """
        if self._assembled is None or self._assembled.supervisor is None:
            return succeed("the server is not running")
        return self._assembled.supervisor.reload()

    def scale(self, difference: int) -> None:
        """Change the worker target."""
        self._with_supervisor(lambda supervisor: supervisor.scale(difference))

    def reopen_logs(self) -> None:
        """Have master and workers reopen their log files."""
        if self._assembled is not None:
            self._assembled.reopen_logs()

    def stop(self, quick: bool) -> Deferred[None]:
        """Stop, gracefully or now; a quick call hurries a graceful one that is under way."""
        stopped: Deferred[None] = Deferred()
        self._told_stopped.append(stopped)
        if len(self._told_stopped) == 1:
            self._stop(quick).addBoth(self._tell_stopped)
        elif quick:
            self.skip_drain_delay()
            self._with_supervisor(lambda supervisor: supervisor.stop(quick=True))
        return stopped

    def announce_stop(self) -> None:
        """Responses that begin from now on end their connections; `stop` follows."""
        if self._assembled is not None:
            self._assembled.scoreboard.announce_stop()

    def skip_drain_delay(self) -> bool:
        """Let a stop that waits for load balancers go on; returns whether one did."""
        waits = self._drain_delay is not None and not self._drain_delay.called
        if self._drain_delay is not None:
            self._drain_delay.cancel()
        return waits

    def abandon(self) -> None:
        """The process ends before the reactor runs: leave no file of a socket behind."""
        for place in self._places:
            place.abandon()

    # Internals

    def _settle(self, settings: Settings) -> Settings:
        """The embedding application owns the streams and the log of the process, in the workers as well."""
        return replace(settings, app_output="plain", log_format="text")

    def _settled(self, read: Sourced) -> Sourced:
        return Sourced(self._settle(read.settings), read.origins)

    def _with_supervisor(self, verb: Callable[[Supervisor], object]) -> None:
        """Before the pool has started there is nothing to reload, scale or hurry."""
        if self._assembled is not None and self._assembled.supervisor is not None:
            verb(self._assembled.supervisor)

    def _bind(self) -> Deferred[Any]:
        if self._bound is None:
            self._assemble()
            bound = [place.bind(self.settings.backlog) for place in self._places]
            self._bound = gatherResults(bound, consumeErrors=True)
            self._bound.addErrback(_first_failure)
        return self._bound

    def _assemble(self) -> None:
        # Imported late: ampoule installs a reactor, and the embedding program may choose its own first.
        from .master.assembly import Assembly

        self._assembled = Assembly(self._reactor, self.settings, self._origins)
        self.settings = self._assembled.settings
        self._listeners = self._assembled.listeners
        self._places = self._assembled.places

    def _introduce(self) -> None:
        """Log what begins here; the addresses are bound, so that one that is taken is the only line."""
        settings, python = self.settings, platform.python_version()
        self.log.info(
            "twistcorn {version}, Python {python}, pid {pid}", version=__version__, python=python, pid=os.getpid()
        )
        self.log.info(
            "{app}: {workers} x {threads}", app=f"app {settings.app}" if settings.app else f"app in {settings.chdir}",
            workers=_counted(settings.workers, "worker"), threads=_counted(settings.threads, "thread"),
        )  # fmt: skip

    def _start_pool(self) -> None:
        if not self._told_stopped and self._assembled is not None:
            self._introduce()
            self._control = self._open_control()
            self._assembled.start(self._became_ready, self._fatal, self._reread)

    def _open_control(self) -> Control | None:
        """The control socket; a service in another program has one only where the operator names it."""
        from .master.control.socket import open_control

        path = self._control_path()
        return open_control(self._reactor, path, self._clerk()) if path is not None else None

    def _control_path(self) -> Callable[[], str] | None:
        path = self.settings.control
        return (lambda: path) if path not in ("", OFF) else None

    def _clerk(self) -> ControlCommands:
        """The object that carries out the commands of the control socket."""
        from .master.control.commands import ControlCommands

        return ControlCommands(self._reactor, self._operations)

    def _operations(self) -> Operations | None:
        return self._assembled.operations if self._assembled is not None else None

    def _became_ready(self) -> None:
        self._ready = True
        for listener in self._listeners:
            listener.accept()
            self.log.info("serving on {listener}", listener=listener.shown)
        self._tell_ready()

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, TwistcornError):
            self._fatal(failure.value)
            for place in self._places:
                place.close()
        else:
            self.log.failure("cannot start", failure=failure)
            self._fatal(TwistcornError(f"cannot start: {failure.getErrorMessage()}"))

    def _fatal(self, error: TwistcornError) -> None:
        self._outcome = error
        self._tell_ready()
        if self._on_fatal is not None:
            self._on_fatal(error)
        else:
            self.log.critical("{error}", error=str(error))

    def _tell_ready(self) -> None:
        if not self._ready and self._outcome is None:
            return
        waiting, self._waiting_for_ready = self._waiting_for_ready, []
        for deferred in waiting:
            if self._outcome is not None:
                deferred.errback(self._outcome)
            else:
                deferred.callback(None)

    def _tell_stopped(self, result: Any) -> None:
        """All parts are down; the service may be started again."""
        if self._control is not None:
            self._control.close()
        self._bound = self._assembled = self._outcome = self._control = self._drain_delay = None
        self._ready = False
        told, self._told_stopped = self._told_stopped, []
        for deferred in told:
            deferred.callback(result)

    @inlineCallbacks
    def _stop(self, quick: bool) -> Any:
        if self._assembled is None:
            return
        self.announce_stop()
        if self._ready and not quick:
            yield self._delay()
            for listener in self._listeners:
                listener.drain_backlog()
        yield DeferredList([maybeDeferred(listener.close) for listener in self._listeners])
        yield self._assembled.stop(quick)
        yield closed(self._reactor)

    def _delay(self) -> Deferred[None]:
        """The drain delay: load balancers learn that this server is not ready, while it still answers all requests."""
        supervisor = self._assembled.supervisor if self._assembled is not None else None
        delay = supervisor.settings.drain_delay if supervisor is not None else 0.0
        if not delay:
            return succeed(None)
        self.log.info("reporting not ready; stopping in {delay:g} s (--drain-delay)", delay=delay)
        self._drain_delay = deferLater(self._reactor, delay)
        return self._drain_delay.addErrback(_trap_cancel)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _trap_cancel(failure: Failure) -> None:
    failure.trap(CancelledError)


def _first_failure(failure: Failure) -> Any:
    """Which listener could not be bound."""
    failure.trap(FirstError)
    first: Any = failure.value
    return first.subFailure
