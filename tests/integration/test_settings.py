"""What the environment and the options change in a running server: numbers, paths, the pid file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.integration.harness import READY


@pytest.mark.parametrize("front", ["run", "twist", "twistd"])
def test_pid_file_is_there_while_the_server_is(start: Start, folder: Path, front: str) -> None:
    """--pidfile holds the master's pid, and is removed at the end."""
    server = start("--app", "app:app", "--pidfile", "master.pid", front=front).ready()
    pidfile = folder / "master.pid"
    assert pidfile.read_text() == f"{server.pid}\n"
    server.send(signal.SIGTERM)
    assert server.exit_code() == (0 if front == "run" else -signal.SIGTERM)
    assert not pidfile.exists()


def test_pid_file_is_not_left_when_the_app_cannot_boot(start: Start, folder: Path) -> None:
    """A server that never served leaves no pid file."""
    assert start("ap:app", "--pidfile", "master.pid").exit_code() == 3
    assert not (folder / "master.pid").exists()


def test_pid_file_of_a_running_server_survives_a_second_one_that_fails(start: Start, folder: Path) -> None:
    """A second server whose address is taken does not touch the first one's pid file."""
    path = folder / "http.sock"
    listen = ("--listen", f"unix:{path}")
    first = start("app:app", "--pidfile", "master.pid", listen=listen).ready()
    assert start("app:app", "--pidfile", "master.pid", listen=listen).exit_code() == 1
    assert (folder / "master.pid").read_text() == f"{first.pid}\n"


@pytest.mark.parametrize(("front", "variable"), [("run", "WEB_CONCURRENCY"), ("twist", "TWISTCORN_WORKERS")])
def test_number_of_workers_from_the_environment(start: Start, front: str, variable: str) -> None:
    """WEB_CONCURRENCY and TWISTCORN_WORKERS say how many workers there are."""
    server = start("--app", "app:app", front=front, env={variable: "2"}).ready(2)
    assert {int(server.get("/pid")) for _ in range(8)} == set(server.worker_pids)
    assert len(server.seen(READY)) == 2


def test_command_line_goes_before_the_environment(start: Start) -> None:
    """An option given both ways is what the command line says."""
    env = {"WEB_CONCURRENCY": "3", "TWISTCORN_THREADS": "3", "PORT": "1"}
    server = start("app:app", "--workers", "1", "--threads", "1", env=env).ready()
    assert server.get("/environ?key=wsgi.multithread") == "False"
    assert server.get("/environ?key=wsgi.multiprocess") == "False"


@pytest.mark.parametrize(("threads", "several"), [("1", "False"), ("2", "True")])
def test_number_of_threads_from_the_environment(start: Start, threads: str, several: str) -> None:
    """TWISTCORN_THREADS is the number of the application's threads, and it sees whether there are several."""
    server = start("app:app", env={"TWISTCORN_THREADS": threads}).ready()
    assert server.get("/environ?key=wsgi.multithread") == several


@pytest.mark.parametrize("front", ["run", "twist", "twistd"])
def test_unknown_variable_is_a_warning(start: Start, front: str) -> None:
    """A misspelt TWISTCORN_* variable is named in one line of the log; the server serves."""
    server = start("--app", "app:app", front=front, env={"TWISTCORN_THEADS": "2"}).ready()
    said = server.seen(r"unknown environment variable TWISTCORN_THEADS ignored; did you mean TWISTCORN_THREADS\?$")
    assert len(said) == 1


def test_port_from_the_environment(start: Start) -> None:
    """PORT, as platforms give it, is listened on, on all interfaces."""
    server = start("app:app", listen=(), env={"PORT": "0"}).ready()
    assert server.seen(r"serving on http://0\.0\.0\.0:")
    assert server.get("/version") == "one"


def test_automatic_number_of_workers_says_why(start: Start) -> None:
    """--workers auto follows CPU affinity, and the log gives the reason."""
    cpu = next(iter(os.sched_getaffinity(0)))
    server = start("app:app", "--workers", "auto", before=("taskset", "--cpu-list", str(cpu))).ready()
    server.wait_for(r"--workers auto: 1 worker: CPU affinity allows 1 core$")
    assert len(server.seen(READY)) == 1


def test_prefix_is_taken_off_the_path(start: Start) -> None:
    """Under --script-name the application sees SCRIPT_NAME and the rest; a path that is not under it is 500."""
    server = start("app:app", "--script-name", "/shop").ready()
    assert server.get("/shop/environ?key=SCRIPT_NAME") == "/shop"
    assert server.get("/shop/environ?key=PATH_INFO") == "/environ"
    with server.connect() as client:
        answer = client.get("/shopping")
        assert (answer.status, answer.headers["connection"]) == (500, "close")
    assert int(server.get("/shop")) in server.worker_pids


def test_prefix_from_the_environment(start: Start) -> None:
    """SCRIPT_NAME is the same by its customary variable."""
    server = start("app:app", env={"SCRIPT_NAME": "/shop"}).ready()
    assert server.get("/shop/environ?key=SCRIPT_NAME") == "/shop"


def test_modules_next_to_the_app_are_found_by_pythonpath(start: Start, folder: Path, tmp_path: Path) -> None:
    """--pythonpath names further directories of the application, relative to --chdir."""
    elsewhere = tmp_path / "lib"
    elsewhere.mkdir()
    (folder / "app.py").rename(elsewhere / "inner.py")
    (folder / "outer.py").write_text("from inner import app\n")
    server = start("outer:app", "--chdir", str(folder), "--pythonpath", "../lib", cwd=tmp_path).ready()
    assert server.get("/version") == "one"


def test_idle_connection_is_kept_so_long(start: Start) -> None:
    """--keep-alive ends a connection that is idle for longer, with no answer nobody asked for."""
    server = start("app:app", "--keep-alive", "500ms").ready()
    with server.connect() as client:
        assert client.get("/version").status == 200
        assert client.ended()


def test_silent_connection_is_ended(start: Start) -> None:
    """A client that says nothing, and one that stops in the middle of its head, do not stay."""
    server = start("app:app", "--header-timeout", "500ms").ready()
    with server.connect() as silent, server.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        assert silent.ended()
        assert slow.response().status == 408
        assert slow.ended()
