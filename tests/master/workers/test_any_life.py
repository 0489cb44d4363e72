"""What holds in every life of a pool: random sequences of what workers and operators do, on the supervisor."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from tests.master.stage import Stage
from twistcorn.policy.worker import WorkerState

TARGET = 3


def gets_ready(stage: Stage) -> int:
    """The worker that boots for the longest gets ready."""
    for worker in stage.starting[:1]:
        stage.spawner.ready(worker)
        return 1
    return 0


def fails_to_boot(stage: Stage) -> int:
    """The worker that boots for the longest cannot load the application."""
    for worker in stage.starting[:1]:
        stage.spawner.boot_fails(worker, "it does not boot")
        stage.spawner.exits(worker)
    return 0


def newest_fails_to_boot(stage: Stage) -> int:
    """The worker that was spawned last dies before it is ready."""
    for worker in stage.starting[-1:]:
        stage.spawner.exits(worker, signal=signal.SIGSEGV)
    return 0


def oldest_dies(stage: Stage) -> int:
    """A serving worker crashes: one that is old."""
    for worker in stage.ready[:1]:
        stage.spawner.exits(worker, signal=signal.SIGSEGV)
        return -1
    return 0


def newest_dies(stage: Stage) -> int:
    """A serving worker crashes: one that is new."""
    for worker in stage.ready[-1:]:
        stage.spawner.exits(worker, signal=signal.SIGKILL)
        return -1
    return 0


def leaves(stage: Stage) -> int:
    """Somebody sends SIGTERM to a serving worker."""
    for worker in stage.ready[:1]:
        stage.spawner.leaves(worker)
        return -1
    return 0


def retired_one_goes(stage: Stage) -> int:
    """A worker that was told to go is gone."""
    for worker in stage.spawner.alive:
        if worker.state in (WorkerState.DRAINING, WorkerState.STOPPING):
            stage.spawner.exits(worker)
            break
    return 0


def more(stage: Stage) -> int:
    stage.supervisor.scale(+1)
    return 0


def fewer(stage: Stage) -> int:
    stage.supervisor.scale(-1)
    return 0


def reload(stage: Stage) -> int:
    stage.supervisor.reload()
    return 0


def time_passes(stage: Stage) -> int:
    """Long enough for a short back-off, too short for a time-out."""
    stage.clock.advance(1.5)
    return 0


def system_refuses(stage: Stage) -> int:
    """There is no process left for another worker."""
    stage.spawner.error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return 0


def system_gives_in(stage: Stage) -> int:
    """There are processes again."""
    stage.spawner.error = None
    return 0


def killed_ones_die(stage: Stage) -> int:
    """SIGKILL does what it does."""
    for worker in stage.spawner.alive:
        if signal.SIGKILL in worker.process.signals:
            stage.spawner.exits(worker)
    return 0


#: What can happen; each says how it changed the number of ready workers by itself.
HAPPENINGS: list[Callable[[Stage], int]] = [
    gets_ready, gets_ready, gets_ready, fails_to_boot, newest_fails_to_boot, oldest_dies, newest_dies, leaves,
    retired_one_goes, more, fewer, reload, reload, time_passes, time_passes, killed_ones_die, system_refuses,
    system_gives_in, system_gives_in,
]  # fmt: skip

lives = given(st.lists(st.sampled_from(HAPPENINGS), max_size=40))


def served() -> Iterator[Stage]:
    """A pool that serves."""
    stage = Stage(workers=TARGET)
    stage.serve()
    try:
        yield stage
    finally:
        stage.close()


def settle(stage: Stage) -> None:
    """From now on nothing fails, and everybody who is told to go goes."""
    system_gives_in(stage)
    for _ in range(60):
        stage.boot_all()
        while any(worker.state in (WorkerState.DRAINING, WorkerState.STOPPING) for worker in stage.spawner.alive):
            retired_one_goes(stage)
        stage.clock.advance(1)


@lives
def test_capacity(happenings: list[Callable[[Stage], int]]) -> None:
    """No worker that serves is taken out of service before there is one in its place, whatever happens when."""
    for stage in served():
        for happens in happenings:
            before = len(stage.ready)
            change = happens(stage)
            assert len(stage.ready) >= min(before + change, stage.supervisor.target), happens.__name__


@lives
def test_number(happenings: list[Callable[[Stage], int]]) -> None:
    """When nothing fails any more, the pool comes back to the number that is wanted."""
    for stage in served():
        for happens in happenings:
            happens(stage)
        settle(stage)

        assert len(stage.ready) == len(stage.spawner.alive) == stage.supervisor.target
        assert stage.dispatcher.workers == stage.ready
        assert set(stage.states.values()) == {"ready"}


@lives
def test_reload_that_nothing_disturbs(happenings: list[Callable[[Stage], int]]) -> None:
    """Whatever happened before it, it leaves only workers that were spawned after it was asked for."""
    for stage in served():
        for happens in happenings:
            happens(stage)
        before = set(stage.spawner.spawned)
        system_gives_in(stage)
        stage.supervisor.reload()
        settle(stage)

        assert before.isdisjoint(stage.ready)
        assert len({worker.generation for worker in stage.ready}) == 1


@lives
def test_server_stops(happenings: list[Callable[[Stage], int]]) -> None:
    """From every situation a stop comes to its end, with no process, worker or timer left."""
    for stage in served():
        for happens in happenings:
            happens(stage)
        done: list[None] = []
        stage.supervisor.stop(quick=False).addCallback(done.append)
        for worker in stage.spawner.alive:
            stage.spawner.exits(worker)
        stage.clock.advance(0)

        assert done == [None]
        assert stage.states == {}
        assert stage.clock.getDelayedCalls() == []
        assert stage.fatal == []


@lives
def test_server_stops_at_once(happenings: list[Callable[[Stage], int]]) -> None:
    """Told to stop at once, every process is dead within four seconds, also one that hears nothing."""
    for stage in served():
        for happens in happenings:
            happens(stage)
        done: list[None] = []
        stage.supervisor.stop(quick=True).addCallback(done.append)
        for _ in range(4):
            stage.clock.advance(1)
            killed_ones_die(stage)

        assert done == [None]
        assert stage.spawner.alive == []
        assert stage.clock.getDelayedCalls() == []
