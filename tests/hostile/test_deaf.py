"""No part is deaf while the heart beats: an application that closes or replaces the server's descriptors."""

from __future__ import annotations

import re

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Ended
from tests.integration.harness import GONE, READY, Server

#: Closes what the query names, or puts /dev/null in its place.
SOURCE = """
import os, select, socket

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
    """The worker died loudly, in few lines, another one serves, and nobody was killed for showing no life."""
    server.wait_for(GONE, count=deaths)
    server.wait_for(READY, count=before + deaths)
    assert int(server.get("/")) in server.worker_pids
    assert server.seen("this worker ends, and others go on with its connections")
    assert not server.seen("showed no life")
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
@pytest.mark.parametrize("number", [3, 4, 5])
def test_at_import(serve: Serve, number: int) -> None:
    """The server says so at once, and not after --boot-timeout."""
    server = serve(f"import os\nos.close({number})\ndef app(environ, start_response): pass")
    assert server.exit_code(10) == 3
    assert re.search(rf"closed or replaced the server's file descriptor {number} ", server.log)
