"""The worker as the master's AMP child: takes orders, sends reports.

Law: translates AMP to the methods of `lifecycle`, nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ampoule.child import AMPChild
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from .. import __version__
from ..errors import AppLoadError
from ..pristine import os, signal, socket
from ..settings import from_json
from ..wire import amp_commands
from ..wire.scoreboard import Scoreboard
from . import output
from .exports import Exports
from .lifecycle import Lifecycle
from .loop.addresses import Address
from .process import failing, forks
from .process.descriptors import CHANNEL, SCOREBOARD, inherited
from .process.stacks import format_places
from .wsgi.quarantined import QuarantinedRequests

#: Seconds for which a leaving worker may wait to send its application's metrics.
FAREWELL_SECONDS = 1.0
#: Seconds after a SIGTERM in which the master, if it got one too, announces that the server stops.
STOP_NOTICE_SECONDS = 0.25


class WorkerChild(amp_commands.QuietAMP, AMPChild):  # type: ignore[misc]
    """The child's end of ampoule's AMP.

    :param on_loaded: called when the application is loaded.
    :param on_stuck: ends the process while its main thread is stuck in the application; takes whether to be quick.
    :ivar quick: whether the master ordered an immediate exit.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, on_loaded: Callable[[], object] = lambda: None,
        on_stuck: Callable[[bool], object] = lambda quick: os._exit(0),
    ) -> None:
        AMPChild.__init__(self)
        self._on_stuck = on_stuck
        self._on_loaded = on_loaded
        self.quick = False
        self._reactor = reactor
        self._inherited = inherited()
        failing.prepare()
        self._lifecycle: Lifecycle | None = None
        self._leaving = self._asked_to_leave = False
        #: Fires when the master knows that this worker leaves by itself.
        self._heard: Deferred[Any] = succeed(None)
        self._quarantine = QuarantinedRequests()
        self._exports = Exports(reactor)
        self._newest: bytes | None = None

    @amp_commands.Boot.responder
    def boot(self, version: str | None = None, **order: Any) -> dict[str, object]:
        """Order: load the application, then report the outcome."""
        if version == __version__:
            # Send the answer first, in the round between: it tells the master that no application code has run yet, and
            # loading may take a minute.
            self._reactor.callLater(0, self._reactor.callLater, 0, partial(self._begin, **order))
        else:
            # Upgraded under a running server: the master's orders may mean something else here.
            self._tell_failure(
                f"the server runs twistcorn {version}, but its workers find {__version__} installed: restart the server"
            )
        return {}

    def _begin(self, **order: Any) -> None:
        try:
            self._load(**order)
        except BaseException as problem:
            # Otherwise the reactor logs it and continues, and the master waits until --boot-timeout.
            failing.fail(f"cannot start serving: {type(problem).__name__}: {problem}", Failure())

    def _load(
        self, settings: bytes, listeners: bytes, worker: int, region: int, generation: int, workers: int, slots: int
    ) -> None:
        board = Scoreboard(SCOREBOARD, workers, slots)
        addresses = [Address(*entry) for entry in json.loads(listeners)]
        wanted = from_json(self._newest or settings)
        output.begin(wanted, worker)
        life = self._lifecycle = Lifecycle(
            self._reactor, board, region, wanted, self.leave, self._say_farewell, self._ask_to_leave, self._tell_stuck,
            self._tell_overdue,
        )
        life.on_stuck = lambda: self._on_stuck(self.quick)
        forks.begin(board.data)
        try:
            loaded = life.load()
        except AppLoadError as error:
            forks.leave_if_forked(error)
            self._tell_failure(str(error))
            return
        forks.leave_if_forked()
        if wrong := self._inherited.check():
            failing.fail(wrong)
        self._on_loaded()
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        channel = socket.socket(socket.AF_UNIX, kind, 0, fileno=CHANNEL)
        life.serve(loaded.application, channel, addresses, worker, generation, self._quarantine, self._inherited)
        self.callRemote(amp_commands.Ready, app=loaded.target, how=loaded.how).addErrback(_ignore)

    def _tell_stuck(self, requests: dict[int, int]) -> Deferred[Any]:
        told = [{"slot": slot, "since": since} for slot, since in requests.items()]
        heard: Deferred[Any] = self.callRemote(amp_commands.Stuck, requests=told)
        return heard.addErrback(_ignore)

    def _tell_overdue(self, name: str, age: float) -> None:
        self.callRemote(amp_commands.Overdue, name=amp_commands.cut(name), age=int(age * 1000)).addErrback(_ignore)

    def _tell_failure(self, message: str) -> None:
        told = self.callRemote(amp_commands.BootFailed, message=amp_commands.cut(message))
        told.addErrback(_ignore).addCallback(lambda _: self.leave())

    @amp_commands.Drain.responder
    def drain(self) -> dict[str, object]:
        """Order: hand back all connections and leave."""
        self._with_life(lambda life: life.drain())
        return {}

    @amp_commands.Stop.responder
    def stop(self, quick: bool) -> dict[str, object]:
        """Order: finish and leave, or leave now."""
        self.quick = self.quick or quick
        self._with_life(lambda life: life.stop(quick))
        return {}

    @amp_commands.Configure.responder
    def configure(self, settings: bytes) -> dict[str, object]:
        """Order: apply new settings; may come before the application is loaded."""
        self._newest = settings
        if self._lifecycle is not None:
            self._lifecycle.configure(from_json(settings))
        return {}

    @amp_commands.Reopen.responder
    def reopen(self) -> dict[str, object]:
        """Order: reopen log files."""
        if self._lifecycle is not None:
            self._lifecycle.reopen_logs()
        return {}

    @amp_commands.Release.responder
    def release(self, count: int) -> dict[str, object]:
        """Order: hand some connections back."""
        self._with_life(lambda life: life.release(count))
        return {}

    @amp_commands.SetQuarantine.responder
    def quarantine(self, names: list[dict[str, Any]]) -> dict[str, object]:
        """Order: answer these requests with 503, for a while."""
        self._quarantine.set({each["name"]: each["time"] / 1000 for each in names})
        return {}

    @amp_commands.Export.responder
    def export(self, offset: int) -> Deferred[dict[str, object]]:
        """Order: send the application's metrics."""
        return self._exports.piece(offset)

    def _say_farewell(self) -> None:
        """All connections are handed back: send the application's metrics, and leave."""
        # The master would take an exit that was not announced for a crash.
        told = self._heard.addCallback(lambda _: self._exports.whole()).addCallback(self._tell_exported)
        told.addTimeout(FAREWELL_SECONDS, self._reactor)
        told.addErrback(_ignore).addCallback(lambda _: self._leave_unless_stopped())

    def _leave_unless_stopped(self) -> None:
        """Leave, unless the server has begun to stop meanwhile: then the master decides when."""
        assert self._lifecycle is not None
        if not self._lifecycle.waits_for_word:
            self.leave()

    def _ask_to_leave(self) -> None:
        """Report that this worker holds nothing; leave when the master agrees."""
        if not self._asked_to_leave:
            self._asked_to_leave = True
            self.callRemote(amp_commands.Emptied).addCallbacks(lambda _: self.leave(), _ignore)

    def _tell_exported(self, data: bytes) -> Any:
        pieces = [data[start : start + amp_commands.MAX_TEXT] for start in range(0, len(data), amp_commands.MAX_TEXT)]
        last = len(pieces) - 1
        return gatherResults(
            [self.callRemote(amp_commands.Exported, data=piece, last=n == last) for n, piece in enumerate(pieces)],
            consumeErrors=True,
        )

    @amp_commands.Stack.responder
    def stack(self) -> dict[str, object]:
        """Order: send the stacks of all threads."""
        return {"text": amp_commands.cut(format_places())}

    def _with_life(self, verb: Any) -> None:
        if self._lifecycle is None:
            self.leave()
        else:
            verb(self._lifecycle)

    def terminated(self) -> None:
        """SIGTERM: if the master got one too, as from a service manager, it decides what happens."""
        if self._lifecycle is None:
            self.leave()
        else:
            self._reactor.callLater(STOP_NOTICE_SECONDS, self._terminated_alone, self._lifecycle)

    def _terminated_alone(self, life: Lifecycle) -> None:
        """Report to the master, which sends no more connections, and drain, unless the master stops after all."""
        if not life.stopping:
            self._heard = self.callRemote(amp_commands.Leaving).addErrback(_ignore)
            self._heard.addCallback(lambda _: self._reactor.callLater(STOP_NOTICE_SECONDS, self._drain_alone, life))

    def _drain_alone(self, life: Lifecycle) -> None:
        if not life.stopping:
            life.drain()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master is gone: unlike ampoule's child, finish the running requests first."""
        amp_commands.QuietAMP.connectionLost(self, reason)
        if not self._leaving:
            self._with_life(lambda life: life.master_gone())

    def leave(self) -> None:
        """End the process in order; app threads are daemons."""
        if not self._leaving:
            self._leaving = True
            try:
                self._reactor.stop()
            except ReactorNotRunning:
                os.kill(os.getpid(), signal.SIGKILL)


def _ignore(failure: Failure) -> None:
    """Drop the error: the master is gone, and `connectionLost` handles that."""
