"""The worker's side of every order: load, serve, configure, drain, stop, leave.

Law: a worker never decides its own fate: the master orders, SIGTERM from outside asks the master, and the end of the
master's AMP means finish and leave. A worker leaves when it has no connection left.
"""

from __future__ import annotations

import faulthandler
import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ..errors import AppLoadError
from ..logs.server import flush, say_last, set_level
from ..pristine import os
from ..recurring import Recurring
from ..settings import Settings
from ..wire.scoreboard import W_GENERATION, W_LED_REQUESTS, W_PID, W_REQUESTS, W_THREADS, Scoreboard
from ..wire.testimony import TESTIFY
from .heartbeat import Heartbeat
from .loading import application
from .loop.addresses import Address
from .loop.connection import Connection
from .loop.gaps import Gaps
from .loop.lends import LendChannel
from .loop.local_queue import LocalQueue
from .loop.poller import Poller
from .loop.seats import Seat
from .process import failing, forks, ground
from .process.descriptors import LAST_WORDS, STDERR, Descriptors
from .process.echo import Echo
from .process.soundness import Soundness
from .turns.deadlines import Deadlines
from .turns.threads import UPKEEP_SECONDS
from .turns.turns import Turns
from .wsgi.access_log import AccessLog
from .wsgi.app_server import AppServer
from .wsgi.quarantined import QuarantinedRequests
from .wsgi.slow import SlowRequests, name_of

#: The calls with which applications replace Python's threads.
_PATCHES = {"gevent": "gevent.monkey.patch_all()", "eventlet": "eventlet.monkey_patch()"}


