"""The claims of twistcorn.master.workers.heartbeats: hearts, limits and shares, on a stage whose time is the test's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import process, texts
from twistcorn.master.workers.freezes import Freezes
from twistcorn.master.workers.heartbeats import (
    CHECK_SECONDS,
    CHECKS_PER_MEMORY_CHECK,
    SETTLED_SECONDS,
    HeartbeatMonitor,
    rss_of,
)
from twistcorn.policy.balance import SETTLING_SECONDS
from twistcorn.policy.hearing import DEAF_SECONDS, GRACE_SECONDS
from twistcorn.policy.worker import Outdated, Worker, WorkerState
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage

MIB = 1 << 20


@pytest.fixture
def beating(stages: Any) -> Stage:
    """Three workers that live, of which a heart may stand still for 2 s."""
    stage: Stage = stages(workers=3, heartbeat_timeout=2.0)
    stage.serve()
    stage.pass_by(1)
    return stage


class TestHearts:
    def test_all_beat(self, beating: Stage) -> None:
        """Nothing happens."""
        beating.pass_by(600)

        assert beating.states == {1: "ready", 2: "ready", 3: "ready"}
        assert len(beating.spawner.spawned) == 3

    def test_one_stands_still(self, beating: Stage) -> None:
        """Before its time is over its replacement boots; it gets no connection, but is not killed yet."""
        frozen = beating.ready[0]
        beating.pass_by(1, [frozen])
        assert beating.starting == []

        beating.pass_by(0.75, [frozen])
        assert beating.states == {1: "ready", 2: "ready", 3: "ready", 4: "starting"}
        assert frozen not in beating.dispatcher.workers
        beating.boot_all()
        assert process(frozen).signals == []

    @pytest.mark.parametrize("boots", [True, False])
    def test_its_time_is_over(self, beating: Stage, boots: bool) -> None:
        """It is killed, whether its replacement is ready or not, and the log says why, before and after."""
        frozen = beating.ready[0]
        with capturedLogs() as logged:
            beating.pass_by(1.75, [frozen])
            if boots:
                beating.boot_all()
            beating.pass_by(0.75, [frozen])
            assert process(frozen).signals == [signal.SIGKILL]
            beating.spawner.exits(frozen)

        assert beating.states == {2: "ready", 3: "ready", 4: "ready" if boots else "starting"}
        assert any("unresponsive for 1." in text and "starting a replacement" in text for text in texts(logged))
        assert any("was killed: unresponsive for more than 2 s" in text for text in texts(logged))

    def test_it_beats_again_in_time(self, beating: Stage) -> None:
        """It is pardoned: it takes connections again, and the replacement is not needed."""
        frozen = beating.ready[0]
        beating.pass_by(1.75, [frozen])
        with capturedLogs() as logged:
            beating.pass_by(CHECK_SECONDS)

        assert beating.states == {1: "ready", 2: "ready", 3: "ready", 4: "stopping"}
        assert beating.dispatcher.workers.count(frozen) == 1
        assert [text for text in texts(logged) if "responds again" in text] != []

    def test_it_beats_again_and_its_place_is_taken(self, beating: Stage) -> None:
        """It goes in order: it hands its connections back."""
        frozen = beating.ready[0]
        beating.pass_by(1.75, [frozen])
        beating.boot_all()
        beating.pass_by(CHECK_SECONDS)

        assert beating.states == {1: "draining", 2: "ready", 3: "ready", 4: "ready"}
        assert frozen not in beating.dispatcher.workers

    def test_it_beats_too_late(self, beating: Stage) -> None:
        """Once killed it is not pardoned."""
        frozen = beating.ready[0]
        beating.pass_by(3, [frozen])
        beating.boot_all()
        beating.pass_by(1)

        assert frozen.state is WorkerState.STOPPING
        assert frozen not in beating.dispatcher.workers

    def test_all_stand_still(self, beating: Stage) -> None:
        """All are killed when their time is over, and as many boot."""
        frozen = beating.ready
        beating.pass_by(3, frozen)
        assert all(process(worker).signals == [signal.SIGKILL] for worker in frozen)

        beating.boot_all()
        assert [worker.ident for worker in beating.ready] == [4, 5, 6]

    def test_master_stood_still(self, beating: Stage) -> None:
        """A minute in which nobody looked is no minute without life."""
        beating.clock.advance(60)

        assert beating.starting == []

    def test_nobody_asks(self, stages: Any) -> None:
        """With a time-out of 0, hearts may stand still."""
        stage = stages(workers=1, heartbeat_timeout=0.0)
        stage.serve()
        stage.pass_by(1)
        stage.pass_by(600, stage.ready)

        assert stage.states == {1: "ready"}

    def test_server_stops(self, beating: Stage) -> None:
        """Nobody looks any more: the graceful time-out ends everything."""
        beating.supervisor.stop(quick=False)
        beating.pass_by(10, beating.ready)

        assert all(process(worker).signals == [] for worker in beating.spawner.spawned)


class TestHeartsOfWorkersThatDrain:
    def test_it_has_connections(self, beating: Stage) -> None:
        """It is killed: its clients are better with others."""
        beating.arrive(3)
        leaving = beating.ready[0]
        beating.spawner.takes(leaving)
        beating.spawner.leaves(leaving)
        beating.pass_by(3, [leaving])

        assert process(leaving).signals == [signal.SIGKILL]
        assert leaving.killed == "unresponsive for more than 2 s while draining"

    def test_it_has_none(self, beating: Stage) -> None:
        """Its exit handlers may take their time, up to the graceful time-out."""
        leaving = beating.ready[0]
        beating.spawner.leaves(leaving)
        beating.pass_by(10, [leaving])
        assert process(leaving).signals == []

        beating.pass_by(21, [leaving])
        assert process(leaving).signals == [signal.SIGKILL]


class TestLimits:
    def test_requests(self, stages: Any) -> None:
        """A worker that has answered its number is replaced, and the log says why."""
        stage = stages(workers=2, max_requests=100)
        old = stage.serve()[0]
        stage.answers(old, 99)
        stage.pass_by(1)
        assert stage.starting == []

        stage.answers(old, 120)
        with capturedLogs() as logged:
            stage.pass_by(1)
        assert f"recycling worker 1 (pid {old.pid}): 120 requests answered" in texts(logged)
        assert stage.states == {1: "ready", 2: "ready", 3: "starting"}

    def test_jitter(self, stages: Any) -> None:
        """Each worker has its own part of it, for all its life."""
        stage = stages(workers=2, max_requests=100, max_requests_jitter=100)
        early, late = stage.serve()
        early.chance, late.chance = 0.1, 0.9
        for worker in (early, late):
            stage.answers(worker, 150)
        stage.pass_by(1)

        assert (early.outdated, late.outdated) == (Outdated.SPENT, None)

    def test_age(self, stages: Any) -> None:
        """All workers get old at once, and are replaced one by one; those that come are young."""
        stage = stages(workers=3, max_age=60.0)
        old = stage.serve()
        stage.pass_by(60)
        assert len(stage.starting) == 1

        stage.boot_all()
        assert [worker.state for worker in old] == [WorkerState.DRAINING] * 3
        stage.pass_by(30)
        assert stage.starting == []

    def test_memory(self, stages: Any) -> None:
        """It is asked for now and then; whoever has more than allowed is replaced."""
        stage = stages(workers=2, max_rss=64 * MIB)
        first, second = stage.serve()
        memory = {first.pid: 65 * MIB, second.pid: 64 * MIB}
        asked: list[int] = []

        def rss(pid: int) -> int:
            asked.append(pid)
            return memory[pid]

        supervisor = stage.supervisor
        supervisor.care.stop()
        freezes = Freezes(stage.table, stage.board)
        care = HeartbeatMonitor(stage.clock, supervisor.fleet, stage.dispatcher, stage.board, freezes, rss)
        care.start()
        stage.pass_by(CHECK_SECONDS * CHECKS_PER_MEMORY_CHECK)
        care.stop()

        assert asked == [first.pid, second.pid]
        assert (first.rss, first.outdated, second.outdated) == (65 * MIB, Outdated.SPENT, None)

    def test_code_on_disk_does_not_boot(self, stages: Any) -> None:
        """Nobody is replaced then, however old."""
        stage = stages(workers=2, max_age=60.0)
        stage.serve()
        stage.supervisor.reload()
        stage.fails(stage.newest)
        stage.pass_by(120)

        assert stage.states == {1: "ready", 2: "ready"}

    def test_it_is_replaced_already(self, stages: Any) -> None:
        """It is told once."""
        stage = stages(workers=2, max_age=60.0)
        stage.serve()
        with capturedLogs() as logged:
            stage.pass_by(120)

        assert len([text for text in texts(logged) if "recycling" in text]) == 2


class TestShares:
    def test_new_worker_came(self, stages: Any) -> None:
        """The others give it its share of the connections, soon after it is ready."""
        stage = stages(workers=1)
        (old,) = stage.serve()
        stage.arrive(10)
        stage.spawner.takes(old)
        stage.supervisor.scale(1)
        stage.boot_all()
        stage.pass_by(CHECK_SECONDS)

        order = process(old).orders[-1]
        assert (order.command, order.arguments) == (amp_commands.Release, {"count": 5})
        assert amp_commands.Release not in process(stage.newest).ordered

    def test_workers_stay(self, stages: Any) -> None:
        """Connections stay where they are, however unequal they have become."""
        stage = stages(workers=2)
        first, second = stage.serve()
        stage.pass_by(SETTLING_SECONDS + 1)
        stage.arrive(10)
        stage.spawner.takes(first)
        stage.spawner.takes(second)
        stage.spawner.closes(second, *process(second).lends)
        stage.pass_by(10)

        assert amp_commands.Release not in process(first).ordered


class TestMemory:
    def test_process_lives(self) -> None:
        """Ours has some, in bytes."""
        assert MIB < rss_of(os.getpid()) < 1 << 40

    def test_there_is_no_process(self) -> None:
        """It has none."""
        assert rss_of(2**22 + 1) == 0


class TestHearing:
    """Hearts beat all the while."""

    def test_connections_are_acknowledged(self, beating: Stage) -> None:
        """Nothing happens, however long they are held."""
        beating.arrive(3)
        for worker in beating.ready:
            beating.spawner.takes(worker)
        beating.pass_by(60)
        assert beating.states == {1: "ready", 2: "ready", 3: "ready"}
        assert [process(worker).signals for worker in beating.ready] == [[], [], []]

    def test_nothing_is_acknowledged(self, beating: Stage) -> None:
        """It is killed once, the log says why, another one boots, and the connection is lent again."""
        beating.arrive(1)
        (deaf,) = [worker for worker in beating.ready if worker.unacknowledged]
        beating.pass_by(DEAF_SECONDS)
        assert process(deaf).signals == []
        beating.pass_by(2 * CHECK_SECONDS)
        assert process(deaf).signals == [signal.SIGKILL]
        with capturedLogs() as logged:
            beating.spawner.exits(deaf)
        assert any("acknowledged no connection for 2." in text for text in texts(logged))
        assert len(beating.starting) == 1
        assert [worker.unacknowledged for worker in beating.ready if worker is not deaf].count(1) == 1

    def test_channel_breaks(self, beating: Stage) -> None:
        """A worker that is dying has a moment; one that lives on is killed."""
        broken = beating.ready[0]
        broken.channel_failed = beating.clock.seconds()
        beating.pass_by(GRACE_SECONDS)
        assert process(broken).signals == []
        beating.pass_by(2 * CHECK_SECONDS)
        assert process(broken).signals == [signal.SIGKILL]


class TestFull:
    def full(self, stage: Stage) -> Worker:
        """A worker has sent a connection back for want of a descriptor."""
        stage.arrive(1)
        (full,) = [worker for worker in stage.ready if worker.unacknowledged]
        stage.spawner.releases(full, *process(full).lends)
        return full

    def test_it_was_ready_for_long(self, beating: Stage) -> None:
        """It is replaced, and stays until its replacement is ready; nothing is lent to it."""
        beating.pass_by(SETTLED_SECONDS)
        with capturedLogs() as logged:
            full = self.full(beating)
            beating.pass_by(CHECK_SECONDS)
        assert beating.states == {1: "ready", 2: "ready", 3: "ready", 4: "starting"}
        assert full not in beating.dispatcher.workers
        assert len([text for text in texts(logged) if "is out of file descriptors" in text]) == 1
        beating.boot_all()
        assert full.state is WorkerState.DRAINING

    def test_it_got_ready_just_now(self, stages: Any) -> None:
        """It is not replaced at once: the next one may be as full."""
        stage: Stage = stages(workers=3, heartbeat_timeout=2.0)
        stage.serve()
        self.full(stage)
        stage.pass_by(SETTLED_SECONDS - CHECK_SECONDS)
        assert stage.starting == []
        stage.pass_by(2 * CHECK_SECONDS)
        assert len(stage.starting) == 1

    def test_its_heart_stood_still_meanwhile(self, beating: Stage) -> None:
        """A heart that beats again does not bring it back."""
        full = self.full(beating)
        beating.pass_by(1.75, [full])
        beating.pass_by(3 * CHECK_SECONDS)
        assert full not in beating.dispatcher.workers
        assert full.outdated is Outdated.FULL or full.state is not WorkerState.READY
