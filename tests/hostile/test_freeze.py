"""A call that holds the interpreter lock: whom it costs what, on the real program."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Client
from tests.integration.harness import READY, Server, wait_until
from twistcorn.client import Client as Control

pytestmark = pytest.mark.slow

#: It writes down each request before it does what the path says; `/` answers with the worker's pid.
FREEZING = '''
import ctypes, os, re, threading, time

libc = ctypes.PyDLL(None)

def note(environ):
    with open("runs", "a") as file:
        file.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['twistcorn.attempt']}\\n")

def backtrack():
    re.match(r"(a+)+$", "a" * 60 + "b")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    note(environ)
    if path == "/regex":
        backtrack()
    elif path == "/lock":
        libc.usleep(int(environ["QUERY_STRING"]) * 1000)
    elif path == "/wait":
        time.sleep(float(environ["QUERY_STRING"]))
    elif path == "/thread":
        threading.Thread(target=backtrack, daemon=True).start()
        time.sleep(60)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Attempt", str(environ["twistcorn.attempt"]))])
    return [str(os.getpid()).encode()]
'''


@pytest.fixture
def runs(folder: Path) -> Path:
    """Where the application notes its requests."""
    return folder / "runs"


def ran(runs: Path, name: str) -> list[str]:
    """The attempts of a request, by method and path."""
    lines = runs.read_text().splitlines() if runs.exists() else []
    return [line.split()[2] for line in lines if line.startswith(name + " ")]


def freeze(server: Server, runs: Path, path: str, method: str = "GET") -> Client:
    """Ask for what freezes a worker, and wait until it does."""
    client = server.connect()
    client.ask(path, method)
    name = f"{method} {path.partition('?')[0]}"
    wait_until(lambda: ran(runs, name) != [], "the application is called")
    return client


class TestBadExpression:
    """A regular expression that never ends, and holds the lock all the while."""

    def test_it_kills_one_worker_and_no_second_one(self, serve: Serve, runs: Path) -> None:
        """Its time over, its client gets 504, it is not run again, and the log says who it was and where."""
        server = serve(
            FREEZING, "--workers", "2", "--heartbeat-timeout", "1s", "--request-timeout", "2s",
            "--quarantine-after", "1",
        ).ready(2)  # fmt: skip
        since = server.mark()
        with freeze(server, runs, "/regex") as client:
            assert client.response().status == 504
        assert ran(runs, "GET /regex") == ["1"]
        server.wait_for(r"GET /regex holds the interpreter lock:", since=since)
        server.wait_for(r'File ".*app.py", line \d+ in backtrack', since=since)
        server.wait_for(r"was killed: .* more than 1 s, with a request over its --request-timeout;", since=since)
        server.wait_for(r"running: GET /regex for \d.\d s \(blamed\)", since=since)
        server.wait_for("quarantine: answering 503 to GET /regex", since=since)
        # A worker that has answered a request sent after the order has had the order.
        with contextlib.closing(Control(str(server.control))) as control:
            for worker in control.ask("workers"):
                control.ask("stack", worker=worker["worker"])
        with server.connect() as client:
            assert client.get("/regex").status == 503

    def test_who_waits_for_its_worker_is_served_by_another(self, serve: Serve, runs: Path) -> None:
        """An idle connection that asks, and a safe request in another thread, get their answers; the guilty one 502."""
        server = serve(
            FREEZING, "--threads", "4", "--heartbeat-timeout", "1s", "--turns", "pool", "--request-timeout", "60s"
        ).ready()
        with server.connect() as idle, server.connect() as running:
            idle.get("/")
            running.ask("/wait?0.6")
            wait_until(lambda: ran(runs, "GET /wait") != [], "it runs")
            with freeze(server, runs, "/regex") as guilty:
                began = time.monotonic()
                idle.ask("/")
                assert idle.response().status == 200
                answer = running.response()
                assert (answer.status, answer.headers["x-attempt"]) == (200, "2")
                assert guilty.response().status == 502
                assert time.monotonic() - began < 5
        assert ran(runs, "GET /regex") == ["1"]

    def test_innocents_that_are_hit_twice(self, serve: Serve, runs: Path) -> None:
        """A request that met two of them is run a third time: its one repetition was not used up."""
        server = serve(
            FREEZING, "--threads", "4", "--heartbeat-timeout", "1s", "--turns", "pool", "--request-timeout", "60s"
        ).ready()
        with server.connect() as innocent:
            innocent.ask("/wait?1")
            for number in (1, 2):
                wait_until(lambda: len(ran(runs, "GET /wait")) == number, "the innocent one runs")  # noqa: B023
                with server.connect() as guilty:
                    guilty.ask("/regex")
                    assert guilty.response().status == 502
            answer = innocent.response()
            assert (answer.status, answer.headers["x-attempt"]) == (200, "3")

    def test_it_is_in_a_thread_of_the_application(self, serve: Serve, runs: Path) -> None:
        """No request is blamed, the log says so, and the one that ran gets its one repetition and not more."""
        server = serve(FREEZING, "--heartbeat-timeout", "1s", "--request-timeout", "3s").ready()
        with freeze(server, runs, "/thread") as client:
            server.wait_for("a background thread of the application holds the interpreter lock:")
            assert client.response().status == 502
        assert ran(runs, "GET /thread") == ["1", "2"]


class TestCallThatEnds:
    """A call into C that keeps the lock for longer than the heartbeat's time, and then is done."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_nobody_waits_for_its_worker(self, serve: Serve, runs: Path, method: str) -> None:
        """It gets its 200, from its first run; a replacement takes what comes meanwhile, and then its place."""
        server = serve(FREEZING, "--heartbeat-timeout", "1s").ready()
        (pid,) = server.worker_pids
        since = server.mark()
        with freeze(server, runs, "/lock?4000", method) as client:
            server.wait_for(READY, since=since)
            assert int(server.get("/")) != pid
            answer = client.response()
            assert (answer.status, int(answer.body)) == (200, pid)
        assert ran(runs, f"{method} /lock") == ["1"]
        server.wait_for("responds again", since=since)
        assert not server.seen("was killed")

    def test_who_holds_it_cannot_be_told(self, serve: Serve, runs: Path) -> None:
        """Of several requests each may be the one: none is run again, and the log has the stacks of all."""
        server = serve(
            FREEZING, "--threads", "4", "--heartbeat-timeout", "1s", "--request-timeout", "3s", "--turns", "pool"
        ).ready()
        with server.connect() as other:
            other.ask("/wait?1")
            wait_until(lambda: ran(runs, "GET /wait") != [], "it runs")
            with freeze(server, runs, "/lock?20000") as client:
                assert {client.response().status, other.response().status} == {502}
        server.wait_for("an unidentified thread holds the interpreter lock:")
        assert (ran(runs, "GET /wait"), ran(runs, "GET /lock")) == (["1"], ["1"])


def test_process_is_stopped_from_outside(serve: Serve, runs: Path) -> None:
    """No request is blamed: it is killed when the heartbeat's time is over, and a safe request in it runs again."""
    server = serve(FREEZING, "--heartbeat-timeout", "1s", "--request-timeout", "60s").ready()
    with server.connect() as client:
        client.ask("/wait?1")
        wait_until(lambda: ran(runs, "GET /wait") != [], "it runs")
        os.kill(server.worker_pids[0], signal.SIGSTOP)
        began = time.monotonic()
        answer = client.response()
        assert (answer.status, answer.headers["x-attempt"]) == (200, "2")
        assert time.monotonic() - began < 6
    assert not server.seen("holds the interpreter lock")
