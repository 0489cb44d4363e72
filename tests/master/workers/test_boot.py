"""The claims of twistcorn.master.workers.supervisor about booting: the first worker, the others, and what
they are told.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from twisted.logger import capturedLogs, formatEvent

from tests.master.stage import process
from twistcorn import __version__
from twistcorn.errors import EXIT_BOOT
from twistcorn.policy.worker import WorkerState
from twistcorn.settings import from_json
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


class TestFirstBoot:
    def test_server_starts(self, stage: Stage) -> None:
        """One worker boots alone: an application that cannot be loaded fails once, not three times."""
        stage.supervisor.start()

        assert stage.states == {1: "starting"}
        assert stage.readies == 0

    def test_first_worker_is_ready(self, stage: Stage) -> None:
        """Serving begins, and the others boot, all at once."""
        stage.supervisor.start()
        stage.spawner.ready(stage.newest)

        assert stage.states == {1: "ready", 2: "starting", 3: "starting"}
        assert stage.readies == 1
        assert stage.dispatcher.workers == [stage.spawner.spawned[0]]

    def test_all_are_ready(self, stage: Stage) -> None:
        """Every worker takes part; that serving began is told once."""
        stage.serve()

        assert stage.states == {1: "ready", 2: "ready", 3: "ready"}
        assert stage.dispatcher.workers == stage.ready
        assert stage.readies == 1

    def test_application_cannot_be_loaded(self, stage: Stage) -> None:
        """It is fatal, once, with what the worker said and the exit code of a failed boot."""
        stage.supervisor.start()
        stage.spawner.boot_fails(stage.newest, "no module named 'shop'")
        assert stage.fatal == []

        stage.spawner.exits(stage.newest)

        assert [str(error) for error in stage.fatal] == ["no module named 'shop'"]
        assert stage.fatal[0].exit_code == EXIT_BOOT

    def test_first_worker_dies_without_a_word(self, stage: Stage) -> None:
        """It is fatal as well, and says what is known: who, and by what."""
        stage.supervisor.start()
        pid = stage.newest.pid
        stage.spawner.exits(stage.newest, signal=signal.SIGSEGV)

        assert [str(e) for e in stage.fatal] == [f"worker 1 (pid {pid}) died while booting: SIGSEGV"]

    def test_time_passes_after_a_fatal_boot(self, stage: Stage) -> None:
        """No other attempt follows: whoever was told ends the service."""
        stage.supervisor.start()
        stage.spawner.exits(stage.newest, code=1)
        stage.clock.advance(3600)

        assert len(stage.spawner.spawned) == 1
        assert len(stage.fatal) == 1

    def test_first_worker_takes_too_long(self, stages: Any) -> None:
        """It is killed when the boot time-out is over, and not before; the message says why."""
        stage = stages(boot_timeout=20.0)
        stage.supervisor.start()
        stage.clock.advance(19.9)
        assert process(stage.newest).signals == []

        stage.clock.advance(0.2)
        assert process(stage.newest).signals == [signal.SIGKILL]

        stage.spawner.exits(stage.newest)
        assert "was killed: app not imported within --boot-timeout 20 s" in str(stage.fatal[0])

    def test_worker_that_cannot_boot_does_not_leave(self, stages: Any) -> None:
        """Its boot timer still runs, and its own message is the one that is told."""
        stage = stages(boot_timeout=20.0)
        stage.supervisor.start()
        stage.spawner.boot_fails(stage.newest, "cannot import name 'app'")
        stage.clock.advance(20)
        stage.spawner.exits(stage.newest)

        assert [str(error) for error in stage.fatal] == ["cannot import name 'app'"]

    def test_ready_worker_is_old(self, stages: Any) -> None:
        """The boot timer ends with the boot."""
        stage = stages(workers=1, boot_timeout=20.0)
        (worker,) = stage.serve()
        stage.clock.advance(10_000)

        assert process(worker).signals == []


class TestLaterBoot:
    def test_second_worker_cannot_boot(self, stage: Stage) -> None:
        """Nothing is fatal any more: the others serve, and the log has its message."""
        stage.supervisor.start()
        stage.spawner.ready(stage.newest)
        stage.spawner.boot_fails(stage.newest, "the database is away")
        with capturedLogs() as logged:
            stage.spawner.exits(stage.newest)

        assert stage.states == {1: "ready", 2: "starting", 3: "waiting"}
        assert stage.fatal == []
        assert any("failed to boot: the database is away" in str(formatEvent(event)) for event in logged)

    def test_all_others_die_before_they_are_ready(self, stage: Stage) -> None:
        """The first goes on serving alone; the others are tried again for as long as it takes."""
        stage.supervisor.start()
        stage.spawner.ready(stage.newest)
        first = stage.ready[0]
        for _ in range(20):
            for booting in stage.starting:
                stage.spawner.exits(booting, code=1)
            stage.clock.advance(30)

        assert stage.ready == [first]
        assert len(stage.starting) == 2
        assert stage.fatal == []


class TestOrders:
    def test_worker_is_told_what_it_needs(self, stage: Stage) -> None:
        """Boot carries the settings, the listeners, its number, its region, and the size of the scoreboard."""
        stage.serve()
        worker = stage.spawner.spawned[1]
        (order,) = process(worker).orders

        assert order.command is amp_commands.Boot
        assert order.arguments.pop("version") == __version__
        assert from_json(order.arguments.pop("settings")) == stage.settings
        assert json.loads(order.arguments.pop("listeners")) == [[2, "127.0.0.1", 8000]]
        assert order.arguments == {
            "worker": 2,
            "region": 1,
            "generation": 1,
            "workers": stage.board.workers,
            "slots": stage.board.slots,
        }

    def test_region_was_used_before(self, stage: Stage) -> None:
        """A worker finds its region of the scoreboard empty, whoever had it before."""
        old = stage.serve()[1]
        stage.busy(old, 7)
        stage.spawner.exits(old, signal=signal.SIGKILL)

        assert stage.newest.region == old.region
        assert stage.board.words[stage.board.worker_base(old.region)] == 0
        assert not any(stage.board.data[stage.board.worker_base(old.region) * 8 :][:512])

    def test_logs_are_rotated(self, stage: Stage) -> None:
        """Every worker is told, also one that boots or drains."""
        first, second, third = stage.serve()
        stage.spawner.leaves(second)
        stage.spawner.exits(third, code=1)
        stage.supervisor.reopen_logs()

        assert [process(worker).ordered[-1] for worker in (first, second, *stage.starting)] == [amp_commands.Reopen] * 4

    def test_worker_is_gone_before_it_is_told(self, stage: Stage) -> None:
        """An order to a process that is dead and not replaced yet is lost, and no error."""
        stage.serve()
        worker = stage.ready[0]
        stage.spawner.exits(worker, code=1)
        stage.spawner.exits(stage.newest, code=1)
        assert worker.state is WorkerState.GONE
        assert stage.newest.state is WorkerState.WAITING

        stage.supervisor.reopen_logs()
        assert [order.command for order in process(stage.newest).lost] == [amp_commands.Reopen]
