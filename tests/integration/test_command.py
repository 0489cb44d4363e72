"""The command `twistcorn` and a server that runs: each does what it says, and its exit code says how it went."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.command import begin, command, said
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, wait_until


def test_looking(start: Start, gate: Gate) -> None:
    """status, workers and connections show the server, a request that runs, and the connection that it came by."""
    server = start("app:app", "--workers", "2").ready(2)
    with server.connect() as client:
        client.ask("/wait?name=it")
        pid = gate.visitor("it").pid

        status = json.loads(said(server, "status", "--json"))
        assert (status["pid"], status["state"], status["workers"]["ready"]) == (server.pid, "serving", 2)
        assert (status["busy"], status["connections"]) == (1, 1)
        (busy,) = [each for each in json.loads(said(server, "workers", "--json")) if each["doing"]]
        assert (busy["pid"], busy["doing"][0]["request"]) == (pid, "GET /wait")
        (connection,) = json.loads(said(server, "connections", "--json"))
        assert (connection["worker"], connection["state"]) == (busy["worker"], "in_app")

        assert f"pid {server.pid}: serving app:app" in said(server, "status")
        assert "GET /wait for " in said(server, "workers")
        assert "in_app" in said(server, "connections")
        assert "running requests, oldest first" in said(server, "top")


def test_before_it_serves(start: Start, folder: Path, gate: Gate) -> None:
    """While the first worker loads the application the server can be looked at, and refuses what is too early."""
    put_probe(folder, end="wait('import')")
    server = start("app:app")
    visitor = gate.visitor("import")
    assert json.loads(said(server, "status", "--json"))["state"] == "starting"
    assert command(server, "scale", "2").stderr == "twistcorn: the server is starting\n"
    visitor.release()
    server.ready()
    assert json.loads(said(server, "status", "--json"))["state"] == "serving"


@pytest.mark.parametrize("front", ["twist", "twistd"])
def test_under_twist(start: Start, front: str) -> None:
    """A server that twist or twistd runs has the socket, too, knows its log, and stops with exit code 0."""
    server = start("--app", "app:app", front=front).ready()
    assert f"pid {server.pid}" in said(server, "status")
    assert "serving on http" in said(server, "logs")
    assert said(server, "stop") == f"server stopped (pid {server.pid})\n"
    assert server.exit_code() == 0


class TestReload:
    def test_it_goes_through(self, start: Start, folder: Path) -> None:
        """When the command is over the new code serves."""
        server = start("app:app", "--workers", "2").ready(2)
        put_probe(folder, "two")
        assert said(server, "reload").startswith("reloaded in ")
        assert {server.get("/version") for _ in range(8)} == {"two"}

    def test_it_is_off(self, start: Start, folder: Path) -> None:
        """It fails, says why, and the old code serves."""
        server = start("app:app", tracebacks=True).ready()
        put_probe(folder, "two", "raise LookupError('no such shop')")
        done = command(server, "reload")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("twistcorn: reload cancelled: the new code does not boot\n")
        assert "LookupError: no such shop" in done.stderr
        assert server.get("/version") == "one"


class TestWorkers:
    def test_scale(self, start: Start) -> None:
        """The number of workers becomes the target."""
        server = start("app:app").ready()
        assert said(server, "scale", "3") == "worker target set to 3\n"
        server.ready(3)
        refused = command(server, "scale", "0")
        assert (refused.returncode, refused.stderr) == (
            1, "twistcorn: invalid value 0 for workers: expected a whole number from 1 to 256\n",
        )  # fmt: skip
        assert json.loads(said(server, "status", "--json"))["workers"]["target"] == 3

    @pytest.mark.parametrize("verb", ["drain", "recycle"])
    def test_one_is_replaced(self, start: Start, verb: str) -> None:
        """That one goes, another one comes, and a worker that is not there is a failure."""
        server = start("app:app", "--workers", "2").ready(2)
        (first, _) = server.wait_for(READY, count=2)
        said(server, verb, first["ident"])
        assert server.wait_for(GONE)[0]["pid"] == first["pid"]
        server.ready(3)
        assert command(server, verb, first["ident"]).stderr == (
            f"twistcorn: no worker {first['ident']}; workers: 2, 3\n"
        )

    def test_stack(self, start: Start, gate: Gate) -> None:
        """It shows the line of the application at which a request waits."""
        server = start("app:app").ready()
        with server.connect() as client:
            client.ask("/wait?name=it")
            gate.visitor("it")
            shown = said(server, "stack", "1")
        assert "running: GET /wait for " in shown
        assert "return bool(sock.recv(1))" in shown

    def test_stack_of_one_that_hangs(self, start: Start) -> None:
        """A worker whose interpreter lock is held does not answer: that is said, with what the scoreboard knows."""
        server = start("app:app", "--heartbeat-timeout", "0").ready()
        with server.connect() as client:
            client.ask("/hold?for=4")
            wait_until(lambda: "GET /hold" in said(server, "workers"), "the request runs")
            done = command(server, "stack", "1")
            assert done.returncode == 1
            assert "running: GET /hold for " in done.stdout
            assert "worker 1 does not answer" in done.stderr
            assert client.response().status == 200


def test_logs(start: Start) -> None:
    """The latest events, then those that come, until it is interrupted."""
    server = start("app:app").ready()
    assert "worker 1 (pid" in said(server, "logs", "-n", "2")
    (last,) = said(server, "logs", "-n", "1", "--json").splitlines()
    assert set(json.loads(last)) == {"time", "level", "text"}
    with begin(server, "logs", "-n", "1", "--follow") as following:
        assert following.stdout is not None
        following.stdout.readline()
        said(server, "scale", "2")
        assert following.stdout.readline().endswith("info     worker target set to 2\n")
        following.send_signal(signal.SIGINT)
        assert following.wait() == 130
        assert following.stderr is not None
        assert following.stderr.read() == ""


def test_a_reader_that_has_seen_enough(start: Start) -> None:
    """`twistcorn connections | head -1` is no error."""
    server = start("app:app").ready()
    with begin(server, "logs", "--follow") as following:
        assert following.stdout is not None
        assert following.stderr is not None
        following.stdout.readline()
        following.stdout.close()
        said(server, "scale", "2")
        assert (following.wait(), following.stderr.read()) == (0, "")


class TestStop:
    def test_it_waits(self, start: Start, gate: Gate) -> None:
        """What runs is answered, and when the command is over the process is gone; a second stop waits with it."""
        server = start("app:app").ready()
        with server.connect() as client:
            client.ask("/wait?name=it")
            visitor = gate.visitor("it")
            with begin(server, "stop") as first:
                server.wait_for("stopping gracefully")
                with begin(server, "stop") as second:
                    wait_until(
                        lambda: json.loads(said(server, "status", "--json"))["state"] == "stopping", "it stops"
                    )
                    assert (first.poll(), second.poll()) == (None, None)
                    visitor.release()
                    assert client.response().status == 200
                    assert (first.wait(), second.wait()) == (0, 0)
        assert server.process.poll() == 0
        assert not server.seen("second stop signal")

    def test_quick(self, start: Start, gate: Gate) -> None:
        """What runs is cut."""
        server = start("app:app").ready()
        with server.connect() as client:
            client.ask("/wait?name=it")
            gate.visitor("it")
            assert said(server, "stop", "--quick") == f"server stopped (pid {server.pid})\n"
            assert client.ended()
        assert server.exit_code() == 0


def test_nothing_listens_there(start: Start) -> None:
    """After the server's end: 69, one line with the path, and what to do."""
    server = start("app:app").ready()
    said(server, "stop")
    done = command(server, "status", "--control", str(server.control))
    assert done.returncode == 69
    assert done.stderr == (
        f"twistcorn: no server at {server.control} (No such file or directory): start it, or name its"
        " control socket with --control PATH or TWISTCORN_CONTROL\n"
    )
