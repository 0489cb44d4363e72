"""The log: a loop that logs without end, and time-outs that come to threads while they log."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.harness import Server, wait_until

#: A view that raises, another one that raises elsewhere, and a thread in which Twisted's log is used in a loop.
RAISES = """
import threading
from twisted.python import log

def loop(times):
    for number in range(times):
        try:
            raise KeyError(number)
        except KeyError:
            log.err(None, "looping")
    print("looped", flush=True)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/other":
        {}["another one"]
    if path == "/loop":
        threading.Thread(target=loop, args=(20000,)).start()
        start_response("200 OK", [])
        return [b"begun"]
    1 / 0
"""


def told(lines: list[str], what: str) -> tuple[int, int]:
    """How many entries say this in full, and for how many more a number stands."""
    full = sum(what in line and "repeated" not in line for line in lines)
    numbers = (re.search(r"repeated (\d+) times", line) for line in lines if what in line)
    return full, sum(int(found[1]) for found in numbers if found)


def test_application_that_raises_all_the_time(serve: Serve) -> None:
    """Some errors are logged in full, the others counted, and none is lost; an error elsewhere is logged meanwhile."""
    server = serve(RAISES, tracebacks=True).ready()
    client = server.connect()
    for _ in range(400):
        assert client.get("/boom").status == 500
    assert client.get("/other").status == 500
    server.wait_for("KeyError: 'another one'")
    assert told(server.lines, "GET /other") == (1, 0)
    server.send(2)
    assert server.exit_code() == 0
    full, counted = told(server.lines, "GET /boom")
    assert full + counted == 400
    assert 0 < full < 200
    assert len(server.seen("ZeroDivisionError: division by zero")) < 250
    assert server.seen(r"repeated \d+ times in \d+\.\d s: GET /boom \[.*\]: the application raised: ZeroDivisionError")


@pytest.mark.slow
def test_loop_that_logs_without_end(serve: Serve) -> None:
    """It costs some lines every ten seconds, and hides nothing that others say; all is counted in the end."""
    server = serve(RAISES, tracebacks=True).ready()
    assert server.get("/loop") == "begun"
    with server.connect() as client:
        assert client.get("/other").status == 500
    server.wait_for("GET /other")
    server.wait_for("looped")
    server.send(2)
    assert server.exit_code() == 0
    full, counted = told(server.lines, "looping")
    assert full + counted == 20000
    assert len(server.lines) < 2000


#: Threads that log all the time, each with its own handler (and so its own lock of the logging module), and a stream
#: that logs when it is asked to; all of it goes to a file.
LOGS = """
import logging, os, sys, time
out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(out, 2)

def logger(name):
    made = logging.Logger(name)
    made.addHandler(logging.StreamHandler(sys.stderr))
    return made.error

def by_errors(environ):
    return lambda text: environ["wsgi.errors"].write(text + "\\n")

def by_print(environ):
    return lambda text: print(text, file=sys.stderr)

def by_twisted(environ):
    from twisted.logger import Logger
    return lambda text: Logger("shop").error("{text}", text=text)

def by_logging(environ):
    return logger(environ["PATH_INFO"])

WAYS = {"errors": by_errors, "print": by_print, "twisted": by_twisted, "logging": by_logging}

def app(environ, start_response):
    verb, way, number = environ["PATH_INFO"].strip("/").split("/")
    say = WAYS[way](environ)
    start_response("200 OK", [])
    if verb == "hit":
        while True:
            say("hit " + number)
    return steady(say)

def steady(say):
    for number in range(1000):
        say(f"steady {os.getpid()} {number}.")
        yield b"%d" % number
        time.sleep(0.01)
