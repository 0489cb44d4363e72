"""The server as PID 1, as in a container without an init: it reaps what is not its own, and does its work meanwhile.

Law: the process table is looked at from within, where the server is the first process. A kernel that refuses the
namespaces for it is the one reason to skip.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.integration.harness import Server, wait_until

#: Each path but /table makes children that nobody of ours has started, orphans at once, and answers with their pids.
SOURCE = """
import os, signal, subprocess, sys, threading

def table():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found.append(f"{pid} {parent} {state}")
    return found

def daemons(count, end, released=None):
    # Each one starts its end only when it is the first process's, or when it is released.
    reader, writer = os.pipe()
    first = os.fork()
    if not first:
        os.close(reader)
        parent = os.getpid()
        os.setsid()
        for _ in range(count):
            if not os.fork():
                while os.getppid() == parent:
                    os.sched_yield()
                os.write(writer, b"%d " % os.getpid())
                os.close(writer)
                if released is not None:
                    os.close(released[1])
                    os.read(released[0], 1)
                end()
                os._exit(0)
        os._exit(0)
    os.close(writer)
    os.waitpid(first, 0)
    with open(reader, "rb") as file:
        return file.read().decode().split()

kept = []

def later():
    # They end with the worker, which holds the other end.
    pair = os.pipe()
    kept.append(pair)
    return daemons(5, lambda: None, pair)

def programs():
    return daemons(3, lambda: os.execv("/bin/true", ["true"]))

WAYS = {
    "exit": lambda: daemons(5, lambda: None),
    "status": lambda: daemons(5, lambda: os._exit(3)),
    "signal": lambda: daemons(5, lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "programs": programs,
    "many": lambda: daemons(100, lambda: None),
    "later": later,
    "table": table,
    "": lambda: [str(os.getpid())],
}

def app(environ, start_response):
    body = "\\n".join(WAYS[environ["PATH_INFO"][1:]]())
    start_response("200 OK", [])
    return [body.encode()]
"""

#: Makes a new pid namespace: root may, other users become root in theirs.
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"] + ["--user", "--map-root-user"] * (os.geteuid() != 0)

Ready = Callable[..., Server]


@pytest.fixture(scope="module")
def _namespaces() -> None:
    """The kernel lets us have them."""
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"{' '.join(UNSHARE)}: {tried.stderr.strip()}")


@pytest.fixture
def ready(start: Start, folder: Path, _namespaces: None) -> Iterator[Ready]:
    """Starts the server as the first process of a namespace, and waits for it; `unshare` hears no signal for it."""
    made: list[Server] = []

    def ready(*arguments: str, front: str = "run", workers: int = 1) -> Server:
        (folder / "app.py").write_text(SOURCE)
        app = ["app:app"] if front == "run" else ["--app", "app:app"]
        made.append(start(*app, "--workers", str(workers), *arguments, front=front, before=UNSHARE))
        return made[-1].ready(workers)

    yield ready
    for server in made:
        if server.process.poll() is None:
            os.kill(master(server), signal.SIGINT)
            server.process.wait(20)


def children(pid: int) -> list[int]:
    """The children of a process, as they are called out here."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def inner(pid: int) -> int:
    """What a process is called in its own namespace."""
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("NSpid:")]
    return int(line.split()[-1])


def master(server: Server) -> int:
    """The pid of the first process, as it is called out here."""
    (pid,) = children(server.pid)
    return pid


def table(server: Server) -> dict[int, tuple[int, str]]:
    """Each process within: its parent and its state (proc_pid_stat(5))."""
    rows = (line.split() for line in server.get("/table").splitlines())
    return {int(pid): (int(parent), state) for pid, parent, state in rows}


def is_tidy(server: Server, workers: int = 1) -> bool:
    """Whether the server and its workers are all there is, in whatever state."""
    rows = table(server)
    return len(rows) == 1 + workers and all(parent == 1 for pid, (parent, _) in rows.items() if pid != 1)


def make(server: Server, what: str) -> set[int]:
    """Have the application leave orphans, which were the first process's for a short time at least."""
    made = set(map(int, server.get(f"/{what}").split()))
    assert made
    return made


def stop(server: Server) -> None:
    """TERM ends it in order."""
    os.kill(master(server), signal.SIGTERM)
    assert server.exit_code() == 0


@pytest.mark.parametrize("what", ["exit", "status", "signal", "programs", "many"])
def test_orphans_are_reaped(ready: Ready, what: str) -> None:
    """However they end: none stays in the table, the server answers, and TERM ends it."""
    server = ready()
    assert 1 in table(server)
    make(server, what)
    wait_until(lambda: is_tidy(server), "nobody but the server and its worker is left")
    assert server.worker_pids == [int(server.get("/"))]
    stop(server)


@pytest.mark.parametrize("how", ["KILL", pytest.param("TERM", marks=pytest.mark.slow)])
def test_their_worker_is_dead(ready: Ready, how: str) -> None:
    """They outlive their worker, and end after it: they are reaped, and so is the worker, which has its successor."""
    server = ready()
    made = make(server, "later")
    assert made < set(table(server))
    (worker,) = server.worker_pids
    (pid,) = [each for each in children(master(server)) if inner(each) == worker]
    os.kill(pid, signal.Signals[f"SIG{how}"])
    server.wait_for("is ready", count=2)
    wait_until(lambda: is_tidy(server), "nobody but the server and its new worker is left")
    assert server.worker_pids == [int(server.get("/"))]
    stop(server)


@pytest.mark.slow
def test_workers_end_as_well(ready: Ready) -> None:
    """Orphans and workers that end at once are distinguished: each worker's end is logged once, with its cause."""
    server = ready(workers=2)
    make(server, "many")
    os.kill(master(server), signal.SIGHUP)
    make(server, "many")
    server.wait_for("exited", count=2)
    wait_until(lambda: is_tidy(server, 2), "nobody but the server and its new workers is left")
    assert len(server.seen("exited")) == 2
    assert not server.seen("died|was killed")
    stop(server)


def test_they_live_when_it_is_stopped(ready: Ready) -> None:
    """A stop does not wait for them: the kernel ends them with the first process."""
    server = ready()
    make(server, "later")
    stop(server)


@pytest.mark.parametrize("front", ["twist", "twistd"])
def test_under_the_other_commands(ready: Ready, front: str) -> None:
    """twist and twistd reap as well."""
    server = ready(front=front)
    make(server, "exit")
    wait_until(lambda: is_tidy(server), "nobody but the server and its worker is left")
    stop(server)
