"""No part is deaf while the heart beats: an application that closes or replaces the server's descriptors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Ended
from tests.integration.harness import GONE, READY, Server

#: Closes what the query names, or puts /dev/null in its place.
SOURCE = """
import os, select, socket, time

def loop():
    from twisted.internet import reactor
    return reactor

NUMBERS = {
    "orders": lambda: 3,
    "reports": lambda: 4,
    "channel": lambda: 5,
    "reactor's epoll": lambda: loop().own_descriptor(),
    "connections' epoll": lambda: max(number for number in map(int, os.listdir("/proc/self/fd")) if is_epoll(number)),
    "waker": lambda: loop().waker.i,
    "waker's end": lambda: loop().waker.o,
}

def is_epoll(number):
    try:
        return "eventpoll" in os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return False

def app(environ, start_response):
    verb, _, name = environ["PATH_INFO"].strip("/").partition("/")
    if verb == "close":
        os.close(NUMBERS[name]())
    elif verb == "replace":
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, NUMBERS[name]())
        os.close(null)
    elif verb == "range":
        os.closerange(3, 256)
    elif verb == "late" and environ["twistcorn.attempt"] == 1:
        time.sleep(20)
    elif verb == "words":
        mine = os.open("mine", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(mine, 7)
        os.close(mine)
    elif verb == "crash":
        import faulthandler
        faulthandler._sigsegv()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
NAMES = ("orders", "reports", "channel", "reactor's epoll", "connections' epoll", "waker", "waker's end")
#: Lines of log that one such event may cost.
FEW = 80


def hit(server: Server, target: str) -> None:
    """Ask for it; whether that has an answer is the worker's luck."""
    with server.connect() as client:
        client.ask(target.replace(" ", "%20").replace("'", "%27"))
        try:
            client.response()
        except (Ended, ConnectionError):
            return


def check_replaced(server: Server, deaths: int, before: int) -> None:
    """The worker died loudly, in few lines, another one serves, and none was killed as unresponsive."""
    server.wait_for(GONE, count=deaths)
    server.wait_for(READY, count=before + deaths)
    assert int(server.get("/")) in server.worker_pids
    assert server.seen("worker exits; other workers take over its connections")
    assert not server.seen("unresponsive")
    assert len(server.lines) < FEW * deaths


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["close", "replace"])
@pytest.mark.parametrize("name", NAMES)
def test_one_descriptor(serve: Serve, verb: str, name: str) -> None:
    """Whichever it is, and though the number may be another's by now: the worker ends loudly and is replaced."""
    server = serve(SOURCE, tracebacks=True).ready()
    hit(server, f"/{verb}/{name}")
    check_replaced(server, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_all_descriptors_twice(serve: Serve, workers: int) -> None:
    """`os.closerange`, as daemonizing code does it, kills a worker each time and never the server."""
    server = serve(SOURCE, "--workers", str(workers), tracebacks=True).ready(workers)
    for count in (1, 2):
        hit(server, "/range")
        server.wait_for(READY, count=workers + count)
    check_replaced(server, 2, workers)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("turns", ["inline", "pool"])
def test_who_closes_all_descriptors_is_told(serve: Serve, method: str, turns: str) -> None:
    """The master has the connection as well: 502, and the request is not run again, though it is a GET."""
    server = serve(SOURCE, "--turns", turns, tracebacks=True).ready()
    with server.connect() as client:
        client.ask("/range", method, b"" if method == "POST" else None)
        assert client.response().status == 502
    server.wait_for(r"exit code 70(, \d+ MiB resident)?; running: .* /range for .*blamed")
    check_replaced(server, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 502)])
def test_request_that_runs_when_an_earlier_one_is_found_out(serve: Serve, method: str, status: int) -> None:
    """The only one, but not to blame: it runs again where its method allows that."""
    server = serve(SOURCE, tracebacks=True).ready()
    with server.connect() as client, server.connect() as innocent:
        client.get("/")
        innocent.get("/")
        assert client.get("/close/orders").status == 200
        innocent.ask("/late", method, b"" if method == "POST" else None)
        assert innocent.response().status == status
    server.wait_for(rf"exit code 71(, \d+ MiB resident)?; running: {method} /late for [0-9.]+ s; connections: ")
    check_replaced(server, 1, 1)


@pytest.mark.slow
def test_file_of_the_application_gets_no_last_words(serve: Serve, folder: Path) -> None:
    """Its number was that of our last words: these go to the log, within a heartbeat."""
    server = serve(SOURCE, tracebacks=True).ready()
    hit(server, "/words")
    server.wait_for(r"file descriptor 7 \(last words\)")
    hit(server, "/crash")
    server.wait_for(GONE)
    server.wait_for("Fatal Python error: Segmentation fault")
    server.wait_for(READY, count=2)
    hit(server, "/words")
    hit(server, "/close/channel")
    server.wait_for(GONE, count=2)
    server.wait_for(READY, count=3)
    assert (folder / "mine").read_bytes() == b""


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 4, 5])
def test_at_import(serve: Serve, number: int) -> None:
    """The server says so at once, and not after --boot-timeout."""
    server = serve(f"import os\nos.close({number})\ndef app(environ, start_response): pass")
    assert server.exit_code(10) == 3
    assert re.search(rf"closed or replaced the server's file descriptor {number} ", server.log)
