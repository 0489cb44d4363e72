"""What applications fork, and what becomes of it when their worker ends: nothing of it outlives the worker.

Law: what is left is what /proc shows; each process that a test makes stay is ended by it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.conftest import Start
from tests.integration.harness import Server, wait_until

#: Each path starts something that stays until it is ended, and answers with the worker's pid.
FORKING = """
import ctypes, multiprocessing, os, signal, subprocess, sys, threading, time
kept = []

def sleep():
    while True:
        time.sleep(600)

def child(*before):
    if not os.fork():
        for each in before:
            each()
        sleep()

def pool():
    kept.append(multiprocessing.get_context("fork").Pool(4))
    kept[-1].map(abs, range(8))

def process():
    kept.append(multiprocessing.get_context("fork").Process(target=sleep))
    kept[-1].start()

def twice():
    # The second child is an orphan at once, its worker alive.
    if not os.fork():
        parent = os.getpid()
        if not os.fork():
            while os.getppid() == parent:
                time.sleep(0.01)
            os.write(1, b"orphan %d\\n" % os.getpid())
            sleep()
        os._exit(0)

def nested():
    if not os.fork():
        pool()
        sleep()

def by_c_code():
    # No hook of Python's runs there. It might return and end, or wait for a lock for ever: this one stays.
    if not ctypes.PyDLL(None).fork():
        sleep()

def deaf():
    child(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN), lambda: os.write(1, b"deaf now\\n"))

def renamed():
    child(lambda: ctypes.CDLL(None).prctl(15, b"renamed", 0, 0, 0))

def of_own_group():
    child(os.setpgrp)

def program():
    kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
    os.write(1, b"program %d\\n" % kept[-1].pid)

def program_of_own_session():
    kept.append(subprocess.Popen(["sleep", "600"], start_new_session=True))
    os.write(1, b"program %d\\n" % kept[-1].pid)

def daemon():
    if not os.fork():
        os.setsid()
        os.fork() and os._exit(0)
        os.write(1, b"program %d\\n" % os.getpid())
        sleep()

def app(environ, start_response):
    what = environ["PATH_INFO"][1:]
    me = os.getpid()
    if what:
        globals()[what]()
    start_response("200 OK", [])
    return [str(me).encode()]
"""

COPIES = ["pool", "process", "child", "twice", "nested", "by_c_code", "deaf", "renamed", "of_own_group"]
PROGRAMS = ["program", "program_of_own_session", "daemon"]

WAYS = ["kill", "TERM", "reload", "recycle", "stop", "quick stop"]

#: A service in somebody else's program.
TAC = """
from twisted.application.service import Application
from twisted.internet import reactor
from twistcorn.service import WSGIPoolService
application = Application("theirs")
WSGIPoolService("app:app", reactor=reactor, listen=["127.0.0.1:0"], workers=1).setServiceParent(application)
"""


def family(server: Server) -> set[int]:
    """The server, its workers, and whatever came of them: all that live and write to its output."""
    assert server.process.stdout is not None
    if server.process.stdout.closed:
        # It came to its end, which is when nobody writes to it any more.
        return set()
    # Both ends of a pipe have one name.
    pipe = os.readlink(f"/proc/self/fd/{server.process.stdout.fileno()}")
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "fd" / "1") == pipe:
                    found.add(int(entry.name))
    return found


def end_worker(server: Server, how: str) -> None:
    """End the one worker, or the server, and wait until the log says so."""
    (worker,) = server.worker_pids
    if how == "kill":
        os.kill(worker, signal.SIGKILL)
    elif how == "TERM":
        os.kill(worker, signal.SIGTERM)
    elif how == "reload":
        server.send(signal.SIGHUP)
    elif how == "recycle":
        for _ in range(8):
            server.get("/")
    else:
        server.send(signal.SIGTERM if how == "stop" else signal.SIGINT)
    server.wait_for(rf"worker 1 \(pid {worker}\) (exited|died)")


def serve_one(serve: Serve, how: str, *more: str) -> Server:
    limit = ("--max-requests", "6") if how == "recycle" else ()
    return serve(FORKING, *limit, *more).ready()


def fork_and_end(server: Server, what: str, how: str) -> None:
    """Have something forked, and end its worker: nothing of it is left, and the next worker is alone."""
    before = family(server)
    assert len(before) == 2
    assert int(server.get(f"/{what}")) in before
    wait_until(lambda: len(family(server)) > 2, "something was forked")
    theirs = family(server) - before
    end_worker(server, how)
    wait_until(lambda: not family(server) & theirs, "what was forked has ended")
    if how in ("stop", "quick stop"):
        assert server.exit_code() == 0
    else:
        server.wait_for("is ready", count=2)
        wait_until(lambda: len(family(server)) == 2, "the server and its new worker are all there is")


@pytest.mark.parametrize("how", ["kill", "recycle", "stop"])
def test_pool_ends_with_its_worker(serve: Serve, how: str) -> None:
    """Four processes of a pool are gone soon after their worker, in whichever way it ended."""
    fork_and_end(serve_one(serve, how), "pool", how)


#: Each child once, by the way that leaves the least time; and each way once.
CASES = [
    pytest.param(what, how, marks=[] if how == "kill" or what == "pool" else [pytest.mark.exhaustive])
    for what in COPIES
    for how in WAYS
]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "how"), CASES)
def test_what_is_forked_ends_with_its_worker(serve: Serve, what: str, how: str) -> None:
    """However it was forked, whatever it does with signals, and however the worker ends."""
    fork_and_end(serve_one(serve, how), what, how)


def test_line_about_them(serve: Serve) -> None:
    """One line for the orphans of a worker, with their pids, and with those that did not hear TERM."""
    server = serve(FORKING).ready()
    before = family(server)
    worker = int(server.get("/pool"))
    server.get("/deaf")
    server.wait_for("deaf now")
    theirs = family(server) - before
    os.kill(worker, signal.SIGKILL)
    line = rf"pid {worker}\): terminated 5 processes forked by its application \((.*); by SIGKILL: (.*)\)"
    ((pids, killed),) = [found.groups() for found in server.wait_for(line)]
    assert set(map(int, pids.split(", "))) == theirs
    assert int(killed) in theirs
    assert not family(server) & theirs


def test_they_are_told_to_end_in_their_own_way(serve: Serve) -> None:
    """TERM comes first: a child with a handler does what it has to."""
    source = FORKING + """
