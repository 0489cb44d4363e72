"""The worker's half of every verb: boot, serve, drain, stop, leave.

Law: a worker never decides its own fate: the master orders, TERM from outside asks the master, and the end of the
master's AMP is the order to finish and go. It leaves when it has no connection left.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..errors import AppLoadError
from ..logs.server import flush, set_level
from ..settings import Settings
from ..wire.scoreboard import W_GENERATION, W_HEARTBEAT, W_PID, Scoreboard
from . import application
from .accesslog import AccessLog
from .channel import Service
from .connection import Connection
from .deadlines import Deadlines
from .environ import Address
from .lends import LendChannel
from .poller import Poller
from .quarantine import Quarantine
from .seats import Seat
from .slow import SlowRequests
from .turns import Turns
from .waiting import Waiting

#: Between two heartbeats.
HEARTBEAT = 1.0
#: At least so many within the time after which a worker without any counts as dead.
BEATS = 4


class Lifecycle:
    """One worker's life.

    :param leave: ends the process in an orderly way.
    :param tell_stuck: tells the master which requests cannot be ended: slot, and since when each runs.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        leave: Callable[[], None],
        tell_stuck: Callable[[dict[int, int]], None],
    ) -> None:
        self._reactor = reactor
        self._board = board
        self._region = board.worker_base(region)
        self._settings = settings
        self._leave = leave
        self._tell_stuck = tell_stuck
        self._poller: Poller | None = None
        self._channel: LendChannel | None = None
        self._heart = LoopingCall(self._beat)
        self._heart.clock = reactor
        self._access: AccessLog | None = None
        self._slow: SlowRequests | None = None

    def load(self) -> application.Loaded:
        """Load the application, in its own directory.

        :raises AppLoadError: with a message for the operator.
        """
        directory = self._settings.chdir
        try:
            os.chdir(directory)
        except OSError as problem:
            raise AppLoadError(f"--chdir {directory}: {problem.strerror}") from None
        return application.load(self._settings.app, directory, self._settings.pythonpath)

    def serve(
        self,
        app: Any,
        channel: Any,
        listeners: list[Address],
        worker: int,
        generation: int,
        quarantine: Quarantine,
    ) -> None:
        """Take connections from now on."""
        settings, board = self._settings, self._board
        service = Service(self._reactor, app, settings, listeners, worker, board, quarantine)
        turns = Turns(self._reactor, settings.threads, settings.turns, board, self._region, service)
        lends = LendChannel(self._reactor, channel, lambda descriptor, lend: poller.adopt(descriptor, lend))
        poller = Poller(
            self._reactor, board, self._region, settings, listeners, turns.take, lends.report, self._empty
        )
        waiting = Waiting(self._reactor, board, self._region, settings, poller.give_back, lambda: poller.draining)
        service.attach(poller, waiting, turns.answered, lends.credit)
        self._poller, self._channel = poller, lends
        board.words[self._region + W_GENERATION] = generation
        board.words[self._region + W_PID] = os.getpid()
        # What the application built while it was imported lives as long as the worker: no collection looks at it again.
        gc.collect()
        gc.freeze()
        poller.add_source(self._reactor.own_descriptor(), self._reactor.own_events)
        poller.start()
        lends.startReading()
        self._reactor.enlist(partial(_poll, poller, turns, lends, service), turns.join)
        Deadlines(self._reactor, settings.request_timeout, lambda: list(turns.seats), self._give_up).start()
        self._begin_logs(service, poller, turns, worker)
        self._heart.start(min(HEARTBEAT, settings.heartbeat_timeout / BEATS or HEARTBEAT))

    def _begin_logs(self, service: Service, poller: Poller, turns: Turns, worker: int) -> None:
        def attach(log: AccessLog | None) -> None:
            service.access = poller.access = log

        self._access = AccessLog(self._reactor, worker, attach)
        self._slow = SlowRequests(self._reactor, lambda: list(turns.seats))
        self.configure_logs(self._settings)
        self._reactor.addSystemEventTrigger("during", "shutdown", self._end_logs)

    def configure_logs(self, settings: Settings) -> None:
        """Log as these settings say from now on."""
        set_level(settings.log_level)
        if self._access is not None and self._slow is not None:
            self._access.configure(settings)
            self._slow.configure(settings)

    def reopen_logs(self) -> None:
        """Go on in new files: the old ones were moved away."""
        if self._access is not None:
            self._access.reopen()

    def _end_logs(self) -> None:
        if self._access is not None:
            self._access.close()
        flush()

    def _give_up(self, connections: list[Connection]) -> None:
        """Some requests cannot be ended: the master replaces this worker, which then leaves without them."""
        assert self._poller is not None
        self._tell_stuck({connection.slot: connection.since for connection in connections})
        self._poller.give_up(connections)

    def _beat(self) -> None:
        self._board.words[self._region + W_HEARTBEAT] = time.monotonic_ns()

    def drain(self) -> None:
        """Hand everything back, then leave."""
        if self._poller is None:
            self._leave()
        else:
            self._poller.drain()

    def release(self, count: int) -> None:
        """Hand some connections back."""
        if self._poller is not None:
            self._poller.release_some(count)

    def stop(self, quick: bool) -> None:
        """Answer what runs, then leave; or leave now."""
        if quick or self._poller is None:
            self._leave()
        else:
            self._poller.stop()

    def master_gone(self) -> None:
        """Nobody takes connections back any more: finish what runs, within the graceful time-out."""
        self.log.warn("the master is gone: finishing what runs")
        self.stop(quick=False)
        self._reactor.callLater(self._settings.graceful_timeout, self._leave)

    def _empty(self) -> None:
        assert self._poller is not None
        assert self._channel is not None
        self._channel.flush()
        if self._poller.given_up:
            # The interpreter would wait for threads of the application's own, and for what they hold.
            self._end_logs()
            os._exit(0)
        self._leave()


def _poll(
    poller: Poller, turns: Turns, lends: LendChannel, service: Service, timeout: float | None, seat: Seat
) -> None:
    """One round of the worker's loop, behind its timers."""
    lends.flush()
    turns.settle()
    service.tell_free()
    if service.access is not None:
        service.access.between_rounds()
    poller.poll(timeout, seat)
