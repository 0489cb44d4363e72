"""Nothing that the server needs is imported after the application: what an application does to imports is its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Ended
from tests.integration.harness import Server, wait_until

#: Notes each import that is not its own from the end of its own on, also those of its end; by worker.
SOURCE = """
import atexit, os, sys, threading, time
class Note:
    def find_spec(self, name, path=None, target=None):
        with open(f"imported-{os.getpid()}", "a") as file: file.write(name + "\\n")
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise": raise ValueError("on purpose")
    if path == "/import": import colorsys
    if path == "/sleep": time.sleep(0.4)
    if path == "/loop":
        try:
            while True: time.sleep(0.01)
        except BaseException: time.sleep(3)
    if path == "/write":
        write = start_response("200 OK", []); write(b"a"); write(b"b"); return []
    if path == "/short":
        start_response("200 OK", [("Content-Length", "10")]); return [b"few"]
    if path == "/file":
        start_response("200 OK", []); return environ["wsgi.file_wrapper"](open("app.py", "rb"))
    if path == "/print":
        print("here", file=environ["wsgi.errors"]); print("there"); print("part", end="")
    if path == "/fork" and not os.fork(): return []
    start_response("200 OK", [])
    if path == "/body": return [environ["wsgi.input"].read()[:3], b"x"]
    if path == "/pieces": return iter([b"x" * 70000] * 30)
    return [str(os.getpid()).encode()]
sys.meta_path.insert(0, Note())
"""
PATHS = ("/", "/import", "/raise", "/sleep", "/write", "/file", "/print", "/fork", "/pieces", "/nobody?a=b", "/%2e/%2e")
#: Requests as they are sent; each on its own connection, and its answer, or none, is not checked.
RAW = (
    b"GET / HTTP/1.0\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
    b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100,
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nCookie: a=b\r\n\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n",
)
ARGUMENTS = ("--request-timeout", "1s", "--slow", "200ms", "--limit-request-body", "3000000", "--body-timeout", "1s")


def ask_everything(server: Server) -> None:
    with server.connect() as kept:
        for path in PATHS * 2:
            kept.get(path)
    for raw in RAW:
        with server.connect() as client:
            client.send(raw)
            try:
                client.response("HEAD" if raw.startswith(b"HEAD") else "GET")
            except (Ended, ConnectionError):
                continue


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threads", "form"),
    [
        ("4", "text"), ("1", "json"),
        pytest.param("1", "text", marks=pytest.mark.exhaustive),
        pytest.param("4", "json", marks=pytest.mark.exhaustive),
    ],
)
def test_nothing_is_imported_after_the_application(
    serve: Serve, folder: Path, threads: str, form: str
) -> None:
    """Not for the first of any kind of request, not for a reload, TERM, a stack, a time-out, and not for the end."""
    server = serve(
        SOURCE, *ARGUMENTS, "--threads", threads, "--access-log", "access", "--log-format", form, tracebacks=True
    )  # fmt: skip
    if form == "text":
        server.ready()
    else:
        found = server.wait_for(r"serving on http://([\d.]+):(\d+)")[0]
        server.ready_at((found[1], found[2]))
    ask_everything(server)
    server.send(signal.SIGUSR1)
    server.send(signal.SIGHUP)
    server.wait_for("reload complete")
    ask_everything(server)
    pid = int(server.get("/"))
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker is gone")
    server.send(signal.SIGTERM)
    server.exit_code()
    late = {name for notes in folder.glob("imported-*") for name in notes.read_text().split()}
    assert late == {"colorsys"}, "what the application itself imports, which shows that it is noted"
