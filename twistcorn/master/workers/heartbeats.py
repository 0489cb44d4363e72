"""Periodic checks of serving workers: heartbeat, recycling limits, share of the connections.

Law: reads the scoreboard and the kernel's account of memory, and does what `policy.health`, `policy.recycling` and
`policy.balance` decide.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ...logs.logger import Logger
from ...policy.balance import SETTLING_SECONDS, surplus
from ...policy.freeze import SUSPICION_SHARE
from ...policy.hearing import why_deaf
from ...policy.recycling import RecyclingLimits, due
from ...policy.worker import SERVING, Event, Outdated, Worker, WorkerState
from ...recurring import Recurring
from ...settings import Settings
from ...wire import amp_commands
from ...wire.scoreboard import W_BUSY, W_HEARTBEAT, W_LED_REQUESTS, W_REQUESTS, Scoreboard
from ..sockets.dispatcher import Dispatcher
from .fleet import Fleet
from .freezes import Freezes

#: Seconds for which a worker must have been ready before it is replaced because it has no descriptor left.
SETTLED_SECONDS = 2.0
#: Seconds between two checks: a fraction of the second in which an unresponsive worker must be replaced.
CHECK_SECONDS = 0.25
#: Checks from one memory reading to the next; each costs some 20 us per worker.
CHECKS_PER_MEMORY_CHECK = 4

_PAGE = os.sysconf("SC_PAGE_SIZE")


def rss_of(pid: int) -> int:
    """Bytes of memory of a process that are in use (proc_pid_statm(5)); 0 where there is none."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


class HeartbeatMonitor:
    """Checks the workers of a fleet.

    :param rss: how the memory of a process is measured.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        fleet: Fleet,
        dispatcher: Dispatcher,
        scoreboard: Scoreboard,
        freezes: Freezes,
        rss: Callable[[int], int] = rss_of,
    ) -> None:
        self._clock = clock
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._scoreboard = scoreboard
        self._freezes = freezes
        self._rss = rss
        self._looking = Recurring(clock, "the care of workers", self._check_workers)
        self._looks = 0

    def start(self) -> None:
        """Begin the checks."""
        self._looking.start(CHECK_SECONDS, now=False)

    def stop(self) -> None:
        """End the checks."""
        self._looking.stop()

    def _check_workers(self) -> None:
        self._looks += 1
        now = self._clock.seconds()
        settings = self._fleet.settings
        limits = RecyclingLimits(
            settings.max_requests, settings.max_requests_jitter, settings.max_rss, settings.max_age
        )
        serving = set(self._dispatcher.workers)
        for worker in list(self._fleet.workers.values()):
            if worker.state not in SERVING:
                continue
            if self._looks % CHECKS_PER_MEMORY_CHECK == 0:
                worker.rss = self._rss(worker.pid)
            self._check_heartbeat(worker, now, settings)
            if worker.state is WorkerState.READY and not worker.killed:
                self._test_hearing(worker, now)
                self._replace_full(worker, now)
            if worker.interrupted:
                self._ask_progress(worker, now, settings.threads)
            if worker in serving and worker.outdated is None and not self._fleet.paused:
                self._ask_age(worker, now, limits)
        self._spread(now)

    def _spread(self, now: float) -> None:
        """After new workers came, have the others give them a share of the connections."""
        taking = self._dispatcher.workers
        if len(taking) < 2 or all(now - worker.ready_at > SETTLING_SECONDS for worker in taking):
            return
        for worker, count in zip(taking, surplus([worker.connections for worker in taking]), strict=True):
            if count:
                worker.process.order(amp_commands.Release, count=count)

    def _check_heartbeat(self, worker: Worker, now: float, settings: Settings) -> None:
        beat = self._scoreboard.words[self._scoreboard.worker_base(worker.region) + W_HEARTBEAT]
        worker.pulse = worker.pulse.advance(beat, now, CHECK_SECONDS)
        self._freezes.examine(worker, now, settings)
        why = self._freezes.judge(worker, now, settings, self._is_crowded())
        if worker.state is not WorkerState.READY:
            # Without a connection no client waits for it: it may be running exit handlers, which have their own limit.
            if why and worker.connections:
                worker.killed = f"{why} while {worker.state.value}"
                self._fleet.machine.handle(worker, Event.KILL)
        elif why:
            self._fleet.kill(worker, why)
        elif worker.pulse.is_lost(SUSPICION_SHARE * settings.heartbeat_timeout):
            if worker.outdated is not Outdated.FROZEN:
                self.log.error(
                    "worker {ident} (pid {pid}) unresponsive for {still:.1f} s; starting a replacement",
                    ident=worker.ident, pid=worker.pid, still=worker.pulse.still,
                )  # fmt: skip
                self._dispatcher.dismiss(worker)
                self._fleet.outdate(worker, Outdated.FROZEN)
        elif worker.outdated is Outdated.FROZEN:
            self.log.warn("worker {ident} (pid {pid}) responds again", ident=worker.ident, pid=worker.pid)
            if self._fleet.pardon(worker) and not worker.full:
                self._dispatcher.admit(worker)

    def _test_hearing(self, worker: Worker, now: float) -> None:
        for attempt in range(2):
            worker.hearing = worker.hearing.advance(worker.unacknowledged, worker.acknowledged, worker.pulse.beat, now)
            why = why_deaf(worker.hearing, worker.channel_failed, now)
            if not why:
                return
            if attempt == 0:
                # Its reports may still be unread here.
                worker.process.catch_up()
        # Handled like any death of a serving worker: replacement and redo log follow.
        worker.killed = why
        worker.process.kill(signal.SIGKILL)

    def _replace_full(self, worker: Worker, now: float) -> None:
        """Replace a worker that is out of descriptors; not within `SETTLED_SECONDS`, as the next may be as full."""
        if worker.full and worker.outdated is None and now - worker.ready_at >= SETTLED_SECONDS:
            self._fleet.outdate(worker, Outdated.FULL)

    def _ask_progress(self, worker: Worker, now: float, threads: int) -> None:
        """After an interruption: all of its threads may wait for a lock that is never released."""
        words, base = self._scoreboard.words, self._scoreboard.worker_base(worker.region)
        answered = words[base + W_REQUESTS] + words[base + W_LED_REQUESTS]
        worker.progress = worker.progress.advance(answered, words[base + W_BUSY], threads, now)
        if worker.progress.has_stalled(now) and worker.state in SERVING:
            why = "no request completed since one was interrupted; the application may be deadlocked"
            self._fleet.kill(worker, why)

    def _is_crowded(self) -> bool:
        """Whether the frozen workers that were replaced outnumber the worker target."""
        fleet = self._fleet
        frozen = [worker for worker in fleet.workers.values() if worker.outdated is Outdated.FROZEN]
        return sum(worker not in fleet.pool.processes for worker in frozen) > fleet.target

    def _ask_age(self, worker: Worker, now: float, limits: RecyclingLimits) -> None:
        base = self._scoreboard.worker_base(worker.region)
        requests = self._scoreboard.words[base + W_REQUESTS] + self._scoreboard.words[base + W_LED_REQUESTS]
        reason = due(limits, requests, worker.rss, now - worker.born, worker.chance)
        if reason:
            self.log.info(
                "recycling worker {ident} (pid {pid}): {reason}", ident=worker.ident, pid=worker.pid, reason=reason
            )
            self._fleet.outdate(worker, Outdated.SPENT)
