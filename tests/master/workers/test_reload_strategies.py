"""The claims of twistcorn.master about reloads: their strategies, their end, and who hears of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.master.stage import process
from twistcorn.errors import SettingsError
from twistcorn.policy.worker import Outdated, WorkerState
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


def serving(stage: Stage) -> set[int]:
    """The generations that connections are lent to."""
    return {worker.generation for worker in stage.dispatcher.workers}


class TestTogether:
    @pytest.fixture
    def stage(self, stages: Any) -> Stage:
        made: Stage = stages(workers=4, reload_strategy="together")
        made.serve()
        made.supervisor.reload()
        return made

    def test_first_new_worker_is_ready(self, stage: Stage) -> None:
        """All others boot beside the old ones, and it gets no connection yet."""
        stage.spawner.ready(stage.newest)

        assert stage.generations == {1: "ready ready ready ready", 2: "ready starting starting starting"}
        assert serving(stage) == {1}

    def test_last_new_worker_is_ready(self, stage: Stage) -> None:
        """All new ones take over, and all old ones drain, in the same moment."""
        old = stage.ready
        for _ in range(4):
            assert serving(stage) == {1}
            stage.spawner.ready(stage.starting[0])

        assert stage.generations == {2: "ready ready ready ready"}
        assert serving(stage) == {2}
        assert all(process(worker).ordered[-1] is amp_commands.Drain for worker in old)

    def test_connection_arrives_meanwhile(self, stage: Stage) -> None:
        """The old code answers it."""
        stage.spawner.ready(stage.newest)
        (connection,) = stage.arrive(1)

        assert connection.holder is not None
        assert connection.holder.generation == 1

    def test_all_old_workers_die_meanwhile(self, stage: Stage) -> None:
        """Better a part of the new generation than nobody."""
        stage.spawner.ready(stage.newest)
        for worker in [worker for worker in stage.ready if worker.generation == 1]:
            stage.spawner.exits(worker, signal=signal.SIGKILL)

        assert serving(stage) == {2}
        stage.boot_all()
        assert stage.dispatcher.workers == stage.ready
        assert stage.generations == {2: "ready ready ready ready"}

    def test_new_worker_dies_meanwhile(self, stage: Stage) -> None:
        """It comes again, and the others wait for it."""
        stage.spawner.ready(stage.newest)
        stage.spawner.exits(stage.ready[-1], signal=signal.SIGKILL)
        assert serving(stage) == {1}

        stage.boot_all()
        assert (serving(stage), len(stage.dispatcher.workers)) == ({2}, 4)

    def test_first_new_worker_fails(self, stage: Stage) -> None:
        """The old generation goes on, and a worker that is replaced later takes connections at once."""
        stage.fails(stage.newest)
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)
        stage.boot_all()

        assert stage.dispatcher.workers == stage.ready

    def test_new_worker_has_reached_a_limit_already(self, stages: Any) -> None:
        """It has not served yet: nobody asks for its age, and no old one goes for it."""
        stage = stages(workers=2, reload_strategy="together", max_age=60.0, boot_timeout=600.0)
        stage.serve()
        stage.supervisor.reload()
        stage.pass_by(120)
        stage.spawner.ready(stage.newest)
        stage.pass_by(1)

        assert stage.ready[-1].outdated is None


class TestSingle:
    def test_large_pool(self, stages: Any) -> None:
        """One at a time, and an old one goes for each."""
        stage = stages(workers=12, reload_strategy="single")
        stage.serve()
        stage.supervisor.reload()
        while stage.starting:
            assert len(stage.starting) == 1
            stage.spawner.ready(stage.starting[0])
            assert len(stage.ready) == 12

        assert stage.generations == {2: " ".join(["ready"] * 12)}


class TestWhoHears:
    def test_it_went_through(self, stage: Stage) -> None:
        """Nothing is said, when the last old worker drains."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload().addCallback(told.append)
        stage.spawner.ready(stage.newest)
        assert told == []

        stage.boot_all()
        assert told == [""]

    def test_first_new_worker_failed(self, stage: Stage) -> None:
        """The reason is said."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload().addCallback(told.append)
        stage.fails(stage.newest)

        assert told == ["syntax error in app.py"]

    def test_each_hears_of_its_own(self, stage: Stage) -> None:
        """Who asked during a reload hears of the next one, that failed, and not of the first."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload().addCallback(lambda said: told.append(f"first: {said}"))
        stage.supervisor.reload().addCallback(lambda said: told.append(f"second: {said}"))
        while not told:
            stage.spawner.ready(stage.starting[0])
        stage.fails(stage.newest)

        assert told == ["first: ", "second: syntax error in app.py"]

    def test_settings_of_the_next_one_are_not_valid(self, stage: Stage) -> None:
        """They are read when it begins, and it ends at once; a later one can begin."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload()
        stage.supervisor.reload().addCallback(told.append)
        stage.written = SettingsError("no such option")
        stage.boot_all()
        assert (told, stage.generations) == (["no such option"], {2: "ready ready ready"})

        stage.write()
        stage.supervisor.reload()
        stage.boot_all()
        assert stage.generations == {3: "ready ready ready"}

    @pytest.mark.parametrize("quick", [True, False])
    def test_server_stops(self, stage: Stage, quick: bool) -> None:
        """Everybody hears so, once, also who asks then: the delay before the stop is a part of it."""
        stage.serve()
        told: list[str] = []
        for _ in range(2):
            stage.supervisor.reload().addCallback(told.append)
        stage.board.announce_stop()
        stage.supervisor.reload().addCallback(told.append)
        stage.supervisor.stop(quick)
        stage.supervisor.reload().addCallback(told.append)

        assert told == ["the server is stopping"] * 4

    def test_server_is_about_to_stop(self, stage: Stage) -> None:
        """The present reload goes on, as everything is served; what was remembered never begins."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload().addCallback(lambda problem: told.append(f"first {problem}"))
        stage.supervisor.reload().addCallback(lambda problem: told.append(f"second {problem}"))
        stage.board.announce_stop()
        stage.boot_all()

        assert sorted(told) == ["first ", "second the server is stopping"]
        assert stage.supervisor.fleet.generation == 2


