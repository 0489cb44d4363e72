"""The claims of twistcorn.master.workers.supervisor about a reload: one new worker first, then the rest,
never too few.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import process, texts
from twistcorn.policy.worker import WorkerState
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


class TestReload:
    def test_it_begins(self, stage: Stage) -> None:
        """One new worker boots, alone; everybody else serves."""
        stage.serve()
        stage.supervisor.reload()

        assert stage.generations == {1: "ready ready ready", 2: "starting"}
        assert process(stage.newest).orders[0].arguments["generation"] == 2

    def test_first_new_worker_boots_for_long(self, stage: Stage) -> None:
        """Nothing else happens until it is ready."""
        stage.serve()
        stage.supervisor.reload()
        stage.clock.advance(59)

        assert stage.generations == {1: "ready ready ready", 2: "starting"}

    def test_first_new_worker_is_ready(self, stage: Stage) -> None:
        """The oldest worker drains in its place, and the next new one boots."""
        oldest = stage.serve()[0]
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)

        assert stage.generations == {1: "ready ready", 2: "ready starting"}
        assert process(oldest).ordered == [amp_commands.Boot, amp_commands.Drain]

    def test_it_ends(self, stage: Stage) -> None:
        """All old workers drain; as many new ones serve as before."""
        old = stage.serve()
        stage.supervisor.reload()
        with capturedLogs() as logged:
            stage.boot_all()

        assert stage.generations == {2: "ready ready ready"}
        assert [worker.state for worker in old] == [WorkerState.DRAINING] * 3
        assert "reload complete: generation 2 is serving" in texts(logged)

        for worker in old:
            stage.spawner.exits(worker)
        assert stage.states == {4: "ready", 5: "ready", 6: "ready"}

    def test_only_one_worker(self, stages: Any) -> None:
        """The new one serves before the old one goes."""
        stage = stages(workers=1)
        stage.serve()
        stage.supervisor.reload()
        assert stage.states == {1: "ready", 2: "starting"}

        stage.boot_all()
        assert stage.states == {1: "draining", 2: "ready"}

    def test_large_pool(self, stages: Any) -> None:
        """After the first, a quarter of the pool boots at a time."""
        stage = stages(workers=12)
        stage.serve()
        stage.supervisor.reload()
        crowd = []
        while stage.starting:
            crowd.append(len(stage.starting))
            stage.spawner.ready(stage.starting[0])

        assert max(crowd) == 3
        assert stage.generations == {2: " ".join(["ready"] * 12)}

    def test_another_reload_follows(self, stage: Stage) -> None:
        """Each reload is a generation of its own."""
        stage.serve()
        for _ in range(3):
            stage.supervisor.reload()
            stage.boot_all()

        assert stage.generations == {4: "ready ready ready"}


class TestFirstNewWorkerFails:
    def test_it_cannot_load_the_application(self, stage: Stage) -> None:
        """The reload cancelled, the old workers serve, and the log says what is wrong."""
        stage.serve()
        stage.supervisor.reload()
        with capturedLogs() as logged:
            stage.fails(stage.newest)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready"}
        assert any("syntax error in app.py" in text for text in texts(logged))
        assert any(text.startswith("reload cancelled") for text in texts(logged))

    def test_it_does_not_get_ready_in_time(self, stage: Stage) -> None:
        """It is killed, and then the reload cancelled."""
        stage.serve()
        stage.supervisor.reload()
        stage.clock.advance(60)
        assert process(stage.newest).signals == [signal.SIGKILL]

        stage.spawner.exits(stage.newest)
        assert stage.states == {1: "ready", 2: "ready", 3: "ready"}

    def test_time_passes(self, stage: Stage) -> None:
        """The failed code is not tried again by itself."""
        stage.serve()
        stage.supervisor.reload()
        stage.fails(stage.newest)
        stage.clock.advance(3600)

        assert len(stage.spawner.spawned) == 4

    def test_code_is_mended(self, stage: Stage) -> None:
        """The next reload goes through."""
        stage.serve()
        stage.supervisor.reload()
        stage.fails(stage.newest)
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {2: "ready ready ready"}

    def test_old_worker_died_meanwhile(self, stage: Stage) -> None:
        """When the reload cancelled, the missing one is replaced."""
        stage.serve()
        stage.supervisor.reload()
        canary = stage.newest
        stage.spawner.exits(stage.ready[0], signal=signal.SIGSEGV)
        stage.fails(canary)

        assert stage.generations == {1: "ready ready starting"}


class TestLaterNewWorkerFails:
    def test_second_new_worker_cannot_boot(self, stage: Stage) -> None:
        """The code boots, as the first one showed: it is tried again after the back-off, until the reload is done."""
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        stage.fails(stage.newest)
        assert stage.generations == {1: "ready ready", 2: "ready waiting"}

        stage.clock.advance(0.5)
        stage.boot_all()
        assert stage.generations == {2: "ready ready ready"}

    def test_first_new_worker_is_killed_after_it_was_ready(self, stage: Stage) -> None:
        """That is a death like any other, no failed boot: it is replaced, and the reload goes on."""
        stage.serve()
        stage.supervisor.reload()
        canary = stage.newest
        stage.spawner.ready(canary)
        with capturedLogs() as logged:
            stage.spawner.exits(canary, signal=signal.SIGKILL)
        assert not any("does not boot" in text for text in texts(logged))

        stage.boot_all()
        assert stage.generations == {2: "ready ready ready"}


class TestOldWorkers:
    def test_one_dies_after_the_first_new_one_is_ready(self, stage: Stage) -> None:
        """The new worker that boots already takes its place: no old one goes for it."""
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        stage.spawner.exits(stage.ready[0], signal=signal.SIGSEGV)
        assert stage.generations == {1: "ready", 2: "ready starting"}

        stage.spawner.ready(stage.newest)
        assert stage.generations == {1: "ready", 2: "ready ready starting"}

    def test_all_die_after_the_first_new_one_is_ready(self, stage: Stage) -> None:
        """All of them are replaced at once, without waiting for their turn."""
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        for worker in [worker for worker in stage.ready if worker.generation == 1]:
            stage.spawner.exits(worker, signal=signal.SIGSEGV)

        assert stage.generations == {2: "ready starting starting"}

    def test_one_waits_for_its_back_off(self, stages: Any) -> None:
        """One that does not serve goes before one that does: the reload costs no capacity."""
        stage = stages(workers=2)
        stage.serve()
        stage.spawner.exits(stage.ready[1], code=1)
        stage.fails(stage.newest)
        assert stage.generations == {1: "ready waiting"}

        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        assert stage.generations == {1: "ready", 2: "ready starting"}

    def test_they_boot_still(self, stage: Stage) -> None:
        """A reload that was asked for during the first boot retires those that boot before the one that serves."""
        stage.supervisor.start()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        assert stage.generations == {1: "ready starting starting", 2: "starting"}

        stage.spawner.ready(stage.newest)
        assert len(stage.ready) == 2, "the first of the old and the first of the new serve"


class TestAskedForAgain:
    def test_during_the_first_boot(self, stage: Stage) -> None:
        """It is remembered: code that changed while the first worker booted is loaded."""
        stage.supervisor.start()
        stage.supervisor.reload()
        assert stage.states == {1: "starting"}

        stage.boot_all()
        assert stage.generations == {2: "ready ready ready"}

    def test_during_a_reload(self, stage: Stage) -> None:
        """A second one follows the first, because the code may have changed in between."""
        stage.serve()
        stage.supervisor.reload()
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {3: "ready ready ready"}

    def test_many_times_during_a_reload(self, stage: Stage) -> None:
        """One that follows is enough for all."""
        stage.serve()
        stage.supervisor.reload()
        for _ in range(5):
            stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {3: "ready ready ready"}

    def test_first_reload_fails(self, stage: Stage) -> None:
        """The remembered one begins at once: the code may have been mended."""
        stage.serve()
        stage.supervisor.reload()
        stage.supervisor.reload()
        stage.fails(stage.newest)
        assert stage.generations == {1: "ready ready ready", 2: "starting"}

        stage.boot_all()
        assert stage.generations == {2: "ready ready ready"}

    def test_first_reload_ends_because_fewer_are_wanted(self, stages: Any) -> None:
        """The remembered one begins then."""
        stage = stages(workers=2)
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        stage.supervisor.reload()
        stage.supervisor.scale(-1)
        stage.boot_all()

        assert stage.generations == {3: "ready"}

    def test_server_stops(self, stage: Stage) -> None:
        """Nothing is reloaded any more."""
        stage.serve()
        stage.supervisor.stop(quick=False)
        stage.supervisor.reload()

        assert len(stage.spawner.spawned) == 3


class TestScaleDuringReload:
    @pytest.mark.parametrize("difference", [-2, -1, 1, 2])
    def test_target_changes(self, stage: Stage, difference: int) -> None:
        """The reload ends with the number that is wanted then."""
        stage.serve()
        stage.supervisor.reload()
        stage.supervisor.scale(difference)
        assert len(stage.ready) >= min(3, 3 + difference)

        stage.boot_all()
        assert stage.generations == {2: " ".join(["ready"] * (3 + difference))}
