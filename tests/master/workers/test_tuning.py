"""The claims of twistcorn.master.workers.tuning: what `set` does to a fleet on a stage, and what a reload
leaves of it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.logger import capturedLogs

from tests.master.sockets.test_parking import park
from tests.master.stage import process, texts
from twistcorn.errors import OperationError, SettingsError
from twistcorn.master.control.operations import Operations
from twistcorn.origins import Sourced
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.settings import LIVE, OPTIONS, Settings, from_json
from twistcorn.syntax import Span
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Desk, Stage

NOT_LIVE = [option.name for option in OPTIONS if option.metadata["change"] != LIVE]


def told(worker: Worker) -> list[Settings]:
    """The settings that a worker was ordered to take, but for those it was booted with."""
    orders = [order for order in process(worker).orders if order.command is amp_commands.Configure]
    return [from_json(order.arguments["settings"]) for order in orders]


def change(stage: Stage, name: str, value: str) -> dict[str, str]:
    """An operator sets an option."""
    return stage.supervisor.tuning.set(name, value)


class TestSet:
    @pytest.mark.parametrize("name", ["keep-alive", "keep_alive", " keep_alive "])
    def test_counts_everywhere(self, stage: Stage, name: str) -> None:
        """In the master, in each worker, and with whoever asked to be told."""
        stage.serve()
        heard: list[Settings] = []
        stage.supervisor.on_configured.append(heard.append)

        assert change(stage, name, "5s") == {
            "name": "keep-alive", "value": "5s", "origin": "set", "change": "live",
        }  # fmt: skip
        assert stage.supervisor.settings.keep_alive == 5.0
        assert [[settings.keep_alive for settings in told(worker)] for worker in stage.ready] == [[5.0]] * 3
        assert heard == [stage.supervisor.settings]

    def test_worker_that_boots(self, stage: Stage) -> None:
        """It hears of it at once, and takes it when it is loaded; later ones boot with it."""
        stage.supervisor.start()
        first = stage.newest
        change(stage, "threads", "9")
        stage.boot_all()

        assert [settings.threads for settings in told(first)] == [9]
        assert told(stage.newest) == []
        assert from_json(process(stage.newest).orders[0].arguments["settings"]).threads == 9

    @pytest.mark.parametrize("name", NOT_LIVE)
    def test_option_that_is_not_live(self, stage: Stage, name: str) -> None:
        """What to do instead is said, and nothing changed."""
        stage.serve()
        instead = r"needs a (reload|restart): change it .*, and (reload|restart the server)$"
        with pytest.raises(OperationError, match=instead):
            change(stage, name, "1")

        assert stage.supervisor.settings == stage.settings
        assert told(stage.ready[0]) == []

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [("nothing", "1", OperationError), ("threads", "0", SettingsError), ("keep_alive", "", SettingsError)],
    )
    def test_refused(self, stage: Stage, name: str, value: str, error: type[Exception]) -> None:
        """Nothing changed, and nobody is told."""
        stage.serve()
        stage.supervisor.on_configured.append(lambda settings: pytest.fail("nothing changed"))
        with pytest.raises(error):
            change(stage, name, value)

        assert stage.supervisor.settings == stage.settings
        assert {entry["origin"] for entry in stage.supervisor.tuning.get()} == {"default"}

    def test_access_log_that_cannot_be_written(self, stage: Stage, tmp_path: Path) -> None:
        """The workers keep the one that they have."""
        stage.serve()
        for path in (tmp_path, tmp_path / "no" / "log"):
            with pytest.raises(OperationError, match=r"^cannot open the access log"):
                change(stage, "access_log", str(path))

        assert stage.supervisor.settings == stage.settings
        assert told(stage.ready[0]) == []
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "log", tmp_path / "pipe"):
            assert change(stage, "access_log", str(path))["value"] == str(path)

    @pytest.mark.parametrize(("present", "wanted"), [(1, "2"), (1, "2:4"), (2, "1")])
    def test_one_thread_is_another_way_of_working(self, stages: Any, present: int, wanted: str) -> None:
        """A worker does not change to or from it; a reload does."""
        stage = stages(threads=present)
        stage.serve()
        with pytest.raises(OperationError, match="reload"):
            change(stage, "threads", wanted)
        stage.write(threads=3 - present)
        stage.supervisor.reload()
        stage.boot_all()

        assert stage.supervisor.settings.threads == 3 - present

    def test_part_of_the_server_that_fails(self, stage: Stage) -> None:
        """The others hear of it all the same."""
        heard: list[Settings] = []
        stage.supervisor.on_configured += [lambda settings: 1 / 0, heard.append]
        stage.serve()
        with capturedLogs() as logged:
            change(stage, "slow", "1s")

        assert len(heard) == 1
        assert "internal error while applying settings" in texts(logged)[0]

    def test_while_the_server_stops(self, stage: Stage) -> None:
        """It is refused."""
        stage.serve()
        stage.supervisor.stop(quick=False)
        with pytest.raises(OperationError, match="stopping"):
            Operations(stage.supervisor, cast(Any, None)).set("threads", "9")


class TestGet:
    def test_all(self, stage: Stage) -> None:
        """Every option is there, and one by its name."""
        operations = Operations(stage.supervisor, cast(Any, None))

        assert [entry["name"].replace("-", "_") for entry in operations.get()] == [option.name for option in OPTIONS]
        assert operations.get("keep-alive") == operations.get("keep_alive")
        with pytest.raises(OperationError, match="unknown setting 'nothing'"):
            operations.get("nothing")


class TestWorkers:
    def test_number(self, stage: Stage) -> None:
        """As many boot, or drain."""
        stage.serve()
        change(stage, "workers", "5")
        stage.boot_all()
        assert len(stage.ready) == 5

        change(stage, "workers", "2")
        assert len(stage.ready) == 2

    def test_number_that_was_changed_by_hand(self, stage: Stage) -> None:
        """What is set counts, also when it is what the settings said all the time."""
        stage.serve()
        stage.supervisor.scale(2)
        change(stage, "workers", "3")

        assert stage.supervisor.target == 3

    def test_bounds(self, stage: Stage) -> None:
        """The present number goes on if it may; one by hand stays within."""
        stage.serve()
        assert change(stage, "workers", "2:4")["value"] == "2:4"
        assert stage.supervisor.target == 3
        stage.supervisor.scale(9)
        assert stage.supervisor.target == 4

        change(stage, "workers", "5:6")
        assert stage.supervisor.target == 5


class TestTime:
    def test_boot_is_under_way(self, stage: Stage) -> None:
        """It counts from when the worker began."""
        stage.supervisor.start()
        stage.clock.advance(20)
        change(stage, "boot_timeout", "30s")
        stage.clock.advance(9)
        assert process(stage.newest).signals == []

        stage.clock.advance(2)
        assert process(stage.newest).signals == [signal.SIGKILL]

    def test_boot_takes_too_long_already(self, stage: Stage) -> None:
        """It is ended at once."""
        stage.supervisor.start()
        stage.clock.advance(20)
        change(stage, "boot_timeout", "5s")
        stage.clock.advance(0)

        assert process(stage.newest).signals == [signal.SIGKILL]

    @pytest.mark.parametrize(("before", "after"), [(0.0, "10"), (10.0, "0")])
    def test_no_limit(self, stages: Any, before: float, after: str) -> None:
        """There may be one from now on, or none any more."""
        stage = stages(boot_timeout=before)
        stage.supervisor.start()
        change(stage, "boot_timeout", after)
        stage.clock.advance(11)

        assert bool(process(stage.newest).signals) is (after != "0")

    def test_drain_is_under_way(self, stage: Stage) -> None:
        """Those that leave have the new time."""
        worker = stage.serve()[0]
        stage.supervisor.fleet.drain(worker)
        assert worker.state is WorkerState.DRAINING
        change(stage, "graceful_timeout", "2")
        stage.clock.advance(2.1)

        assert process(worker).signals == [signal.SIGKILL]

    def test_hearts_beat_for_the_old_time(self, stages: Any) -> None:
        """A shorter time-out begins to count when it is set: nobody is killed for having known another one."""
        stage = stages(heartbeat_timeout=60.0)
        stage.serve()
        stage.pass_by(1)
        quiet = stage.ready[0]
        stage.pass_by(1, without=[quiet])
        change(stage, "heartbeat_timeout", "1")
        stage.pass_by(0.5, without=[quiet])
        stage.pass_by(5)

        assert stage.states == {1: "ready", 2: "ready", 3: "ready"}

    def test_parked_connections(self, desk: Desk) -> None:
        """They have the new time as well."""
        park(desk, left=3.0)
        desk.dispatcher.configure(Settings(keep_alive=desk.settings.keep_alive - 5))
        desk.clock.advance(1)
        assert len(desk.dispatcher.parking) == 0

        park(desk, left=3.0)
        desk.dispatcher.configure(Settings(keep_alive=desk.settings.keep_alive + 1e6 - 5))
        desk.clock.advance(1)
        assert len(desk.dispatcher.parking) == 1
        assert time.monotonic() > 0


class TestReload:
    def test_what_was_set_stays(self, stage: Stage) -> None:
        """It is stronger than what a reload reads, again and again; the rest is taken from there."""
        stage.serve()
        change(stage, "threads", "9")
        for keep_alive in (5.0, 6.0):
            stage.write(threads=7, keep_alive=keep_alive)
            stage.supervisor.reload()
            stage.boot_all()

            assert (stage.supervisor.settings.threads, stage.supervisor.settings.keep_alive) == (9, keep_alive)
        entries = {entry["name"]: entry["origin"] for entry in stage.supervisor.tuning.get()}
        assert (entries["threads"], entries["keep-alive"], entries["replay"]) == ("set", "code", "default")

    def test_while_the_first_new_worker_boots(self, stage: Stage) -> None:
        """The old ones take it now; the new one has it beside what the reload read, which counts when it is ready."""
        old = stage.serve()[0]
        stage.write(keep_alive=5.0)
        stage.supervisor.reload()
        new = stage.newest
        change(stage, "threads", "9")

        assert [(settings.threads, settings.keep_alive) for settings in told(old)] == [(9, 75.0)]
        assert [(settings.threads, settings.keep_alive) for settings in told(new)] == [(9, 5.0)]
        stage.boot_all()
        assert (stage.supervisor.settings.threads, stage.supervisor.settings.keep_alive) == (9, 5.0)

    def test_strategy_of_a_reload_that_is_under_way(self, stages: Any) -> None:
        """It goes on as it began: a generation that waits for all of its own is not left waiting."""
        stage = stages(reload_strategy="together")
        stage.serve()
        stage.supervisor.reload()
        stage.spawner.ready(stage.starting[0])
        change(stage, "reload_strategy", "rolling")
        stage.boot_all()

        assert stage.generations == {2: "ready ready ready"}
        assert len(stage.dispatcher.workers) == 3

    def test_whoever_asked_is_told(self, stage: Stage) -> None:
        """When the new settings count, and not before."""
        heard: list[Settings] = []
        stage.supervisor.on_configured.append(heard.append)
        stage.serve()
        stage.write(slow=1.0)
        stage.supervisor.reload()
        assert heard == []

        stage.boot_all()
        assert [settings.slow for settings in heard] == [1.0]

    def test_reload_that_fails(self, stage: Stage) -> None:
        """What it read is forgotten, with where it came from."""
        stage.serve()
        stage.write(threads=7)
        stage.supervisor.reload()
        stage.fails(stage.newest)

        assert stage.supervisor.tuning.get("threads")[0]["origin"] == "default"

    def test_option_that_waits_for_a_restart(self, stage: Stage) -> None:
        """What is told of it is what counts."""
        stage.serve()
        stage.supervisor._read = lambda: Sourced(Settings(backlog=9), {"backlog": "file"})
        stage.supervisor.reload()
        stage.boot_all()

        entry = stage.supervisor.tuning.get("backlog")[0]
        assert (entry["value"], entry["origin"]) == ("2048", "default")


class TestGetAfterScaling:
    def test_number_that_was_scaled(self, stage: Stage) -> None:
        """`get workers` is the target, whatever changed it, until a reload brings another number."""
        stage.serve()
        tuning = stage.supervisor.tuning
        assert [tuning.get("workers")[0][each] for each in ("value", "origin")] == ["3", "default"]
        for difference, value in ((2, "5"), (-1, "4")):
            stage.supervisor.scale(difference)
            assert [tuning.get("workers")[0][each] for each in ("value", "origin")] == [value, "scale"]

        stage.supervisor.reload()
        stage.boot_all()
        assert tuning.get("workers")[0]["value"] == "4"
        stage.write(workers=2)
        stage.supervisor.reload()
        stage.boot_all()
        assert (tuning.get("workers")[0]["value"], stage.supervisor.target) == ("2", 2)

    def test_number_within_a_range(self, stages: Any) -> None:
        """The setting is the range; the present number is next to it."""
        stage = stages(workers=2, workers_bounds=Span(2, 8))
        stage.serve()
        stage.supervisor.scale(3)

        assert stage.supervisor.tuning.get("workers")[0] == {
            "name": "workers", "value": "2:8", "origin": "default", "change": "live", "now": "5",
        }  # fmt: skip
