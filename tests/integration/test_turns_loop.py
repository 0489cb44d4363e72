"""The application uses the worker's reactor: Deferreds, timers and calls from threads go on under any leader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import Server, wait_until
from tests.integration.load import several
from tests.integration.test_turns import put

#: Each request goes through the reactor, so that a call on its thread has to lose it. What runs in there checks that it
#: is alone and on the reactor's thread; `/problems` says what it found, `/leaders` how many threads have led for a
#: request.
REACTIVE = """
import threading

from app import wait
from twisted.internet import reactor, task, threads
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python import threadable

inside, problems, leaders, ticks = [], [], set(), []

def run(function, *args):
    if function is not tick:
        leaders.add(threading.get_ident())
    if inside:
        problems.append(f"{function} during {inside}")
    if not threadable.isInIOThread():
        problems.append(f"{function} is not on the reactor's thread")
    inside.append(function)
    try:
        return function(*args)
    finally:
        inside.remove(function)

def deferred(number):
    fired = Deferred()
    fired.addCallback(lambda value: run(lambda: value + 1))
    fired.addCallback(lambda value: task.deferLater(reactor, 0.004, run, lambda: value + 1))
    fired.addCallback(lambda value: threads.deferToThread(lambda: value + 1))
    fired.addCallback(lambda value: run(lambda: value + 1))
    reactor.callLater(0, fired.callback, number)
    return fired

@inlineCallbacks
def coroutine(number):
    for _ in range(4):
        yield task.deferLater(reactor, 0.001, run, lambda: None)
        number += 1
    return number

def timer(number):
    done = threading.Event()
    reactor.callFromThread(reactor.callLater, 0.004, run, done.set)
    return number + 4 if done.wait(10) else "the timer did not fire"

def calls(number):
    order, done = [], threading.Event()
    for turn in range(50):
        reactor.callFromThread(run, order.append, turn)
    reactor.callFromThread(done.set)
    if not done.wait(10):
        return "the calls were not made"
    return number + 4 if order == list(range(50)) else f"the order is {order}"

def blocking(number):
    return threads.blockingCallFromThread(reactor, run, deferred, number)

def raising(number):
    try:
        threads.blockingCallFromThread(reactor, run, lambda: 1 // 0)
    except ZeroDivisionError:
        return number + 4

def coroutines(number):
    return threads.blockingCallFromThread(reactor, coroutine, number)

def tick():
    ticks.append(None)

WORK = {work.__name__: work for work in (timer, calls, blocking, raising, coroutines)}
task.LoopingCall(run, tick).start(0.01)

def app(environ, start_response):
    _, name, number = environ["PATH_INFO"].split("/")
    start_response("200 OK", [])
    if name == "held":
        wait(name)
        answer = "held"
    elif name in WORK:
        answer = WORK[name](int(number))
    else:
        answer = {"problems": problems, "leaders": len(leaders), "ticks": len(ticks)}[name]
    return [str(answer).encode()]
"""

WORK = ("timer", "calls", "blocking", "raising", "coroutines")
settings = pytest.mark.parametrize(
    ("turns", "threads"), [("adaptive", 8), ("inline", 3), ("inline", 1), ("pool", 8)]
)

Serve = Callable[[str, int], Server]


@pytest.fixture
def serve(start: Start, folder: Path) -> Serve:
    """Starts a server with the application."""

    def begin(turns: str, threads: int, *more: Any) -> Server:
        app = put(folder, REACTIVE)
        return start(app, "--turns", turns, "--threads", str(threads), *more).ready()

    return begin


@settings
def test_requests_wait_for_the_reactor(serve: Serve, turns: str, threads: int) -> None:
    """Timers, Deferreds, coroutines and calls from threads answer all requests, on one thread at a time."""
    server = serve(turns, threads)

    def ask(client_number: int) -> None:
        with server.connect() as client:
            for turn in range(15):
                number = 100 * client_number + turn
                answer = client.get(f"/{WORK[number % len(WORK)]}/{number}")
                assert answer.body == b"%d" % (number + 4)

    # Alone first: while others keep every thread in calls, one and the same leads.
    ask(0)
    several(6, ask)
    assert server.get("/problems/") == "[]"
    # Only a call on the leader's thread takes its place; with one thread for calls another leads during all of them.
    assert (int(server.get("/leaders/")) > 1) == (turns != "pool" and threads > 1)


@settings
def test_calls_of_the_application_last(serve: Serve, gate: Gate, turns: str, threads: int) -> None:
    """While every thread is in a call, timers that were started before go on, and on afterwards."""
    server = serve(turns, threads)
    watcher = server.connect()
    before = int(watcher.get("/ticks/").body)
    clients = [server.connect() for _ in range(threads - 1)] or [server.connect()]
    for number, client in enumerate(clients):
        client.ask(f"/held/{number}")
    visitors = [gate.visitor("held") for _ in clients]
    if threads > 1:
        wait_until(lambda: int(watcher.get("/ticks/").body) > before + 5, "further ticks")

    for visitor in visitors:
        visitor.release()
    assert [client.response().body for client in clients] == [b"held"] * len(clients)
    after = int(watcher.get("/ticks/").body)
    wait_until(lambda: int(watcher.get("/ticks/").body) > after + 5, "ticks after the calls")
    assert server.get("/problems/") == "[]"