def polite():
    child(lambda: signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), os._exit(0))))
"""
    server = serve(source).ready()
    os.kill(int(server.get("/polite")), signal.SIGKILL)
    server.wait_for("bye")
    assert "SIGKILL: " not in server.wait_for(r"forked by its application.*")[0][0]


@pytest.mark.parametrize("others", ["live", "die"])
def test_orphans_of_one_worker_are_not_anothers(serve: Serve, others: str) -> None:
    """What a worker's application forked stays while that worker lives, though it is an orphan already."""
    server = serve(FORKING, "--workers", "2").ready(workers=2)
    first = int(server.get("/twice"))
    (other,) = set(server.worker_pids) - {first}
    orphan = int(server.wait_for(r"orphan (\d+)")[0][1])
    os.kill(other if others == "die" else first, signal.SIGKILL)
    server.wait_for("is ready", count=3)
    if others == "die":
        assert orphan in family(server)
    else:
        wait_until(lambda: orphan not in family(server), "it ends with its own worker")


@pytest.mark.parametrize("end", ["os._exit(3)", "raise ValueError('at import')", "os.kill(os.getpid(), 9)"])
def test_forked_while_the_application_is_imported(serve: Serve, end: str) -> None:
    """A worker that never gets ready takes with it what was forked there."""
    server = serve(FORKING + f"\nchild()\n{end}\n", tracebacks=True)
    assert server.exit_code() == 3
    assert not family(server)


@pytest.mark.parametrize("how", ["kill", "TERM", "stop"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_programs_stay(serve: Serve, what: str, how: str) -> None:
    """A program started with exec, or with its own session, is not a copy: it outlives its worker."""
    server = serve(FORKING).ready()
    server.get(f"/{what}")
    pid = int(server.wait_for(r"program (\d+)")[0][1])
    try:
        end_worker(server, how)
        if how == "stop":
            assert server.process.wait(20) == 0
        else:
            server.wait_for("is ready", count=2)
        assert pid in family(server)
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in family(server), "it is ended by the test")


@pytest.mark.parametrize("front", ["twist", "twistd"])
def test_under_the_other_commands(serve: Serve, start: Start, folder: Path, front: str) -> None:
    """twist and twistd do the same."""
    (folder / "app.py").write_text(FORKING)
    server = start("--app", "app:app", front=front).ready()
    before = family(server)
    worker = int(server.get("/pool"))
    theirs = family(server) - before
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not family(server) & theirs, "what was forked has ended")


def test_embedded_in_another_program(start: Start, folder: Path) -> None:
    """Orphans are that program's affair; an orderly end of a worker takes them along all the same."""
    (folder / "app.py").write_text(FORKING)
    (folder / "mysite.tac").write_text(TAC)
    server = start(front="tac", listen=()).ready()
    before = family(server)
    worker = int(server.get("/child"))
    assert "Subreaper" not in Path(f"/proc/{server.pid}/status").read_text()
    theirs = family(server) - before
    assert len(theirs) == 1
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: not family(server) & theirs, "what was forked has ended")


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["group", "tree"])
@pytest.mark.parametrize(
    "what", ["nested", *(pytest.param(what, marks=pytest.mark.exhaustive) for what in ("pool", "process"))]
)
def test_term_to_everybody(serve: Serve, what: str, whom: str) -> None:
    """As service managers do it: a worker, its pool and the master get SIGTERM at once, and all are gone in no time."""
    server = serve(FORKING, "--graceful-timeout", "60").ready()
    server.get(f"/{what}")
    if whom == "group":
        os.killpg(server.pid, signal.SIGTERM)
    else:
        for pid in family(server):
            os.kill(pid, signal.SIGTERM)
    assert server.exit_code(timeout=12) == 0
    assert not server.seen("SIGKILL|was killed")
