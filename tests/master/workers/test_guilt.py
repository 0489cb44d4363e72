"""The claims of twistcorn.master.workers.supervisor about requests that kill workers, or that nobody can end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import process, tcp, texts
from twistcorn.master.workers.supervisor import MAX_QUARANTINED
from twistcorn.policy.quarantine import SENTENCE_SECONDS
from twistcorn.policy.worker import Outdated, Worker, WorkerState
from twistcorn.wire import amp_commands
from twistcorn.wire.scoreboard import SlotState

if TYPE_CHECKING:
    from tests.master.stage import Stage
    from twistcorn.master.sockets.table import ConnectionRecord

CURRENT = "Current thread 0x22 (most recent call first):\n"


def requests(stage: Stage, *names: str) -> list[ConnectionRecord]:
    """Each of these requests runs in the first worker, on threads 0x11, 0x22 and so on, since 1, 2 and so on."""
    worker = stage.serve()[0]
    others = stage.ready[1:]
    for other in others:
        stage.dispatcher.dismiss(other)
    connections = stage.arrive(len(names), tcp)
    stage.spawner.takes(worker)
    for other in others:
        stage.dispatcher.admit(other)
    for number, (connection, name) in enumerate(zip(connections, names, strict=True)):
        stage.client(number).sendall(f"{name} HTTP/1.1\r\n\r\n".encode())
        thread = 0x11 * (number + 1)
        stage.writes(connection, SlotState.IN_APP, head=name.encode(), thread=thread, since=number + 1)
    return connections


def status_seen_by(stage: Stage, number: int) -> int:
    """The status that a client was answered; 0: it waits."""
    client = stage.client(number)
    client.setblocking(False)
    try:
        return int(client.recv(1000)[9:12])
    except BlockingIOError:
        return 0


def kept_out(worker: Worker) -> list[dict[str, Any]]:
    """What the worker was ordered to keep from the application, at last."""
    orders = [order for order in process(worker).orders if order.command is amp_commands.SetQuarantine]
    names: list[dict[str, Any]] = orders[-1].arguments["names"] if orders else []
    return names


class TestStuck:
    def test_it_is_told(self, stage: Stage) -> None:
        """A replacement boots; the worker serves on, and is told of once."""
        requests(stage, "GET /stuck")
        worker = stage.ready[0]
        with capturedLogs() as logged:
            stage.spawner.sticks(worker, {0: 1})
            stage.spawner.sticks(worker, {0: 1, 1: 2})

        told = [text for text in texts(logged) if "replacing" in text]
        assert told == ["GET /stuck: over --request-timeout and not interruptible; replacing worker 1"]
        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "starting"}

    def test_worker_has_left(self, stage: Stage) -> None:
        """Its client is answered 504; whoever else was with the worker goes on elsewhere."""
        requests(stage, "GET /stuck", "GET /other")
        worker = stage.ready[0]
        stage.spawner.sticks(worker, {0: 1})
        stage.boot_all()
        assert worker.state is WorkerState.DRAINING
        stage.spawner.exits(worker, code=0)

        assert [status_seen_by(stage, number) for number in range(2)] == [504, 0]
        assert sum(worker.connections for worker in stage.ready) == 1

    def test_worker_does_not_leave(self, stage: Stage) -> None:
        """It is killed when its time to drain is over, and then its client is answered 504."""
        requests(stage, "POST /stuck")
        worker = stage.ready[0]
        stage.spawner.sticks(worker, {0: 1})
        stage.boot_all()
        stage.pass_by(31)
        stage.spawner.exits(worker)

        assert status_seen_by(stage, 0) == 504

    def test_it_has_ended_after_all(self, stage: Stage) -> None:
        """The worker stays, and the replacement is not needed."""
        requests(stage, "GET /stuck")
        worker = stage.ready[0]
        stage.spawner.sticks(worker, {0: 1})
        with capturedLogs() as logged:
            stage.spawner.sticks(worker, {})

        assert stage.states == {1: "ready", 2: "ready", 3: "ready", 4: "stopping"}
        assert [text for text in texts(logged) if "replacing" in text] == []

    def test_it_has_ended_too_late(self, stage: Stage) -> None:
        """A worker that drains goes on to drain."""
        requests(stage, "GET /stuck")
        worker = stage.ready[0]
        stage.spawner.sticks(worker, {0: 1})
        stage.boot_all()
        stage.spawner.sticks(worker, {})

        assert worker.state is WorkerState.DRAINING
        assert len(stage.ready) == 3

    def test_worker_shows_no_life_then(self, stage: Stage) -> None:
        """That is worse, and it stays what it is replaced for."""
        requests(stage, "GET /stuck")
        worker = stage.ready[0]
        stage.supervisor.fleet.outdate(worker, Outdated.FROZEN)
        stage.spawner.sticks(worker, {0: 1})

        assert worker.outdated is Outdated.FROZEN


class TestCrash:
    def test_one_is_blamed(self, stage: Stage) -> None:
        """It is answered 502 and never run again; the innocent one runs again, and the log names them apart."""
        requests(stage, "GET /innocent", "GET /segfault")
        worker = stage.ready[0]
        process(worker).words = CURRENT
        with capturedLogs() as logged:
            stage.spawner.exits(worker, signal=signal.SIGSEGV)

        assert [status_seen_by(stage, number) for number in range(2)] == [0, 502]
        assert any("GET /segfault for" in text and "(blamed), GET /innocent for" in text for text in texts(logged))

    def test_innocent_one_is_killed_again_and_again(self, stage: Stage) -> None:
        """Deaths that others are blamed for do not use up its replay."""
        (innocent, _) = requests(stage, "GET /innocent", "GET /segfault")
        process(stage.ready[0]).words = CURRENT
        stage.spawner.exits(stage.ready[0], signal=signal.SIGSEGV)
        holder = innocent.holder
        assert holder is not None
        stage.writes(innocent, SlotState.IN_APP, head=b"GET /innocent", thread=0x11, since=9)
        stage.spawner.exits(holder, signal=signal.SIGKILL)

        assert status_seen_by(stage, 0) == 0

    def test_somebody_killed_it(self, stage: Stage) -> None:
        """Nobody is blamed: both run again."""
        requests(stage, "GET /a", "GET /b")
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)

        assert [status_seen_by(stage, number) for number in range(2)] == [0, 0]


class TestQuarantine:
    @pytest.fixture
    def stage(self, stages: Any) -> Stage:
        made: Stage = stages(workers=3, quarantine_after=1)
        requests(made, "GET /segfault")
        with capturedLogs() as logged:
            made.spawner.exits(made.ready[0], signal=signal.SIGSEGV)
        self.logged = texts(logged)
        return made

    def test_enough_deaths(self, stage: Stage) -> None:
        """All workers are ordered to keep it from the application, and the log says so."""
        out = [{"name": "GET /segfault", "time": int(SENTENCE_SECONDS * 1000)}]

        assert [kept_out(worker) for worker in stage.ready] == [out, out]
        assert "GET /segfault killed 1 worker within a minute" in self.logged
        assert "quarantine: answering 503 to GET /segfault" in self.logged

    def test_worker_boots_then(self, stage: Stage) -> None:
        """It is told behind its order to boot, how much is left."""
        stage.boot_all()
        stage.clock.advance(100)
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)

        assert process(stage.newest).ordered == [amp_commands.Boot, amp_commands.SetQuarantine]
        assert kept_out(stage.newest) == [{"name": "GET /segfault", "time": int((SENTENCE_SECONDS - 100) * 1000)}]

    def test_many_killers(self, stage: Stage) -> None:
        """More than an order has room for: those that killed last are told."""
        stage.boot_all()
        now, quarantine = stage.clock.seconds(), stage.supervisor.forensics.quarantine
        for number in range(MAX_QUARANTINED + 50):
            quarantine, _ = quarantine.add_deaths(now + number / 100, [f"GET /{number}"], 1)
        stage.supervisor.forensics.quarantine = quarantine
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)

        names = {each["name"] for each in kept_out(stage.newest)}
        assert names == {f"GET /{number}" for number in range(50, MAX_QUARANTINED + 50)}

    def test_it_is_over(self, stage: Stage) -> None:
        """Workers that boot later are told of nobody."""
        stage.boot_all()
        stage.clock.advance(SENTENCE_SECONDS)
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)

        assert process(stage.newest).ordered == [amp_commands.Boot]


def test_it_was_not_asked_for(stage: Stage) -> None:
    """Without a number of deaths there is an alert, and no quarantine."""
    requests(stage, "GET /segfault")
    stage.spawner.exits(stage.ready[0], signal=signal.SIGSEGV)

    assert [kept_out(worker) for worker in stage.spawner.alive] == [[], [], []]
