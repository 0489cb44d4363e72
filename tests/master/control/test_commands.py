"""The claims of twistcorn.master.control.commands: each command does what it says, or says why not and does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.master.reception import THREADS, Reception
from tests.master.stage import Stage, process
from twistcorn.errors import SettingsError
from twistcorn.master.control.commands import STACK_SECONDS, ControlCommands
from twistcorn.policy.worker import Outdated
from twistcorn.wire import amp_commands


@pytest.fixture
def reception(stage: Stage) -> Reception:
    """Three workers that serve."""
    stage.serve()
    return Reception(stage)


@pytest.mark.parametrize("command", ["status", "workers", "connections", "snapshot", "watch"])
def test_looking(reception: Reception, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is what `insight` returns."""
    monkeypatch.setattr("twistcorn.master.metrics.insight.rss_of", lambda pid: 1 << 20)
    assert reception.operations is not None
    look: Callable[[], Any] = getattr(reception.operations.insight, command.replace("watch", "snapshot"))

    assert reception.ask(command) == {"ok": True, "result": look()}


@pytest.mark.parametrize("command", ["status", "workers", "connections", "snapshot", "watch", "reload", "get"])
def test_nothing_is_there_yet(reception: Reception, command: str) -> None:
    """Before the server serves, and after it, that is said."""
    reception.operations = None
    assert reception.ask(command) == {"ok": False, "error": "the server is still starting, or already stopping"}


class TestChanging:
    def test_scale(self, reception: Reception) -> None:
        """So many workers are wanted."""
        assert reception.ask("scale", workers=5) == {"ok": True, "result": {"workers": 5}}
        assert reception.stage.supervisor.target == 5

    @pytest.mark.parametrize("workers", [0, -1, 10**9])
    def test_scale_to_what_cannot_be(self, reception: Reception, workers: int) -> None:
        """It is refused."""
        answer = reception.ask("scale", workers=workers)
        assert answer == {
            "ok": False, "error": f"invalid value {workers} for workers: expected a whole number from 1 to 256",
        }  # fmt: skip
        assert reception.stage.supervisor.target == 3

    def test_drain_and_recycle(self, reception: Reception) -> None:
        """The worker is told to go, or is replaced first."""
        assert reception.ask("drain", worker=1)["ok"]
        assert reception.ask("recycle", worker=2)["ok"]

        assert amp_commands.Drain in process(reception.stage.spawner.spawned[0]).ordered
        assert reception.stage.spawner.spawned[1].outdated is Outdated.ASKED

    @pytest.mark.parametrize("command", ["drain", "recycle", "stack"])
    def test_a_worker_that_is_not_there(self, reception: Reception, command: str) -> None:
        """It is said which there are."""
        answer = reception.ask(command, worker=9)
        assert answer == {"ok": False, "error": "no worker 9; workers: 1, 2, 3"}

    def test_set_and_get(self, reception: Reception) -> None:
        """The setting is changed, and seen so."""
        assert reception.ask("get") == {"ok": True, "result": [THREADS]}
        changed = {**THREADS, "value": 4, "origin": "set"}
        assert reception.ask("set", name="threads", value="4") == {"ok": True, "result": changed}
        assert reception.ask("get", name="threads") == {"ok": True, "result": [changed]}

    def test_set_to_what_is_not_allowed(self, reception: Reception) -> None:
        """Nothing is changed, and it is said what is allowed: an error of the settings is a refusal, no mistake."""
        answer = reception.ask("set", name="threads", value="many")
        assert answer["error"] == "invalid value 'many' for threads: expected a whole number from 1 to 1024"
        assert reception.ask("get")["result"] == [THREADS]


