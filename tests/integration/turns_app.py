"""The application of tests/integration/test_turns_reactor.py: uses Twisted, threads and contexts as applications do.

It is copied next to the test as `app.py`. Calls are slow where they must lose the reactor.
"""

from __future__ import annotations

import contextvars
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

#: Made while the application is imported: SQLite refuses it to any other thread.
db = sqlite3.connect(":memory:")
db.execute("create table seen (path text)")
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")
local = threading.local()
lock = threading.Lock()
running = most = 0


def deferred(seconds: float) -> str:
    """A Deferred that a timer fires, awaited from the thread of the request."""
    from twisted.internet import reactor, threads
    from twisted.internet.task import deferLater

    loop: Any = reactor
    later: Any = deferLater
    return str(threads.blockingCallFromThread(loop, later, loop, seconds, lambda: "fired"))


def called() -> str:
    """callFromThread, and whether the thread of the request passes for the reactor's."""
    from twisted.internet import reactor
    from twisted.python import threadable

    loop: Any = reactor
    there: list[bool] = []
    done = threading.Event()

    def look() -> None:
        there.append(threadable.isInIOThread())
        done.set()

    loop.callFromThread(look)
    done.wait(10)
    return f"{there} {threadable.isInIOThread()}"


def context(value: str) -> str:
    """What an earlier request left in the context."""
    before = seen.get()
    seen.set(value)
    return before


def stored(path: str) -> str:
    """Uses the connection that was made at import."""
    db.execute("insert into seen values (?)", (path,))
    return str(db.execute("select count(*) from seen").fetchone()[0])


def pieces() -> Iterator[bytes]:
    """A body that is larger than any buffer on the way."""
    for number in range(64):
        yield b"%08d" % number * 8192


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    global running, most
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    seconds = float(asked.get("seconds", "0"))
    path = environ["PATH_INFO"]
    with lock:
        running += 1
        most = max(most, running)
    try:
        if path == "/deferred":
            text = deferred(seconds)
        elif path == "/called":
            text = called()
        elif path == "/context":
            text = context(asked["value"])
        elif path == "/stored":
            time.sleep(seconds)
            text = stored(path)
        elif path == "/sleep":
            time.sleep(seconds)
            text = "slept"
        elif path == "/compute":
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass
            text = "computed"
        elif path == "/most":
            text = str(most)
        else:
            text = threading.current_thread().name
    finally:
        with lock:
            running -= 1
    if path == "/pieces":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return pieces()
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
