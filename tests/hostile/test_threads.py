"""Threads on the real program: none available, clients that do not read, and which thread runs the application."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Client
from tests.integration.harness import Server, wait_until

#: No thread can be started once /refuse was asked for.
REFUSING = """
import threading, time
start = threading.Thread.start
def refuse(thread):
    raise RuntimeError("can't start new thread")
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/refuse":
        threading.Thread.start = refuse
        threading._start_new_thread = lambda *a, **k: refuse(None)
    if path == "/allow":
        threading.Thread.start = start
    if path == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

#: What Django does: a connection to a database for each thread, in a cycle, which its end alone would not close.
PER_THREAD = """
import os, threading
local = threading.local()
open_ones, most, lock = set(), 0, threading.Lock()
class Database:
    def __init__(self):
        global most
        self.me = self
        with lock:
            open_ones.add(id(self)); most = max(most, len(open_ones))
    def __del__(self):
        open_ones.discard(id(self))
def pieces():
    for _ in range(4096):
        local.database
        yield bytes(65536)
def app(environ, start_response):
    if environ["PATH_INFO"] == "/count":
        start_response("200 OK", [])
        return [f"{len(open_ones)} {most}".encode()]
    if not hasattr(local, "database"):
        local.database = Database()
    start_response("200 OK", [])
    return pieces() if environ["PATH_INFO"] == "/stream" else [b"ok"]
"""

WHO = """
import threading, time
seen = set()
def app(environ, start_response):
    seen.add(threading.get_ident())
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [])
    return [str(len(seen)).encode()]
"""


def ask_all(server: Server, targets: list[str]) -> list[int]:
    """Send requests at once, each on its own connection; returns the statuses, 0 for none."""
    statuses = [0] * len(targets)

    def ask(number: int) -> None:
        with Client(server.address) as client:
            statuses[number] = client.get(targets[number]).status

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(targets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return statuses


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_no_thread_is_to_be_had(serve: Serve, threads: str) -> None:
    """Calls that wait take all threads; one still leads, and every request is answered."""
    server = serve(REFUSING, "--threads", threads).ready()
    assert server.get("/refuse") == "ok"
    assert ask_all(server, ["/slow"] * 6 + ["/"] * 10) == [200] * 16
    assert server.get("/") == "ok"


def never_read(server: Server, count: int, target: str) -> list[socket.socket]:
    """Clients that ask and do not read."""
    assert isinstance(server.address, tuple)
    found = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        found.append(sock)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stand_ins", [0, 8])
def test_clients_that_never_read(serve: Serve, stand_ins: int) -> None:
    """60 of them open no more connections than threads may be; the write time-out ends them, and theirs are closed."""
    server = serve(
        PER_THREAD, "--threads", "8", "--stand-ins", str(stand_ins), "--write-timeout", "3s", "--queue-timeout", "60s"
    ).ready()
    clients = never_read(server, 60, "/stream")
    server.wait_for(r"more application threads than --stand-ins")
    if stand_ins:
        server.wait_for(r"up to --stand-ins 8")
    for client in clients:
        client.close()
    assert int(server.get("/count").split()[1]) <= 8 + stand_ins
    wait_until(lambda: int(server.get("/count").split()[0]) <= 8, "their connections are closed", 60.0)


@pytest.mark.slow
@pytest.mark.parametrize("turns", ["adaptive", "inline", "pool"])
def test_as_many_threads_as_the_option_says(serve: Serve, turns: str) -> None:
    """Fast calls and slow ones together run in 8 threads, and never in a ninth."""
    server = serve(WHO, "--threads", "8", "--turns", turns).ready()
    for _ in range(4):
        ask_all(server, ["/", "/wait?0.05", "/", "/long?0.2", "/", "/"] * 6)
        with Client(server.address) as client:
            for _ in range(200):
                seen = int(client.get("/").body)
    assert seen <= 8


STUCK_LOCK = """
import threading, time
lock = threading.Lock()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        lock.acquire()
        while True:
            sum(range(1000))
    if environ["PATH_INFO"] == "/locked":
        with lock:
            pass
    start_response("200 OK", [])
    return [b"ok"]
"""


@pytest.mark.slow
def test_interrupted_request_leaves_a_lock_taken(serve: Serve) -> None:
    """504, the request is named, and the worker is replaced at once; who waits for the lock is answered by another."""
    server = serve(STUCK_LOCK, "--request-timeout", "1s", "--threads", "2", tracebacks=True).ready()
    with server.connect() as client:
        assert client.get("/report").status == 504
    server.wait_for(r"GET /report \[.+\]: \d+\.\d s, over --request-timeout 1 s; replacing worker 1,")
    server.wait_for(r"worker 2 \(pid \d+\) is ready")
    wait_until(lambda: ask_all(server, ["/locked"] * 2) == [200] * 2, "the lock is free")


#: Logs, prints and raises all the time, on both of the ways in which our log's lock is taken.
NOISY = """
import sys, time
from twisted.logger import Logger
log = Logger()
def app(environ, start_response):
    path, end = environ["PATH_INFO"], time.monotonic() + 5
    if path == "/":
        start_response("200 OK", [])
        log.warn("here")
        print("there")
        return [b"ok"]
    while time.monotonic() < end:
        if path == "/log":
            log.info("a line of the application")
        elif path == "/print":
            print("a line of the application")
        else:
            environ["wsgi.errors"].write("a line of the application\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/log", "/print", "/errors"])
def test_time_is_over_while_the_application_logs(serve: Serve, path: str) -> None:
    """No lock of ours stays taken: the same worker logs, prints and answers afterwards."""
    server = serve(
        NOISY, "--request-timeout", "100ms", "--threads", "4", "--boot-timeout", "0", tracebacks=True
    ).ready()
    for _ in range(10):
        statuses = ask_all(server, [path] * 3 + ["/"])
        assert statuses == [504, 504, 504, 200]
