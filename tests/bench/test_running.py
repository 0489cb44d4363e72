"""The life of a server process, with small real ones."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from bench.proctree import ZOMBIE, read_stats
from bench.running import NotServing, Running, clean_environment, free_port, running, wait_ready
from bench.workloads import GREETING, Case, Persistence, Workload

APPS = Path(__file__).parents[2] / "bench" / "apps"
WSGIREF = """
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server
import hello
class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments): pass
make_server("127.0.0.1", int(sys.argv[1]), hello.app, handler_class=Quiet).serve_forever()
"""
ORPHANING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
HELLO = Workload(Case("hello", "hello", GREETING), Persistence.KEEP_ALIVE)


def serve(code: str, port: int = 0) -> tuple[list[str], Path, int, tuple[int, ...]]:
    """The arguments of ``running`` for a piece of Python."""
    return [sys.executable, "-c", code, str(port)], APPS, port, ()


def orphaned(server: Running) -> int:
    """Kill the server alone and answer the pid of its child."""
    while not (word := server.last_words()).isdigit():
        time.sleep(0.01)
    server.process.kill()
    server.process.wait()
    return int(word)


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    return any(stat.pid == pid and stat.state != ZOMBIE for stat in read_stats())


def test_server_is_found_ready_and_then_gone() -> None:
    """A server is waited for, asked, and ended by TERM alone; this one closes each connection."""
    port = free_port()
    with running(*serve(WSGIREF, port)) as server:
        stays_open = wait_ready(server, HELLO)
    assert not stays_open
    assert not server.killed
    assert server.process.returncode is not None


def test_wrong_answer_is_not_ready() -> None:
    """A server with another body is never measured."""
    port = free_port()
    other = Workload(Case("other", "hello", b"something else"), Persistence.CLOSE)
    with running(*serve(WSGIREF, port)) as server, pytest.raises(NotServing, match="body b'Hello"):
        wait_ready(server, other, deadline=0.3)


def test_server_that_dies_tells_its_last_words() -> None:
    """The reason is the last line it printed, without waiting for the deadline."""
    code = "import sys; sys.exit('no such application')"
    with running(*serve(code)) as server, pytest.raises(NotServing, match=r"status 1: no such application$"):
        wait_ready(server, HELLO)


def test_program_that_is_not_there() -> None:
    """A missing program is a server that does not serve, not a traceback."""
    with pytest.raises(NotServing, match="cannot be started"), running(["/nonexistent"], APPS, 0, ()):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_children_go_with_their_server(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the block ends by an exception, orphans are killed and that is told."""
    monkeypatch.setattr("bench.running.STOP_PATIENCE", 0.1)
    orphans: list[int] = []
    with contextlib.suppress(error), running(*serve(ORPHANING)) as server:
        orphans.append(orphaned(server))
        raise error
    assert not alive(orphans[0])
    assert server.killed


def test_temporary_files_go_with_their_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server has a directory for them, so that nothing of one run is there in the next."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import tempfile, time; print(tempfile.mkstemp()[1], flush=True); time.sleep(60)"
    with running(*serve(code)) as server:
        while not (file := Path(server.last_words())).exists():
            time.sleep(0.01)
        assert tmp_path in file.parents
    assert list(tmp_path.iterdir()) == []


def test_environment_cannot_configure_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables the servers read are left out; the applications are importable."""
    for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PYTHONDEVMODE", "GRANIAN_WORKERS"):
        monkeypatch.setenv(name, "1")
    environment = clean_environment(APPS)
    assert environment["PYTHONPATH"] == str(APPS)
    assert not {"GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PYTHONDEVMODE", "GRANIAN_WORKERS"} & set(environment)
    assert environment["PATH"] == os.environ["PATH"]
