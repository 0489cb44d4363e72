"""The claims of twistcorn.master.metrics.insight: what it shows is what is there, as plain values."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.master.stage import tcp
from twistcorn import __version__
from twistcorn.master.metrics.insight import Insight
from twistcorn.policy.worker import Outdated
from twistcorn.wire.scoreboard import S_CONSUMED0, S_HEAD_VERSION, S_WRITTEN_END, SlotState

if TYPE_CHECKING:
    from tests.master.stage import Stage
    from twistcorn.master.sockets.table import ConnectionRecord

#: The monotonic clock of the workers, in nanoseconds.
NOW = 100_000_000_000


@pytest.fixture
def insight(stage: Stage) -> Insight:
    """What there is to see of a stage that serves."""
    seen = Insight(
        stage.supervisor, stage.dispatcher, stage.table, stage.board, lambda: ["http://127.0.0.1:8000"],
        stage.clock.seconds, lambda: NOW, stage.clock.seconds,
    )  # fmt: skip
    stage.serve()
    return seen


def runs(stage: Stage, connection: ConnectionRecord, head: bytes, seconds: float) -> None:
    """The holder runs a request on a connection, for so long."""
    stage.writes(connection, SlotState.IN_APP, head=head, thread=77, since=NOW - int(seconds * 1e9))


class TestStatus:
    def test_server_serves(self, stage: Stage, insight: Insight) -> None:
        """Who it is, since when, where, and how many workers are in which state."""
        stage.clock.advance(5)
        status = insight.status()

        assert (status["version"], status["pid"], status["state"]) == (__version__, os.getpid(), "serving")
        assert (status["uptime"], status["generation"]) == (5, 1)
        assert status["listeners"] == ["http://127.0.0.1:8000"]
        assert status["workers"] == {
            "target": 3, "starting": 0, "ready": 3, "draining": 0, "finishing": 0, "stopping": 0, "waiting": 0,
            "gone": 0,
        }  # fmt: skip
        assert status["threads"] == 3 * stage.settings.threads

    def test_before_and_after(self, stage: Stage) -> None:
        """It starts until the first worker is ready, and stops from the order on."""
        assert stage.supervisor.state == "starting"
        stage.serve()
        stage.supervisor.stop(quick=False)

        assert stage.supervisor.state == "stopping"

    def test_connections(self, stage: Stage, insight: Insight) -> None:
        """They are counted, and so are the requests in workers."""
        stage.arrive(5)
        stage.busy(stage.ready[0], 2)

        assert (insight.status()["connections"], insight.status()["busy"]) == (5, 2)

    def test_reload_under_way(self, stage: Stage, insight: Insight) -> None:
        """It shows while it runs; afterwards how it went, and how long that took."""
        stage.supervisor.reload()
        assert insight.status()["reload"] == {"running": True, "last": None}

        stage.clock.advance(2)
        stage.boot_all()
        last = insight.status()["reload"]["last"]
        assert (last["took"], last["generation"], last["problem"]) == (2, 2, "")

    def test_reload_failed(self, stage: Stage, insight: Insight) -> None:
        """The problem shows; the old generation is the present one."""
        stage.supervisor.reload()
        stage.fails(stage.starting[0], "no module named shop")

        assert "no module named shop" in insight.status()["reload"]["last"]["problem"]
        assert insight.status()["generation"] == 1

    def test_reload_left_out_a_change(self, stage: Stage, insight: Insight) -> None:
        """Options that change at a restart only are named, as long as that reload is the last one."""
        stage.write(backlog=7, threads=9)
        stage.supervisor.reload()
        stage.boot_all()
        assert insight.status()["reload"]["last"]["needs_restart"] == ["backlog"]

        stage.write()
        stage.supervisor.reload()
        stage.boot_all()
        assert insight.status()["reload"]["last"]["needs_restart"] == []

    def test_requests_of_the_last_seconds(self, stage: Stage, insight: Insight) -> None:
        """Answers of the workers and the master's own, per second; what is older than ten seconds does not count."""
        insight.history.start(stage.clock)
        stage.answers(stage.ready[0], 1000)
        stage.clock.pump([1.0] * 20)
        stage.answers(stage.ready[0], 1090)
        stage.dispatcher.answers.sent[502] += 9
        stage.clock.advance(0.5)
        requests = insight.status()["requests"]

        assert requests["seconds"] == 9.5
        assert (requests["rate"], requests["errors"]) == (round(99 / 9.5, 2), round(9 / 9.5, 2))
        insight.history.stop()

    def test_memory(self, stage: Stage, insight: Insight, monkeypatch: pytest.MonkeyPatch) -> None:
        """The master's and that of all workers."""
        monkeypatch.setattr("twistcorn.master.metrics.insight.rss_of", lambda pid: 5)
        stage.ready[0].rss, stage.ready[1].rss = 10, 20

        assert insight.status()["memory"] == 35

    def test_travels(self, stage: Stage, insight: Insight, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of it is JSON, whatever is there."""
        monkeypatch.setattr("twistcorn.master.metrics.insight.rss_of", lambda pid: 5)
        connection = stage.arrive(1, tcp)[0]
        runs(stage, connection, b"GET /caf\xe9", 1)
        stage.spawner.exits(stage.ready[0], signal=9)

        assert json.loads(json.dumps(insight.snapshot())) == insight.snapshot()
        assert json.dumps(insight.connections())


class TestWorkers:
    def test_what_each_does(self, stage: Stage, insight: Insight) -> None:
        """Its requests, the oldest first, with their ages; idle connections are none of them."""
        young, old, idle = stage.arrive(3)
        for connection in (young, old, idle):
            connection.holder = stage.ready[1]
        runs(stage, young, b"GET /young", 1)
        runs(stage, old, b"POST /old", 3)
        first, second, _ = insight.workers()

        assert first["doing"] == []
        assert [(each["request"], each["age"]) for each in second["doing"]] == [("POST /old", 3), ("GET /young", 1)]

    def test_answer_is_made(self, stage: Stage, insight: Insight) -> None:
        """A request that no thread is at work on any more is not shown as running."""
        connection = stage.arrive(1)[0]
        stage.writes(connection, SlotState.IN_APP, head=b"GET /", thread=0, since=NOW)

        assert all(worker["doing"] == [] for worker in insight.workers())

    def test_text_is_being_written(self, stage: Stage, insight: Insight) -> None:
        """Half a text is never shown: the request is left out of this look."""
        connection = stage.arrive(1)[0]
        runs(stage, connection, b"GET /", 1)
        stage.board.words[stage.board.slot_base(connection.slot) + S_HEAD_VERSION] += 1

        assert all(worker["doing"] == [] for worker in insight.workers())

    def test_counts(self, stage: Stage, insight: Insight) -> None:
        """Requests, age, and why it is replaced."""
        worker = stage.ready[2]
        stage.answers(worker, 41)
        stage.clock.advance(7)
        stage.supervisor.fleet.outdate(worker, Outdated.ASKED)
        seen = insight.workers()[2]

        assert (seen["worker"], seen["requests"], seen["age"]) == (worker.ident, 41, 7)
        assert seen["outdated"] == "requested by an operator"


class TestConnections:
    def test_oldest_first(self, stage: Stage, insight: Insight) -> None:
        """And not more than are asked for."""
        filed = stage.arrive(4)

        assert [each["slot"] for each in insight.connections(2)] == [filed[0].slot, filed[1].slot]

    def test_tcp(self, stage: Stage, insight: Insight) -> None:
        """The client's address, and the bytes that the kernel counted."""
        connection = stage.arrive(1, tcp)[0]
        client = stage.client(0)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        host, port = client.getsockname()
        (seen,) = insight.connections()

        assert (seen["peer"], seen["received"], seen["sent"]) == (f"{host}:{port}", 18, 27)

    def test_unix(self, stage: Stage, insight: Insight) -> None:
        """There the kernel counts nothing: what the worker noted with its last request is shown."""
        connection = stage.arrive(1)[0]
        base = stage.board.slot_base(connection.slot)
        stage.board.words[base + S_CONSUMED0], stage.board.words[base + S_WRITTEN_END] = 10, 20
        (seen,) = insight.connections()

        assert (seen["peer"], seen["received"], seen["sent"]) == ("", 10, 20)

    def test_request(self, stage: Stage, insight: Insight) -> None:
        """What is asked for, for how long, in which worker."""
        connection = stage.arrive(1)[0]
        runs(stage, connection, b"GET /feed", 9)
        (seen,) = insight.connections()

        assert connection.holder is not None
        assert (seen["state"], seen["request"], seen["request_age"]) == ("in_app", "GET /feed", 9)
        assert seen["worker"] == connection.holder.ident

    def test_nobody_has_it(self, stage: Stage, insight: Insight) -> None:
        """It waits."""
        for worker in stage.ready:
            stage.dispatcher.dismiss(worker)
        stage.arrive(1)
        (seen,) = insight.connections()

        assert (seen["worker"], seen["state"]) == (None, "waiting")