class TestWithRecycling:
    def test_new_worker_has_served_its_time(self, stage: Stage) -> None:
        """The reload is over when no old code is left, whoever else is about to be replaced."""
        stage.serve()
        told: list[str] = []
        stage.supervisor.reload().addCallback(told.append)
        for _ in range(3):
            assert told == []
            stage.spawner.ready(stage.starting[0])
            first = next(worker for worker in stage.ready if worker.generation == 2)
            stage.supervisor.fleet.outdate(first, Outdated.SPENT)

        assert told == [""]
        stage.boot_all()
        assert stage.generations == {2: "ready ready ready"}

    def test_old_worker_was_about_to_be_replaced(self, stage: Stage) -> None:
        """The one that boots for it is one of the old generation, too."""
        old = stage.serve()[0]
        stage.supervisor.fleet.outdate(old, Outdated.SPENT)
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.generations == {2: "ready ready ready"}

    def test_old_code_goes_first(self, stage: Stage) -> None:
        """A new worker that has served its time is less in the way than one with the old code."""
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.newest)
        new = next(worker for worker in stage.ready if worker.generation == 2)
        stage.supervisor.fleet.outdate(new, Outdated.SPENT)
        stage.spawner.ready(stage.starting[0])

        assert new.state is WorkerState.READY


class TestStopFirst:
    @pytest.fixture
    def stage(self, stages: Any) -> Stage:
        made: Stage = stages(workers=2, reload_strategy="stop-first")
        made.serve()
        return made

    def test_reload(self, stage: Stage) -> None:
        """Nobody boots before the last old one is gone; a connection that arrives meanwhile waits, and is answered."""
        old = stage.ready
        stage.supervisor.reload()
        assert stage.starting == []
        (connection,) = stage.arrive(1)
        assert connection.holder is None

        stage.spawner.exits(old[0])
        assert stage.starting == []
        stage.spawner.exits(old[1])
        assert len(stage.starting) == 2
        stage.boot_all()
        assert connection.holder in stage.ready
        assert stage.generations == {2: "ready ready"}

    def test_first_new_worker_fails(self, stage: Stage) -> None:
        """The settings as before count, and workers are tried until they boot."""
        old = stage.ready
        over = stage.supervisor.reload()
        for worker in old:
            stage.spawner.exits(worker)
        stage.fails(stage.starting[0])
        assert over.called
        # The other new one was killed.
        for worker in list(stage.spawner.alive):
            stage.spawner.exits(worker, signal=signal.SIGKILL)
        stage.clock.advance(1)
        stage.boot_all()
        assert {worker.generation for worker in stage.ready} == {1}
        assert len(stage.ready) == 2

    def test_single_worker_is_replaced(self, stage: Stage) -> None:
        """It is gone before the other one boots."""
        spent = stage.ready[0]
        stage.supervisor.fleet.outdate(spent, Outdated.SPENT)
        assert stage.starting == []
        stage.spawner.exits(spent)
        stage.boot_all()
        assert len(stage.ready) == 2
        assert spent not in stage.ready

    def test_worker_crashes(self, stage: Stage) -> None:
        """It is replaced at once."""
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)
        assert len(stage.starting) == 1
