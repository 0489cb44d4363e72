"""The claims of twistcorn.master.workers.supervisor about its workers' deaths and numbers: respawn, back-off, scale."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet import reactor
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.master.stage import process
from twistcorn.policy.worker import WorkerState
from twistcorn.syntax import MAX_WORKERS
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


def warnings(logged: Any) -> list[str]:
    """The texts of the warnings."""
    return [formatEvent(event) for event in logged if event["log_level"] is LogLevel.warn]


def attempts(stage: Stage, seconds: float, tick: float = 0.25) -> list[float]:
    """When new workers are spawned, while every one that starts dies at once."""
    moments = []
    start = stage.clock.seconds()
    while stage.clock.seconds() - start < seconds:
        for worker in stage.starting:
            moments.append(stage.clock.seconds() - start)
            stage.spawner.exits(worker, code=1)
        stage.clock.advance(tick)
    return moments


class TestServingWorkerDies:
    @pytest.mark.parametrize("end", [{"code": 0}, {"code": 1}, {"signal": signal.SIGKILL}, {"signal": signal.SIGSEGV}])
    def test_it_is_replaced_at_once(self, stage: Stage, end: dict[str, Any]) -> None:
        """However it ended, a new one boots in the same moment."""
        stage.serve()
        stage.spawner.exits(stage.ready[0], **end)

        assert stage.states == {2: "ready", 3: "ready", 4: "starting"}

    def test_it_dies_again_and_again(self, stage: Stage) -> None:
        """A worker that was ready is never waited for: its code boots."""
        stage.serve()
        for _ in range(30):
            stage.spawner.exits(stage.ready[-1], signal=signal.SIGSEGV)
            stage.boot_all()

        assert len(stage.ready) == 3
        assert stage.clock.seconds() == 0

    def test_it_dies_in_a_loop(self, stage: Stage) -> None:
        """A crash loop is told once in a minute, with its numbers."""
        stage.serve()
        with capturedLogs() as logged:
            for _ in range(30):
                stage.clock.advance(1)
                stage.spawner.exits(stage.ready[-1], signal=signal.SIGSEGV)
                stage.boot_all()

        assert warnings(logged) == [
            "crash loop: more than 5 worker deaths within 60 s; still replacing each at once"
        ]

    def test_worker_that_was_told_to_go_dies(self, stages: Any) -> None:
        """Retired workers do not count as a crash loop."""
        stage = stages(workers=20)
        stage.serve()
        with capturedLogs() as logged:
            stage.supervisor.scale(-19)
            for worker in [w for w in stage.spawner.alive if w.state is WorkerState.DRAINING]:
                stage.spawner.exits(worker)

        assert warnings(logged) == []

    def test_log_names_the_death(self, stage: Stage) -> None:
        """Number, pid, age and cause stand in one line."""
        stage.serve()
        worker = stage.ready[0]
        stage.clock.advance(12.34)
        with capturedLogs() as logged:
            stage.spawner.exits(worker, signal=signal.SIGSEGV)
        texts = [formatEvent(event) for event in logged if event["log_level"] is LogLevel.error]

        assert texts == [f"worker 1 (pid {worker.pid}) died after 12.3 s: SIGSEGV; no request running"]


class TestBackOff:
    def test_boots_fail_while_others_serve(self, stage: Stage) -> None:
        """The attempts come 0.5, 1, 2, 4, 8, 16 and then every 30 seconds apart."""
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        moments = attempts(stage, 130)

        assert [later - earlier for earlier, later in pairwise(moments)] == [
            0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0,
        ]  # fmt: skip

    def test_boots_fail_and_nobody_serves(self, stages: Any) -> None:
        """Nobody is served, so nothing is gained by waiting for longer than a second."""
        stage = stages(workers=1)
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        moments = attempts(stage, 20)

        waits = [later - earlier for earlier, later in pairwise(moments)]
        assert waits[:3] == [0.5, 1.0, 1.0]
        assert set(waits[1:]) == {1.0}

    def test_worker_gets_ready_in_between(self, stage: Stage) -> None:
        """The next failed boot waits half a second again."""
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        attempts(stage, 10)
        stage.clock.advance(30)
        stage.boot_all()
        stage.spawner.exits(stage.ready[0], code=1)

        assert attempts(stage, 1) == [0.0, 0.5]

    def test_master_goes_on(self, stages: Any) -> None:
        """However long no worker boots, the server is not taken down, and serves again as soon as one does."""
        stage = stages(workers=1)
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        attempts(stage, 600)
        assert stage.fatal == []

        stage.clock.advance(1)
        stage.boot_all()
        assert len(stage.ready) == 1

    def test_pool_is_scaled_down_while_one_waits(self, stage: Stage) -> None:
        """The one that waits goes first, and its timer with it: nothing is spawned later."""
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        stage.spawner.exits(stage.newest, code=1)
        assert stage.states == {2: "ready", 3: "ready", 4: "waiting"}

        stage.supervisor.scale(-1)
        stage.clock.advance(60)

        assert stage.states == {2: "ready", 3: "ready"}
        assert len(stage.spawner.spawned) == 4

    def test_workers_retired_while_they_boot(self, stage: Stage) -> None:
        """A worker that was killed because fewer are wanted says nothing about the code: no wait grows by it."""
        stage.serve()
        stage.supervisor.scale(+3)
        stage.supervisor.scale(-3)
        for worker in [w for w in stage.spawner.alive if w.state is WorkerState.STOPPING]:
            stage.spawner.exits(worker)
        stage.spawner.exits(stage.ready[0], code=1)

        assert attempts(stage, 1) == [0.0, 0.5]


class TestLeaving:
    def test_somebody_sends_it_a_signal(self, stage: Stage) -> None:
        """A new worker boots at once; the old one drains, gets no new connection, and no order either."""
        worker = stage.serve()[0]
        stage.spawner.leaves(worker)

        assert stage.states == {1: "draining", 2: "ready", 3: "ready", 4: "starting"}
        assert worker not in stage.dispatcher.workers
        assert process(worker).ordered == [amp_commands.Boot]

    def test_its_replacement_is_ready(self, stage: Stage) -> None:
        """Whatever it waits for itself, it is told to hand everything back in the same moment."""
        worker = stage.serve()[0]
        stage.spawner.leaves(worker)
        stage.boot_all()

        assert process(worker).ordered == [amp_commands.Boot, amp_commands.Drain]
        assert stage.states[worker.ident] == "draining"

    def test_it_is_gone(self, stage: Stage) -> None:
        """Its exit changes no number."""
        worker = stage.serve()[0]
        stage.spawner.leaves(worker)
        stage.boot_all()
        stage.spawner.exits(worker)

        assert stage.states == {2: "ready", 3: "ready", 4: "ready"}

    def test_it_does_not_go(self, stage: Stage) -> None:
        """Past the graceful time-out it is killed, and killed again every two seconds until it is dead."""
        worker = stage.serve()[0]
        stage.spawner.leaves(worker)
        stage.clock.advance(29.9)
        assert process(worker).signals == []

        counts = []
        for wait in (0.2, 1.8, 0.2, 2.0, 2.0):
            stage.clock.advance(wait)
            counts.append(len(process(worker).signals))

        assert counts == [1, 1, 2, 3, 4]
        assert set(process(worker).signals) == {signal.SIGKILL}

        stage.spawner.exits(worker)
        stage.clock.advance(60)
        assert len(process(worker).signals) == 4


class TestScale:
    def test_one_more(self, stage: Stage) -> None:
        """A worker boots."""
        stage.serve()
        stage.supervisor.scale(+1)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "starting"}
        assert stage.supervisor.target == 4

    def test_one_less(self, stage: Stage) -> None:
        """The oldest drains, and is not replaced when it is gone."""
        worker = stage.serve()[0]
        stage.supervisor.scale(-1)
        assert stage.states == {1: "draining", 2: "ready", 3: "ready"}
        assert process(worker).ordered == [amp_commands.Boot, amp_commands.Drain]

        stage.spawner.exits(worker)
        assert stage.states == {2: "ready", 3: "ready"}

    def test_one_less_while_one_boots(self, stage: Stage) -> None:
        """One that does not serve yet goes first, and is killed: it has nothing to finish."""
        stage.serve()
        stage.supervisor.scale(+1)
        booting = stage.newest
        stage.supervisor.scale(-1)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "stopping"}
        assert process(booting).signals == [signal.SIGKILL]

    def test_fewer_than_one(self, stage: Stage) -> None:
        """One worker stays, however often fewer are wanted."""
        stage.serve()
        for _ in range(5):
            stage.supervisor.scale(-1)

        assert stage.supervisor.target == 1
        assert len(stage.ready) == 1

    def test_too_many(self, stage: Stage) -> None:
        """The number of workers has a bound, the same as the option's."""
        stage.supervisor.scale(+100_000)

        assert stage.supervisor.target == MAX_WORKERS

    def test_before_the_first_is_ready(self, stage: Stage) -> None:
        """It is remembered, and the first worker still boots alone."""
        stage.supervisor.start()
        stage.supervisor.scale(+1)
        assert stage.states == {1: "starting"}

        stage.boot_all()
        assert len(stage.ready) == 4

    def test_more_than_regions_at_once(self, stages: Any) -> None:
        """Workers that drain keep their regions; new ones get others."""
        stage = stages(workers=40)
        stage.serve()
        for _ in range(3):
            stage.supervisor.scale(-39)
            stage.supervisor.scale(+39)
            stage.boot_all()

        assert len(stage.ready) == 40
        assert len({worker.region for worker in stage.spawner.alive}) == len(stage.spawner.alive) == 40 + 3 * 39


class TestReactor:
    def test_pool_of_ampoule_is_made(self, stage: Stage) -> None:
        """ampoule's own timer, on the global reactor, is stopped before it can fire."""
        stage.serve()
        running: Any = reactor

        assert running.getDelayedCalls() == []