class TestReload:
    def test_it_goes_through(self, reception: Reception) -> None:
        """The answer comes when it is over."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "reload"}\n')
        assert line.answers == []
        reception.stage.boot_all()

        answer = line.answer
        assert answer["ok"]
        assert answer["result"] == {"generation": 2, "took": 0.0, "needs_restart": []}

    def test_it_leaves_out_what_needs_a_restart(self, reception: Reception) -> None:
        """The answer names the options that keep their value until then."""
        session, line = reception.connect()
        reception.stage.write(listen=("tcp:9",), backlog=7, threads=9)
        session.dataReceived(b'{"command": "reload"}\n')
        reception.stage.boot_all()

        assert line.answer["result"]["needs_restart"] == ["listen", "backlog"]

    def test_it_is_off(self, reception: Reception) -> None:
        """The answer says why."""
        reception.stage.written = SettingsError("invalid value 'x' for --threads: expected a number")
        assert reception.ask("reload") == {
            "ok": False, "error": "reload cancelled: invalid value 'x' for --threads: expected a number",
        }  # fmt: skip

    def test_new_code_does_not_boot(self, reception: Reception) -> None:
        """The answer says what the worker said."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "reload"}\n')
        (first,) = reception.stage.starting
        reception.stage.fails(first, "app.py, line 3\nSyntaxError")

        answer = line.answer
        assert answer["error"] == "reload cancelled: the new code does not boot"
        assert answer["detail"] == "app.py, line 3\nSyntaxError"

    def test_the_server_stops_meanwhile(self, reception: Reception) -> None:
        """It is said, and not forgotten."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "reload"}\n')
        reception.stage.supervisor.stop(quick=True)
        assert line.answer == {"ok": False, "error": "reload cancelled: the server is stopping"}


class TestStack:
    def test_it_answers(self, reception: Reception) -> None:
        """The stacks come from the worker, what it does from the scoreboard."""
        worker = reception.stage.ready[0]
        session, line = reception.connect()
        session.dataReceived(b'{"command": "stack", "worker": 1}\n')
        reception.stage.spawner.tells(worker, amp_commands.Stack, text="thread MainThread (7):")

        told = {"worker": 1, "pid": worker.pid, "stack": "thread MainThread (7):", "doing": []}
        assert line.answer == {"ok": True, "result": told}

    def test_it_does_not_answer(self, reception: Reception) -> None:
        """After two seconds that is the answer; what it says later is too late."""
        worker = reception.stage.ready[0]
        session, line = reception.connect()
        session.dataReceived(b'{"command": "stack", "worker": 1}\n')
        reception.stage.clock.advance(STACK_SECONDS - 0.1)
        assert line.answers == []
        reception.stage.clock.advance(0.2)

        assert line.answer["result"] == {"worker": 1, "pid": worker.pid, "stack": None, "doing": []}

    def test_it_dies(self, reception: Reception) -> None:
        """There is nothing left to tell of it."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "stack", "worker": 1}\n')
        reception.stage.spawner.exits(reception.stage.ready[0], signal=9)
        assert line.answer == {"ok": False, "error": "worker 1 has exited"}


class TestStop:
    @pytest.mark.parametrize("quick", [False, True])
    def test_it_is_answered_first(self, reception: Reception, quick: bool) -> None:
        """Then the program is told."""
        assert reception.ask("stop", quick=quick) == {"ok": True, "result": {"quick": quick}}
        assert reception.stops == []
        reception.stage.clock.advance(0)
        assert reception.stops == [quick]

    @pytest.mark.parametrize("command", ["stop", "logs"])
    def test_another_program_s(self, reception: Reception, command: str) -> None:
        """A service inside of another program is stopped by that, and writes its log there."""
        session, line = reception.connect(ControlCommands(reception.stage.clock, lambda: reception.operations))
        session.dataReceived(b'{"command": "%s"}\n' % command.encode())
        assert "embedded in another program: " in line.answer["error"]


class TestFollowing:
    def test_watch(self, reception: Reception) -> None:
        """A snapshot each second, until the client goes."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "watch"}\n')
        assert len(line.answers) == 1
        reception.stage.clock.advance(1)
        assert [answer["result"]["status"]["pid"] > 0 for answer in line.answers] == [True]
        session.readConnectionLost()
        reception.stage.clock.advance(5)
        assert line.answers == []

    def test_watch_a_server_that_stops(self, reception: Reception) -> None:
        """There is nothing more to see."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "watch"}\n')
        reception.operations = None
        reception.stage.clock.advance(5)
        assert len(line.answers) == 1

    def test_logs(self, reception: Reception) -> None:
        """What was, then what comes."""
        event: dict[str, Any] = {"log_time": 1.0, "log_format": "first", "log_level": None}
        reception.recent(event)
        session, line = reception.connect()
        session.dataReceived(b'{"command": "logs", "follow": true}\n')
        reception.recent({**event, "log_format": "second"})

        assert [[entry["text"] for entry in answer["result"]] for answer in line.answers] == [["first"], ["second"]]
