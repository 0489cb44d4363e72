"""Autoscaling: samples the load, and adjusts the number of workers and of their threads.

Law: `policy.sizing` decides. It samples once a second while there are bounds, and acts only when as many workers serve
as the target says: a booting worker must first take its share. A target set by an operator resets what was sampled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from ...logs.logger import Logger
from ...policy import memory
from ...policy.sizing import SAMPLE_SECONDS, THREADS, WORKERS, LoadSample, SizingState, step
from ...policy.worker import Worker
from ...recurring import Recurring
from ...settings import Settings
from ...wire.scoreboard import H_QUEUED, W_BUSY, W_LED_REQUESTS, W_REQUESTS, Scoreboard
from .. import procfs
from ..sockets.dispatcher import Dispatcher
from .fleet import Fleet

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_time(pid: int) -> float:
    """Seconds of processor that a process has used (proc_pid_stat(5)); 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            user, system = file.read().rpartition(b")")[2].split()[11:13]
            return (int(user) + int(system)) / _TICKS
    except (OSError, IndexError, ValueError):
        return 0.0


def free_memory() -> int | None:
    """Bytes of available memory; None when unknown."""
    return memory.room(procfs.read)


class Used(NamedTuple):
    """What a worker had used, and answered, when it was looked at last."""

    processor: float
    answered: int


class Load(NamedTuple):
    """The load of the last second: requests at work, and waiting; processor of a worker; seconds that requests wait."""

    busy: int
    processor: float
    wait: float
    size: int


class Scaling:
    """Keeps workers and threads as many as the load asks for.

    :param set_threads: sets the number of threads in all workers.
    :param processor: CPU seconds that a process has used; `room`: bytes of available memory.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        fleet: Fleet,
        dispatcher: Dispatcher,
        scoreboard: Scoreboard,
        set_threads: Callable[[int], None],
        processor: Callable[[int], float] = processor_time,
        room: Callable[[], int | None] = free_memory,
    ) -> None:
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._scoreboard = scoreboard
        self._set_threads = set_threads
        self._processor = processor
        self._room = room
        self._used: dict[Worker, Used] = {}
        self._states = [SizingState(), SizingState()]
        self._target = fleet.target
        self._looking = Recurring(clock, "the look at the load", self._sample_load)

    def start(self) -> None:
        """Begin to sample."""
        self._looking.start(SAMPLE_SECONDS, now=False)

    def stop(self) -> None:
        """End the samples."""
        self._looking.stop()

    def _sample_load(self) -> None:
        settings = self._fleet.settings
        if settings.workers_bounds is None and settings.threads_bounds is None:
            self._used = {}
            return
        if self._fleet.target != self._target:
            self._target, self._states = self._fleet.target, [SizingState(), SizingState()]
        load = self._measure(settings.threads)
        settled = len(self._dispatcher.workers) >= self._target and not self._fleet.reloading
        # Where calls wait, threads come first: they cost next to nothing.
        if load is not None and settled and not self._size_threads(settings, load):
            self._size_workers(settings, load)

    def _measure(self, threads: int) -> Load | None:
        """The load since the last sample; None at the first one."""
        words, workers = self._scoreboard.words, self._dispatcher.workers
        before, self._used = self._used, {}
        busy = waiting = answered = size = 0
        processor = []
        for worker in workers:
            base = self._scoreboard.worker_base(worker.region)
            now = Used(self._processor(worker.pid), words[base + W_REQUESTS] + words[base + W_LED_REQUESTS])
            self._used[worker] = now
            if worker in before:
                processor.append(min(1.0, (now.processor - before[worker].processor) / SAMPLE_SECONDS))
                answered += now.answered - before[worker].answered
            busy += min(threads, words[base + W_BUSY])
            waiting += max(0, words[base + W_BUSY] - threads)
            size = max(size, worker.rss)
        if not processor:
            return None
        waiting += words[H_QUEUED]
        # Little's law: what waits is the time that it waits, times what is answered in that.
        wait = waiting * SAMPLE_SECONDS / answered if answered else float("inf")
        return Load(busy, sum(processor) / len(processor), wait if waiting else 0.0, size)

    def _size_threads(self, settings: Settings, load: Load) -> bool:
        """Returns whether more threads are needed, and allowed."""
        if settings.threads_bounds is None:
            return False
        all_threads = settings.threads * len(self._dispatcher.workers)
        sample = LoadSample(settings.threads, load.busy / all_threads, load.processor, load.wait)
        self._states[1], decision = step(
            self._states[1], sample, THREADS, settings.threads_bounds, settings.scale_down_after
        )
        if decision.number != settings.threads:
            self.log.info("threads per worker set to {number}: {reason}", **decision._asdict())
            self._set_threads(decision.number)
        return settings.threads < settings.threads_bounds.most and bool(THREADS.too_few(sample))

    def _size_workers(self, settings: Settings, load: Load) -> None:
        if settings.workers_bounds is None:
            return
        # A worker counts with all the threads that it may get.
        threads = settings.threads if settings.threads_bounds is None else settings.threads_bounds.most
        busy = load.busy / (threads * len(self._dispatcher.workers))
        sample = LoadSample(self._target, busy, load.processor, load.wait, self._room(), load.size)
        self._states[0], decision = step(
            self._states[0], sample, WORKERS, settings.workers_bounds, settings.scale_down_after
        )
        if decision.number != self._target:
            self._fleet.scale(decision.number - self._target, decision.reason)
            self._target = self._fleet.target
        elif decision.reason:
            self.log.warn("not adding a worker: {reason}", reason=decision.reason)
