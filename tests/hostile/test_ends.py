"""What an application does at its end: its own TERM handler, `atexit`, threads, and what of it never ends."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import HEALTHY, Serve
from tests.integration.harness import Server

#: What it notes at its end, in which order: in the file `notes`, by worker.
NOTING = """
import atexit, os, signal, sys, threading, time
def note(what):
    with open("notes", "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
"""
HANDLER = "signal.signal(signal.SIGTERM, lambda number, frame: (note('handler'), sys.exit(0)))\n"
ATEXIT = "atexit.register(note, 'atexit')\n"


def notes(folder: Path, pid: int) -> list[str]:
    """What a worker has noted."""
    lines = [line.split() for line in (folder / "notes").read_text().splitlines()]
    return [what for noted, what in lines if int(noted) == pid]


def end(server: Server, how: str) -> None:
    """End a worker in one of the ways that are not a crash, and wait until it is gone."""
    if how in ("stop", "quick"):
        server.send(signal.SIGTERM if how == "stop" else signal.SIGINT)
        server.process.wait(20)
    elif how == "reload":
        server.send(signal.SIGHUP)
    elif how == "TERM":
        os.kill(server.worker_pids[0], signal.SIGTERM)
    else:
        server.get("/")
    server.wait_for(r"exited")


ways = pytest.mark.parametrize("how", ["stop", "quick", "reload", "TERM", "recycle"])


def serve_once(serve: Serve, source: str, how: str, *more: str) -> Server:
    return serve(source + HEALTHY, *(("--max-requests", "1") if how == "recycle" else ()), *more).ready()


@ways
@pytest.mark.parametrize("threads", ["1", "8"])
def test_handler_and_atexit_run(serve: Serve, folder: Path, how: str, threads: str) -> None:
    """At each orderly end, once, in this order; and TERM is still the server's to answer."""
    server = serve_once(serve, NOTING + HANDLER + ATEXIT, how, "--threads", threads)
    (pid,) = server.worker_pids
    end(server, how)
    assert notes(folder, pid) == ["handler", "atexit"]
    # It exits, as such handlers do: nothing is wrong with that.
    assert not server.seen("handler raised")


#: A call that nothing interrupts.
STUCK = """
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    while True:
        try: time.sleep(1)
        except BaseException: pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_stuck_call_keeps_neither_from_running(serve: Serve, folder: Path, threads: str) -> None:
    """Also where that call has the main thread."""
    server = serve(NOTING + HANDLER + ATEXIT + STUCK, "--threads", threads, "--graceful-timeout", "1s").ready()
    (pid,) = server.worker_pids
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read_to(b"begun")
    server.send(signal.SIGTERM)
    server.process.wait(20)
    assert notes(folder, pid) == ["handler", "atexit"]


#: What does not end, and what the log says of it.
ENDLESS = {
    "thread": ("threading.Thread(target=time.sleep, args=(600,), name='mine').start()\n", "non-daemon threads mine"),
    "atexit": ("atexit.register(time.sleep, 600)\n", "atexit function does not return"),
    "handler": ("signal.signal(signal.SIGTERM, lambda *args: time.sleep(600))\n", "the SIGTERM handler"),
}


#: Each of them, and each way.
REPRESENTATIVE = (
    ("thread", "stop"), ("atexit", "quick"), ("handler", "reload"), ("thread", "TERM"), ("atexit", "recycle"),
)  # fmt: skip
ENDS = [
    pytest.param(what, how, marks=[] if (what, how) in REPRESENTATIVE else [pytest.mark.exhaustive])
    for what in ENDLESS
    for how in ("stop", "quick", "reload", "TERM", "recycle")
]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "how"), ENDS)
def test_what_never_ends_is_ended(serve: Serve, folder: Path, what: str, how: str) -> None:
    """Within its moment, with a line that says what it was; the other atexit functions have run."""
    source, said = ENDLESS[what]
    server = serve_once(serve, NOTING + ATEXIT + source if what != "atexit" else NOTING + source + ATEXIT, how)
    (pid,) = server.worker_pids
    began = time.monotonic()
    end(server, how)
    assert time.monotonic() - began < 10
    server.wait_for(said)
    assert notes(folder, pid) == ["atexit"]


def test_idle_executor(serve: Serve, folder: Path) -> None:
    """Threads of a ThreadPoolExecutor that wait for work end with the interpreter, at once."""
    source = NOTING + ATEXIT + (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)\npool.submit(int).result()\n"
    )  # fmt: skip
    server = serve_once(serve, source, "stop")
    (pid,) = server.worker_pids
    end(server, "stop")
    assert notes(folder, pid) == ["atexit"]
    assert not server.seen("still running at exit|does not return")


@pytest.mark.parametrize("threads", ["1", "8"])
def test_handler_that_raises(serve: Serve, folder: Path, threads: str) -> None:
    """It is logged, with its line; the end goes on."""
    source = NOTING + ATEXIT + "signal.signal(signal.SIGTERM, lambda *args: 1 / 0)\n" + HEALTHY
    server = serve(source, "--threads", threads, tracebacks=True).ready()
    (pid,) = server.worker_pids
    end(server, "stop")
    server.wait_for("the application's SIGTERM handler raised$")
    server.wait_for("ZeroDivisionError")
    assert notes(folder, pid) == ["atexit"]


def test_last_line_of_the_log(serve: Serve) -> None:
    """What is logged by the last function of the application at its exit is written as well."""
    source = f"""{HEALTHY}
import atexit
from twisted.logger import Logger
atexit.register(lambda: [Logger("shop").info("line {{number}}", number=number) for number in range(300)])
"""
    server = serve(source).ready()
    end(server, "stop")
    server.wait_for("line 299$")


LOCKING = """
import fcntl
lock = open("Data.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def test_application_that_locks_a_file_for_itself(serve: Serve) -> None:
    """stop-first reloads and recycles it, and requests that come meanwhile wait and are answered."""
    server = serve(LOCKING + HEALTHY, "--reload-strategy", "stop-first").ready()
    first = int(server.get("/"))
    with server.connect() as kept:
        kept.get("/")
        server.send(signal.SIGHUP)
        server.wait_for(f"pid {first}.*exited")
        answers = [int(server.get("/")) for _ in range(3)]
        assert int(kept.get("/").body) == answers[0] != first
    server.wait_for("reload complete")
    os.kill(answers[0], signal.SIGTERM)
    server.wait_for("is ready", count=3)
    assert int(server.get("/")) not in (first, answers[0])


def test_reload_of_such_an_application_without_it(serve: Serve) -> None:
    """It is off, and the line names what helps; the old worker serves."""
    server = serve(LOCKING + HEALTHY, tracebacks=True).ready()
    first = server.get("/")
    server.send(signal.SIGHUP)
    server.wait_for("reload cancelled.*stop-first")
    assert server.get("/") == first
