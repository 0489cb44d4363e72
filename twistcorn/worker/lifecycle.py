"""The worker's half of every verb: boot, serve, drain, stop, leave.

Law: a worker never decides its own fate: the master orders, TERM from outside asks the master, and the end of the
master's AMP is the order to finish and go. It leaves when it has no connection left.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..errors import AppLoadError
from ..settings import Settings
from ..wire.scoreboard import W_GENERATION, W_HEARTBEAT, W_PID, Scoreboard
from . import application
from .channel import Service
from .environ import Address
from .lends import LendChannel
from .poller import Poller
from .turns import Turns

#: Between two heartbeats.
HEARTBEAT = 1.0


class Lifecycle:
    """One worker's life.

    :param leave: ends the process in an orderly way.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, board: Scoreboard, region: int, settings: Settings, leave: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._board = board
        self._region = board.worker_base(region)
        self._settings = settings
        self._leave = leave
        self._poller: Poller | None = None
        self._channel: LendChannel | None = None
        self._heart = LoopingCall(self._beat)
        self._heart.clock = reactor

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
        self, app: Any, channel: Any, listeners: list[Address], worker: int, generation: int
    ) -> None:
        """Take connections from now on."""
        settings, board = self._settings, self._board
        turns = Turns(self._reactor, settings.threads, board, self._region)
        service = Service(self._reactor, app, settings, listeners, worker, turns, board, self._region)
        lends = LendChannel(self._reactor, channel, lambda descriptor, lend: poller.adopt(descriptor, lend))
        poller = Poller(
            self._reactor, board, self._region, settings, listeners, service.serve, lends.report, self._empty
        )
        service.attach(poller, lends.credit)
        self._poller, self._channel = poller, lends
        board.words[self._region + W_GENERATION] = generation
        board.words[self._region + W_PID] = os.getpid()
        # What the application built while it was imported lives as long as the worker: no collection looks at it again.
        gc.collect()
        gc.freeze()
        turns.start()
        poller.start()
        lends.startReading()
        self._heart.start(HEARTBEAT)

    def _beat(self) -> None:
        self._board.words[self._region + W_HEARTBEAT] = time.monotonic_ns()

    def drain(self) -> None:
        """Hand everything back, then leave."""
        if self._poller is None:
            self._leave()
        else:
            self._poller.drain()

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
        assert self._channel is not None
        self._channel.flush()
        self._leave()
