"""The other signals: numbers of workers, log files, what is not there yet, and signals to the workers themselves."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.command import said
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, wait_until

ignored_by_workers = [
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH,
]  # fmt: skip


@pytest.mark.parametrize("front", ["run", "twist"])
def test_one_worker_more_and_one_less(start: Start, front: str) -> None:
    """SIGTTIN adds a worker that gets connections, SIGTTOU retires one, whose connections live on."""
    server = start("--app", "app:app", "--workers", "2", front=front).ready(2)
    server.send(signal.SIGTTIN)
    server.wait_for("worker target set to 3")
    server.ready(3)
    clients = [server.connect() for _ in range(9)]
    pids = {client.get("/pid").body for client in clients}
    assert pids == {str(pid).encode() for pid in server.worker_pids}
    server.send(signal.SIGTTOU)
    server.wait_for("worker target set to 2")
    server.wait_for(GONE)
    assert {client.get("/pid").body for client in clients} <= {
        str(pid).encode() for pid in server.worker_pids
    }


def test_never_fewer_workers_than_one(start: Start) -> None:
    """SIGTTOU with one worker left changes nothing."""
    server = start("app:app", "--workers", "2").ready(2)
    for count in (1, 2, 3):
        server.send(signal.SIGTTOU)
        server.wait_for("worker target set to 1", count=count)
    server.wait_for(GONE)
    (last,) = server.worker_pids
    assert server.get("/pid") == str(last)
    assert len(server.seen(GONE)) == 1


def test_log_file_is_reopened(start: Start, folder: Path) -> None:
    """After SIGUSR1 the log goes on in a new file under the old name, as logrotate needs it."""
    log, moved = folder / "log", folder / "log.1"
    server = start("app:app", "--log-file", "log")
    wait_until(lambda: log.exists() and "serving on" in log.read_text(), "serving")
    server.ready_at(re.findall(r"http://(.*):(\d+)", log.read_text())[0])
    log.rename(moved)
    server.send(signal.SIGUSR1)
    wait_until(log.exists, "the new log file is there")
    server.send(signal.SIGTTIN)
    wait_until(lambda: "worker target set to 2" in log.read_text(), "a line in the new log file")
    assert "worker target set to 2" not in moved.read_text()
    assert server.get("/version") == "one"


def test_log_file_of_twistd_is_rotated(start: Start, folder: Path) -> None:
    """Under twistd SIGUSR1 still does what it does there: rotate twistd's own log."""
    server = start("--app", "app:app", front="twistd to a file")
    log = folder / "log"
    wait_until(lambda: log.exists() and "serving on" in log.read_text(), "serving")
    server.ready_at(re.findall(r"http://(.*):(\d+)", log.read_text())[0])
    server.send(signal.SIGUSR1)
    wait_until((folder / "log.1").exists, "the log is rotated")
    assert server.get("/version") == "one"


@pytest.mark.parametrize("front", ["run", "twist", "twistd"])
def test_signals_that_are_not_there_yet_say_so(start: Start, front: str) -> None:
    """SIGUSR2 and SIGWINCH are logged and ignored, and nothing ends."""
    server = start("--app", "app:app", front=front).ready()
    (pid,) = server.worker_pids
    for number in (signal.SIGUSR2, signal.SIGWINCH):
        server.send(number)
        server.wait_for(rf"{number.name} .* is not supported; ignored")
    assert server.get("/pid") == str(pid)


@pytest.mark.parametrize("front", ["run", "twist"])
def test_reopening_logs_on_standard_error_does_nothing(start: Start, front: str) -> None:
    """SIGUSR1 without a log file ends nobody."""
    server = start("--app", "app:app", front=front).ready()
    (pid,) = server.worker_pids
    server.send(signal.SIGUSR1)
    server.send(signal.SIGTTIN)
    server.wait_for("worker target set to 2")
    assert pid in server.worker_pids
    assert server.get("/version") == "one"


def test_workers_ignore_what_a_terminal_or_pkill_sends_to_all(start: Start) -> None:
    """HUP, INT, QUIT, USR1, USR2, TTIN, TTOU and WINCH sent to a worker itself change nothing."""
    server = start("app:app").ready()
    (pid,) = server.worker_pids
    with server.connect() as client:
        for number in ignored_by_workers:
            os.kill(pid, number)
            assert client.get("/pid").body == str(pid).encode()
    assert not server.seen(GONE)


def test_workers_ignore_them_while_they_boot(start: Start, folder: Path, gate: Gate) -> None:
    """Nor do they while the application is imported, or before."""
    server = start("app:app").ready()
    since = server.mark()
    server.send(signal.SIGTTIN)
    server.wait_for("worker target set to 2")
    for pid in children(server.pid):
        for number in ignored_by_workers:
            os.kill(pid, number)
    server.wait_for(READY, since=since)
    assert not server.seen(GONE)


def test_worker_told_to_terminate_drains_and_is_replaced(start: Start, gate: Gate) -> None:
    """SIGTERM to a worker: its request in flight is answered, its connections go to others, one takes its place."""
    server = start("app:app", "--workers", "2").ready(2)
    holders = {client.get("/pid").body: client for client in (server.connect(), server.connect())}
    with server.connect() as busy:
        busy.ask("/wait")
        visitor = gate.visitor("request")
        idle = holders[str(visitor.pid).encode()]
        since = server.mark()
        os.kill(visitor.pid, signal.SIGTERM)
        server.wait_for(rf"worker \d+ \(pid {visitor.pid}\) got SIGTERM; draining", since=since)
        server.wait_for(READY, since=since)
        # The master has said what follows from that before it answers anything.
        said(server, "status")
        assert idle.get("/version").status == 200
        assert int(idle.get("/pid").body) != visitor.pid
        assert visitor.pid not in {int(server.get("/pid")) for _ in range(8)}
        visitor.release()
        answer = busy.response()
        assert (answer.status, answer.body) == (200, str(visitor.pid).encode())
        assert "connection" not in answer.headers
        server.wait_for(rf"pid {visitor.pid}\) exited", since=since)
        assert int(busy.get("/pid").body) in server.worker_pids
    assert len(server.worker_pids) == 2


def test_an_idle_worker_told_to_terminate_leaves_in_order(start: Start) -> None:
    """It has nothing to wait for, and still the master hears of it first: no death, and no error."""
    server = start("app:app").ready()
    since = server.mark()
    (pid,) = server.worker_pids
    os.kill(pid, signal.SIGTERM)
    server.wait_for(rf"pid {pid}\) got SIGTERM; draining", since=since)
    server.wait_for(rf"pid {pid}\) exited", since=since)
    server.wait_for(READY, since=since)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
