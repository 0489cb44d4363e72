"""The claims of twistcorn.master.workers.fleet: workers are replaced before they go, at a pace, and settings
with the code.
"""

from __future__ import annotations

import errno
import signal
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import process, texts
from twistcorn.errors import SettingsError
from twistcorn.policy.worker import Outdated, Worker, WorkerState
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


def outdate(stage: Stage, reason: Outdated, *workers: Worker) -> None:
    """Something is wrong with these workers."""
    for worker in workers:
        stage.supervisor.fleet.outdate(worker, reason)


def booted_with(worker: Worker) -> str:
    """The settings that a worker was ordered to boot with."""
    text: bytes = process(worker).orders[0].arguments["settings"]
    return text.decode()


class TestReplacement:
    def test_it_begins(self, stage: Stage) -> None:
        """The new worker boots, and the old one serves meanwhile."""
        old = stage.serve()[0]
        outdate(stage, Outdated.SPENT, old)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "starting"}
        assert old in stage.dispatcher.workers

    def test_it_ends(self, stage: Stage) -> None:
        """When the new one is ready the old one drains, and nothing else happens."""
        old = stage.serve()[0]
        outdate(stage, Outdated.SPENT, old)
        stage.boot_all()

        assert stage.states == {1: "draining", 2: "ready", 3: "ready", 4: "ready"}
        assert process(old).ordered == [amp_commands.Boot, amp_commands.Drain]

    @pytest.mark.parametrize(("workers", "crowd"), [(1, 1), (3, 1), (12, 3)])
    def test_all_are_due_at_once(self, stages: Any, workers: int, crowd: int) -> None:
        """Never more than a quarter, or one, boot at a time, and as many as wanted serve all the while."""
        stage = stages(workers=workers)
        outdate(stage, Outdated.SPENT, *stage.serve())
        booting = []
        while stage.starting:
            booting.append(len(stage.starting))
            stage.spawner.ready(stage.starting[0])
            assert len(stage.ready) >= workers

        assert max(booting) == crowd
        assert [worker.ident for worker in stage.ready] == list(range(workers + 1, 2 * workers + 1))

    def test_old_worker_dies_meanwhile(self, stage: Stage) -> None:
        """The one that boots already takes its place."""
        old = stage.serve()[0]
        outdate(stage, Outdated.SPENT, old)
        stage.spawner.exits(old, signal=signal.SIGKILL)
        stage.boot_all()

        assert stage.states == {2: "ready", 3: "ready", 4: "ready"}

    def test_several_reasons(self, stages: Any) -> None:
        """Who shows no life goes first, then who has a stuck request."""
        stage = stages(workers=3)
        spent, stuck, frozen = stage.serve()
        outdate(stage, Outdated.SPENT, spent)
        outdate(stage, Outdated.STUCK, stuck)
        outdate(stage, Outdated.FROZEN, frozen)
        gone = []
        while stage.starting:
            stage.spawner.ready(stage.starting[0])
            gone.append([each for each in (spent, stuck, frozen) if each not in stage.supervisor.fleet.pool.processes])

        assert gone == [[frozen], [stuck, frozen], [spent, stuck, frozen]]

    def test_frozen_worker_is_replaced(self, stage: Stage) -> None:
        """Its replacement takes its place; it is ordered nothing, and may live again until it is killed."""
        old = stage.serve()[0]
        outdate(stage, Outdated.FROZEN, old)
        stage.boot_all()
        assert (process(old).signals, process(old).ordered) == ([], [amp_commands.Boot])

        stage.supervisor.fleet.kill(old, "unresponsive")
        assert process(old).signals == [signal.SIGKILL]
        assert len(stage.ready) == 3

    def test_fewer_are_wanted_meanwhile(self, stage: Stage) -> None:
        """The one that is outdated goes, and the one that boots is not needed."""
        old = stage.serve()[1]
        outdate(stage, Outdated.SPENT, old)
        stage.supervisor.scale(-1)
        stage.boot_all()

        assert len(stage.ready) == 2
        assert old.state is WorkerState.DRAINING

    def test_server_stops(self, stage: Stage) -> None:
        """Nobody is replaced any more."""
        old = stage.serve()[0]
        stage.supervisor.stop(quick=False)
        outdate(stage, Outdated.STUCK, old)

        assert len(stage.spawner.spawned) == 3


class TestPardon:
    def test_replacement_boots_still(self, stage: Stage) -> None:
        """It is not needed any more."""
        old = stage.serve()[0]
        outdate(stage, Outdated.FROZEN, old)
        stage.supervisor.fleet.pardon(old)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "stopping"}
        assert old.outdated is None

    def test_something_else_is_wrong(self, stage: Stage) -> None:
        """It lives again, and cannot end a request all the same: it is replaced."""
        old = stage.serve()[0]
        stage.spawner.sticks(old, {0: 1})
        outdate(stage, Outdated.FROZEN, old)
        stage.supervisor.fleet.pardon(old)
        stage.boot_all()

        assert old.state is WorkerState.DRAINING