class Lifecycle:
    """One worker's life.

    :param leave: ends the process in an orderly way.
    :param farewell: sends the master the last report, then ends the process.
    :param ask_to_leave: asks the master whether more connections come, and ends the process if none do.
    :param tell_stuck: reports stuck requests to the master: by slot, when each began; fires when the master knows.
    :param tell_overdue: reports an interrupted request to the master: its name, and its seconds.
    :ivar on_configured: called with the new settings when they change.
    :ivar on_stuck: ends the process if its main thread does not leave the application.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        board: Scoreboard,
        region: int,
        settings: Settings,
        leave: Callable[[], None],
        farewell: Callable[[], None],
        ask_to_leave: Callable[[], None],
        tell_stuck: Callable[[dict[int, int]], Deferred[Any]],
        tell_overdue: Callable[[str, float], None],
    ) -> None:
        self._reactor = reactor
        self._board = board
        self._region = board.worker_base(region)
        self._settings = settings
        self._leave = leave
        self._farewell = farewell
        self._ask_to_leave = ask_to_leave
        self._said_farewell = self._orphaned = False
        self._tell_stuck, self._tell_overdue = tell_stuck, tell_overdue
        self._told_stuck: Deferred[Any] = succeed(None)
        self._poller: Poller | None = None
        self._channel: LendChannel | None = None
        self._vitals = Heartbeat(reactor, board, self._region, settings.heartbeat_timeout, prove=self._prove)
        self._vitals.on_beat = self._check_ground
        self._soundness: Soundness | None = None
        self.on_configured: list[Callable[[Settings], object]] = []
        self._access: AccessLog | None = None
        self._words_lost = False
        self._slow: SlowRequests | None = None
        self.on_stuck: Callable[[], object] = lambda: os._exit(0)

    def load(self) -> application.Loaded:
        """Load the application, in its directory.

        :raises AppLoadError: with a message for the operator.
        """
        directory = self._settings.chdir
        try:
            os.chdir(directory)
        except OSError as problem:
            raise AppLoadError(f"--chdir {directory}: {problem.strerror}") from None
        if not os.path.isabs(directory):
            raise AppLoadError("the directory that the server was started in is gone; set another one with --chdir")
        loaded = application.load(self._settings.app, directory, self._settings.pythonpath)
        if whose := ground.green_threads():
            raise AppLoadError(
                f"cannot load the app `{loaded.target}`: it replaces Python's threads with {whose}'s"
                f" ({_PATCHES.get(whose, 'monkey patching')}), and the server cannot run in those. Remove that call:"
                " requests run in kernel threads, as many as --threads says."
            )
        self._put_right()
        return loaded

    def _check_ground(self) -> None:
        """At each heartbeat: check whether the application has changed what the server needs of the interpreter."""
        self._put_right()
        if not (self._words_lost or failing.has_last_words()):
            self._words_lost = True
            self._lose_last_words()
        if whose := ground.green_threads():
            # The next thread would never run: running requests are safer with another worker.
            say_last(
                f"the application replaced Python's threads with {whose}'s while serving: this worker ends, others take"
                " its connections. Remove that call, or the next worker ends the same way."
            )
            os._exit(1)

    def _lose_last_words(self) -> None:
        """The application took the descriptor for last words: faulthandler writes to standard error from now on."""
        faulthandler.enable(STDERR)
        faulthandler.register(TESTIFY, STDERR)
        self.log.warn(
            "the application closed or replaced the server's file descriptor {number} (last words); crash reports go"
            " to standard error from now on",
            number=LAST_WORDS,
        )

    def _put_right(self) -> None:
        for what in ground.put_right():
            self.log.warn("the application set {what}; the server cannot run with that", what=what)

    def serve(
        self,
        app: Any,
        channel: Any,
        listeners: list[Address],
        worker: int,
        generation: int,
        quarantine: QuarantinedRequests,
        descriptors: Descriptors,
    ) -> None:
        """Connect the parts of the worker, and accept connections from now on."""
        settings, board = self._settings, self._board
        service = AppServer(self._reactor, app, settings, listeners, worker, board, quarantine)
        turns = Turns(
            self._reactor, settings.threads, settings.turns, board, self._region, service, settings.stand_ins,
            self.on_stuck,
        )  # fmt: skip
        lends = LendChannel(self._reactor, channel, lambda descriptor, lend: poller.custody.adopt(descriptor, lend))
        poller = Poller(
            self._reactor, board, self._region, settings, listeners, turns, lends.report, self._empty
        )
        waiting = LocalQueue(
            self._reactor, board, self._region, settings, poller.custody.give_back,
            lambda: poller.holdings.draining,
            withdraw=turns.withdraw, abandon=poller.abandon,
        )  # fmt: skip
        service.attach(poller, waiting, turns.answered, lends.credit, turns.counts.count_queued)
        self._poller, self._channel = poller, lends
        for forget in (poller.holdings.forget, poller.spool.forget, turns.threads.forget):
            forks.on_child(forget)
        self._introduce(generation)
        poller.holdings.add_source(self._reactor.own_descriptor(), self._reactor.own_events)
        poller.start()
        lends.startReading()
        self._listen_to_itself(poller, descriptors)
        self._reactor.enlist(partial(_poll, poller, turns, lends, service), turns.lead.join)
        deadlines = Deadlines(
            self._reactor, settings.request_timeout, lambda: list(turns.seats), self._give_up,
            on_late=self._tell_overdue, name_of=name_of,
        )  # fmt: skip
        deadlines.start()
        self._mind_gaps(poller, deadlines)
        self._begin_logs(service, poller, turns, worker)
        self._begin_heartbeat()
        Recurring(self._reactor, "thread upkeep", turns.keep_up).start(UPKEEP_SECONDS, now=False)
        self.on_configured += [
            poller.heads.configure, poller.spool.configure, poller.configure, waiting.configure, service.configure,
            deadlines.configure, self._vitals.configure, self.configure_logs,
            lambda settings: self._set_threads(turns, settings.threads),
            lambda settings: turns.threads.limit_stand_ins(settings.stand_ins),
        ]  # fmt: skip

    def _introduce(self, generation: int) -> None:
        """Write generation and pid to the scoreboard, and freeze the application's objects."""
        self._board.words[self._region + W_GENERATION] = generation
        self._board.words[self._region + W_PID] = os.getpid()
        # Objects built during the import live as long as the worker: no garbage collection needs to scan them again.
        gc.collect()
        gc.freeze()

    def _listen_to_itself(self, poller: Poller, descriptors: Descriptors) -> None:
        echo, words, region = Echo(self._reactor), self._board.words, self._region
        echo.startReading()
        self._soundness = Soundness(
            descriptors, echo, poller.holdings.prove, self._reactor.own_numbers(),
            lambda: words[region + W_REQUESTS] + words[region + W_LED_REQUESTS],
        )  # fmt: skip
        failing.prepare(lambda: self._soundness is None or self._soundness.sure, self._soundness.check_descriptors)

    def _prove(self) -> None:
        if self._soundness is not None:
            self._soundness.check()

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on; a worker cannot change between one thread and several."""
        if self._poller is not None and (settings.threads == 1) is not (self._settings.threads == 1):
            settings = replace(settings, threads=self._settings.threads)
        self._settings = settings
        for configure in self.on_configured:
            configure(settings)

    def _set_threads(self, turns: Turns, threads: int) -> None:
        poller = self._poller
        if poller is not None and not (poller.holdings.draining or poller.holdings.stopping):
            self._board.words[self._region + W_THREADS] = threads
        if threads != turns.threads.limit:
            turns.threads.resize(threads)

    def _begin_heartbeat(self) -> None:
        self._vitals.start()
        self._reactor.addSystemEventTrigger("after", "shutdown", self._vitals.end)

    def _mind_gaps(self, poller: Poller, deadlines: Deadlines) -> None:
        gaps = Gaps(self._reactor, poller.holdings.all, [deadlines.put_off])
        gaps.start()
        self._reactor.on_gap.append(gaps.missed)

    def _begin_logs(self, service: AppServer, poller: Poller, turns: Turns, worker: int) -> None:
        def attach(log: AccessLog | None) -> None:
            service.access = poller.custody.access = log

        self._access = AccessLog(self._reactor, worker, attach)
        self._slow = SlowRequests(self._reactor, lambda: list(turns.seats))
        self.configure_logs(self._settings)
        self._reactor.addSystemEventTrigger("during", "shutdown", self._end_logs)

    def configure_logs(self, settings: Settings) -> None:
        """Log according to these settings from now on."""
        set_level(settings.log_level)
        if self._access is not None and self._slow is not None:
            self._access.configure(settings)
            self._slow.configure(settings)

    def reopen_logs(self) -> None:
        """Reopen the log files, after a rotation has moved them."""
        if self._access is not None:
            self._access.reopen()

    def _end_logs(self) -> None:
        if self._access is not None:
            self._access.close()
        flush()

    def _give_up(self, connections: list[Connection]) -> None:
        """Report stuck requests: the master replaces this worker, which leaves without waiting for them."""
        assert self._poller is not None
        self._told_stuck = self._tell_stuck({connection.slot: connection.redo_log.since for connection in connections})
        self._poller.custody.give_up(connections)

    def drain(self) -> None:
        """Give back every connection, then leave."""
        if self._poller is None:
            self._leave()
        else:
            self._poller.custody.drain()

    def release(self, count: int) -> None:
        """Give back up to `count` connections."""
        if self._poller is not None:
            self._poller.custody.release_some(count)

    def stop(self, quick: bool) -> None:
        """Finish running requests, then leave; `quick`: leave now."""
        if quick or self._poller is None:
            self._leave()
        else:
            self._poller.stop()

    @property
    def stopping(self) -> bool:
        """Whether the server, or this worker, stops."""
        return self._board.stopping or (self._poller is not None and self._poller.holdings.stopping)

    @property
    def waits_for_word(self) -> bool:
        """Whether this worker must wait for the master's order to leave."""
        return self._poller is not None and self._poller.holdings.stopping and not self._orphaned

    def master_gone(self) -> None:
        """Finish running requests within the graceful time-out, then leave: no master takes connections back."""
        self.log.warn("the master is gone; finishing running requests, then leaving")
        self._orphaned = True
        self.stop(quick=False)
        self._reactor.callLater(self._settings.graceful_timeout, self._leave)

    def _empty(self) -> None:
        assert self._poller is not None
        assert self._channel is not None
        self._channel.flush()
        if self._poller.custody.given_up:
            # First the master must know about them, or it would have them run again.
            self._told_stuck.addCallback(lambda _: self._exit())
        elif self.waits_for_word:
            self._ask_to_leave()
        elif self._orphaned:
            # No master is left to collect the application's metrics.
            self._leave()
        elif not self._said_farewell:
            self._said_farewell = True
            self._farewell()

    def _exit(self) -> None:
        """Leave without waiting for stuck requests."""
        assert self._poller is not None
        assert self._channel is not None
        if self._poller.custody.given_up and self._poller.custody.empty:
            self._channel.flush()
            self._leave()


def _poll(
    poller: Poller, turns: Turns, lends: LendChannel, service: AppServer, timeout: float | None, seat: Seat
) -> None:
    """Run one round of the worker's loop, after its timers."""
    lends.flush()
    if not turns.settle(seat):
        return
    service.report_free_thread()
    if service.access is not None:
        service.access.between_rounds()
    poller.rounds.poll(timeout, seat)