"""
#: Threads that are hit at once, and workers in which that happens.
THREADS, ROUNDS = 12, 3


@pytest.mark.slow
@pytest.mark.parametrize("way", ["errors", "print", "twisted", "logging"])
def test_time_outs_in_threads_that_log(serve: Serve, folder: Path, way: str) -> None:
    """Other threads that log in that process go on, and each interrupted request gets its 504."""
    server = serve(
        LOGS, "--threads", str(THREADS + 1), "--request-timeout", "0.4", "--access-log", "-", tracebacks=True
    ).ready()  # fmt: skip
    for number in range(ROUNDS):
        with server.connect() as steady:
            steady.ask(f"/steady/{way}/0")
            steady.read_to(b"\r\n\r\n")
            hit = [server.connect() for _ in range(THREADS)]
            for each in hit:
                each.ask(f"/hit/{way}/{number}")
            assert [each.response().status for each in hit] == [504] * THREADS
            now = int(steady.chunk()) + 5
            while int(steady.chunk()) < now:
                pass
            wait_until(partial(has_logged, server, folder / "out", now), "a line of another thread")
        for each in hit:
            each.close()
        server.wait_for("is ready", count=number + 2)
    assert len(server.seen(rf'"GET /hit/{way}/\d+ HTTP/1.1" 504 ')) == THREADS * ROUNDS


def has_logged(server: Server, path: Path, number: int) -> bool:
    """Whether the thread that was not hit has logged this number, in the newest worker that has such a thread.

    What goes by Twisted's log stays with the server's, wherever descriptor 2 leads.
    """
    lines = [line for line in [*server.lines, *path.read_text(errors="replace").splitlines()] if "steady " in line]
    who = lines[-1].partition("steady ")[2].partition(" ")[0]
    return any(f"steady {who} {number}." in line for line in lines)


LATE = """
import time

def late():
    yield b"first"
    while True:
        time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/piece":
        return late()
    while True:
        time.sleep(0.01)
"""


@pytest.mark.slow
def test_time_out_is_the_same_everywhere(serve: Serve) -> None:
    """504 for the client is 504 in the access log, and the server's log names the request by the same id."""
    server = serve(LATE, "--request-timeout", "0.3", "--access-log", "-", "--access-log-format",
                   "%(m)s %(U)s %(s)s %(id)s", tracebacks=True).ready()  # fmt: skip
    with server.connect() as client:
        client.ask("/none", headers="X-Request-Id: mine\r\n")
        assert client.response().status == 504
    server.wait_for(r"^GET /none 504 (.+)$")
    (ident,) = {found[1] for found in server.seen(r"^GET /none 504 (.+)$")}
    server.wait_for(rf"GET /none \[{ident}\]: the application took too long")
    server.wait_for(rf"GET /none \[{ident}\]: .* over --request-timeout 0.3 s")
    assert not server.seen("/none.* 50[023]")


@pytest.mark.slow
def test_time_out_behind_the_first_piece(serve: Serve) -> None:
    """The client has its 200, which cannot be taken back; the log says what became of it."""
    server = serve(LATE, "--request-timeout", "0.3", "--access-log", "-", "--access-log-format",
                   "%(m)s %(U)s %(s)s %(X)s", tracebacks=True).ready()  # fmt: skip
    with server.connect() as client:
        client.ask("/piece")
        assert client.read_to(b"first").startswith(b"HTTP/1.1 200 ")
        assert b"\r\n0\r\n" not in client.rest()
    server.wait_for(r"GET /piece \[.+\]: the application took too long")
    server.wait_for(r"^GET /piece 200 X$")


SPOILS = """
class Text(str):
    def __str__(self):
        raise KeyError("no text")

class Worse:
    def __str__(self):
        raise SystemExit("no text")

VALUES = {"text": "x", "none": None, "list": [1], "subclass": Text("y"), "raises": Worse(), "lines": 'a"\\n\\x1b[31mb'}

def app(environ, start_response):
    how = environ["PATH_INFO"].strip("/")
    if how == "clear":
        environ.clear()
    elif how in VALUES:
        for name in list(environ):
            environ[name] = VALUES[how]
    start_response("200 OK", [])
    return [b"served"]
"""
HOWS = ["good", "clear", "text", "none", "list", "subclass", "raises", "lines"]


FORMS = ["extended", "json", "%(h)s %(U)s %(s)s %(queue)s %(attempt)s %(id)s %({wsgi.version}e)s"]


@pytest.mark.parametrize("form", FORMS)
def test_environ_that_the_application_has_spoiled(serve: Serve, form: str) -> None:
    """Each request has its line, whole and one: what is the server's own comes from the server."""
    server = serve(SPOILS, "--access-log", "-", "--access-log-format", form).ready()
    with server.connect() as client:
        for how in HOWS:
            assert client.get(f"/{how}").body == b"served"
    server.wait_for(f"/{HOWS[-1]}\\b")
    for how in HOWS:
        (line,) = [line for line in server.lines if re.search(rf"/{how}\b", line)]
        assert "\x1b" not in line
        if form == "json":
            entry = json.loads(line)
            assert (entry["status"], entry["queue_time"], entry["attempt"]) == (200, 0.0, 1)
            assert entry["request_id"]
    assert not server.seen("internal error")