class TestReplacementDoesNotBoot:
    def test_worker_has_served_its_time(self, stages: Any) -> None:
        """It serves on, recycling pauses, and the log says so once."""
        stage = stages(workers=3, max_requests=100)
        old = stage.serve()[0]
        with capturedLogs() as logged:
            outdate(stage, Outdated.SPENT, old)
            stage.fails(stage.newest)
            outdate(stage, Outdated.SPENT, *stage.ready)
            stage.clock.advance(60)

        paused = "a replacement worker failed to boot: recycling paused until a worker boots"
        assert texts(logged).count(paused) == 1
        assert stage.states == {1: "ready", 2: "ready", 3: "ready"}

    def test_worker_boots_again(self, stages: Any) -> None:
        """Any that does shows that the code is mended: recycling goes on."""
        stage = stages(workers=3, max_requests=100)
        old = stage.serve()[0]
        outdate(stage, Outdated.SPENT, old)
        stage.fails(stage.newest)
        stage.spawner.exits(stage.ready[2], signal=signal.SIGKILL)
        stage.boot_all()
        outdate(stage, Outdated.SPENT, old)
        stage.boot_all()

        assert old.state is WorkerState.DRAINING

    def test_worker_has_a_stuck_request(self, stage: Stage) -> None:
        """It serves on until a replacement boots, also while recycling pauses."""
        old = stage.serve()[0]
        outdate(stage, Outdated.STUCK, old)
        stage.fails(stage.newest)
        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "waiting"}

        stage.clock.advance(0.5)
        stage.boot_all()
        assert old.state is WorkerState.DRAINING


class TestSettings:
    def test_they_are_not_valid(self, stage: Stage) -> None:
        """Nothing is changed and nobody is started; the log and the caller hear why."""
        stage.serve()
        stage.written = SettingsError("invalid value 'many' for --workers: expected auto or a whole number")
        told: list[str] = []
        with capturedLogs() as logged:
            stage.supervisor.reload().addCallback(told.append)

        assert told == [str(stage.written)]
        assert texts(logged) == [f"reload cancelled: {stage.written}; nothing changed"]
        assert (stage.generations, stage.supervisor.settings) == ({1: "ready ready ready"}, stage.settings)

    def test_they_are_mended(self, stage: Stage) -> None:
        """The next reload goes through."""
        stage.serve()
        stage.written = SettingsError("no")
        stage.supervisor.reload()
        stage.write(threads=9)
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {2: "ready ready ready"}

    def test_first_new_worker_boots(self, stage: Stage) -> None:
        """It has the new settings; those of the server are still the old ones."""
        stage.serve()
        stage.write(workers=5, threads=9)
        stage.supervisor.reload()

        assert '"threads": 9' in booted_with(stage.newest)
        assert (stage.supervisor.settings.threads, stage.supervisor.target) == (stage.settings.threads, 3)

    def test_first_new_worker_is_ready(self, stage: Stage) -> None:
        """From then on they count, the number of workers too."""
        stage.serve()
        stage.write(workers=5, threads=9)
        stage.supervisor.reload()
        stage.boot_all()

        assert (stage.supervisor.settings.threads, stage.supervisor.target) == (9, 5)
        assert stage.generations == {2: "ready ready ready ready ready"}

    def test_first_new_worker_fails(self, stage: Stage) -> None:
        """They never counted: whoever is started next has the old ones."""
        stage.serve()
        stage.write(workers=5, threads=9)
        stage.supervisor.reload()
        stage.fails(stage.newest)
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)

        assert '"threads": 9' not in booted_with(stage.newest)
        assert stage.supervisor.target == 3

    def test_number_was_changed_by_a_signal(self, stage: Stage) -> None:
        """It stays, unless the number in the settings changed."""
        stage.serve()
        stage.supervisor.scale(1)
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {2: "ready ready ready ready"}

    def test_only_a_restart_changes_some(self, stage: Stage) -> None:
        """The log says which, and all others are taken."""
        stage.serve()
        stage.write(listen=("tcp:9",), threads=9)
        with capturedLogs() as logged:
            stage.supervisor.reload()
            stage.boot_all()

        assert "--listen changed: not applied, needs a restart" in texts(logged)
        assert (stage.supervisor.settings.threads, stage.supervisor.settings.listen) == (9, stage.settings.listen)


def test_no_process_is_to_be_had_for_the_first_new_worker(stage: Stage) -> None:
    """The reload cancelled, and what is said of it is not the application's fault."""
    stage.serve()
    stage.spawner.error = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    told: list[str] = []
    stage.supervisor.reload().addCallback(told.append)
    stage.clock.advance(0)
    stage.spawner.error = None

    assert told == ["cannot start a worker process: Resource temporarily unavailable"]
    assert stage.generations == {1: "ready ready ready"}
