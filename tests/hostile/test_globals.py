"""Process-wide things that an application changes: the server serves on, or says at once what it cannot live with."""

from __future__ import annotations

import contextlib
import signal
import textwrap
from pathlib import Path

import pytest

from tests.hostile.changes import CHANGES
from tests.hostile.conftest import HEALTHY, Serve
from tests.integration.client import Ended
from tests.integration.harness import Server

#: An application that makes a change when it is asked to, and can report what it still does.
FRAME = '''
import os as _os, threading as _threading
from time import sleep as _sleep
_pid, _Thread = str(_os.getpid()).encode(), _threading.Thread
_start, _join = _Thread.start, _Thread.join

def _is_mine(frame):
    # Whether the application's code runs there, which would get what it deserves.
    while frame is not None and frame.f_code.co_filename != __file__: frame = frame.f_back
    return frame is not None

def change():
{change}

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/view": change()
    if path == "/thread":
        thread = _Thread(target=change); _start(thread); _join(thread)
    if path == "/raise": raise ValueError("on purpose")
    if path == "/slow": _sleep(1.3)
    start_response("200 OK", [])
    if path == "/body": return [str(len(environ["wsgi.input"].read())).encode()]
    if path == "/pieces": return iter([b"x" * 70000] * 30)
    return [_pid]
'''
#: Bytes of bodies: one that comes with its head, one that does not, one that goes to a file.
SIZES = 10, 300_000, 2_000_000

#: A heartbeat each second; slow requests are logged at once.
WATCHED = "--heartbeat-timeout", "4s", "--slow", "200ms", "--access-log", "access"


def framed(change: str, at_import: bool = False) -> str:
    """The application with this change."""
    return FRAME.format(change=textwrap.indent(change, "    ")) + ("\nchange()\n" if at_import else "")


def still_serves(server: Server, pid: int) -> None:
    """Every kind of request is answered by the worker that was changed, on new connections and on one that lasts."""
    lasting = server.connect()
    for _ in range(3):
        assert server.get("/") == str(pid)
        assert lasting.get("/").body == str(pid).encode()
    for size in SIZES:
        lasting.ask("/body", "POST", b"x" * size)
        assert lasting.response().body == str(size).encode()
    lasting.send(b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert lasting.response().body == b"3"
    assert len(lasting.get("/pieces").body) == 30 * 70000
    mark = server.mark()
    assert server.connect().get("/raise").status == 500
    server.wait_for(r"GET /raise .*the application raised", since=mark)


def still_watched(server: Server, pid: int) -> None:
    """Heartbeats go on, and a slow request is logged with its stack."""
    mark = server.mark()
    assert server.get("/slow") == str(pid)
    server.wait_for("slow: GET /slow", since=mark)
    server.wait_for("in app$|stack not available", since=mark)


def next_worker(server: Server) -> int:
    """Reload: the worker that was changed leaves in order, and another one serves."""
    (old,) = server.worker_pids
    mark = server.mark()
    server.send(signal.SIGHUP)
    server.wait_for("reload complete", since=mark)
    server.wait_for(rf"\(pid {old}\) exited", since=mark)
    (new,) = server.worker_pids
    return new


def check_change(serve: Serve, folder: Path, name: str, *threads: str) -> None:
    """In a view, in a thread where there are several, at import; each in its own worker, which leaves in order."""
    change = CHANGES[name]
    server = serve(framed(change), *WATCHED, *threads, tracebacks=True).ready()
    (pid,) = server.worker_pids
    for place in ("view",) if threads[-1] == "1" else ("view", "thread"):
        assert server.get(f"/{place}") == str(pid), place
        still_serves(server, pid)
        if place == "view":
            still_watched(server, pid)
        if place == "view" and threads[-1] != "1":
            pid = next_worker(server)
    (folder / "app.py").write_text(framed(change, at_import=True))
    pid = next_worker(server)
    still_serves(server, pid)
    still_watched(server, pid)
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not server.seen("died|was killed|ended by|unresponsive|internal error")
    assert "POST /body" in (folder / "access").read_text()


def test_the_server_serves_after_a_default_time_out(serve: Serve, folder: Path) -> None:
    """`socket.setdefaulttimeout` made every worker deaf after its first connections."""
    check_change(serve, folder, "default time-out", "--threads", "2")


#: These once stopped a server, and stand for their kinds.
ONCE_FATAL = (
    "socket class", "epoll", "clock stands still", "functions of os", "threads' start", "handlers that raise",
    "standard descriptors closed", "builtins",
)  # fmt: skip
CASES = [
    pytest.param(name, threads, marks=[] if name in ONCE_FATAL and threads == "2" else [pytest.mark.exhaustive])
    for name in CHANGES
    for threads in ("2", "1")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "threads"), CASES)
def test_the_server_serves_after(serve: Serve, folder: Path, name: str, threads: str) -> None:
    """One change alone, wherever it is made."""
    check_change(serve, folder, name, "--threads", threads)


#: What gevent's and eventlet's patching does to Python's threads.
GREEN = """
import sys, _thread, threading
def start_new_thread(*_): return 1
genuine = threading.get_ident
def get_ident(): return genuine()
start_new_thread.__module__ = get_ident.__module__ = "gevent.thread"
def patch():
    _thread.start_new_thread = threading._start_new_thread = start_new_thread
    _thread.get_ident = threading.get_ident = get_ident
def app(environ, start_response):
    if environ["PATH_INFO"] == "/patch": patch()
    start_response("200 OK", [])
    return [b"served"]
"""


def test_green_threads_at_import_fail_the_boot_at_once(serve: Serve) -> None:
    """One line says whose threads they are and what to do, long before --boot-timeout is over."""
    server = serve(f"{GREEN}\npatch()\n")
    server.wait_for("replaces Python's threads with gevent's .*gevent.monkey.patch_all.*Remove that call", timeout=10)
    assert server.exit_code() == 3


def test_a_wrapper_of_thread_starts_is_no_green_thread(serve: Serve) -> None:
    """Monitoring wraps how a thread starts, and it is a thread of the kernel all the same."""
    wrapper = f"""{HEALTHY}
import threading
genuine = threading._start_new_thread
def start_new_thread(*arguments): return genuine(*arguments)
threading._start_new_thread = start_new_thread
"""
    assert serve(wrapper).ready().get("/").isdigit()


def test_green_threads_in_a_view_end_the_worker_loudly(serve: Serve) -> None:
    """It is logged with the next heartbeat, and another worker serves."""
    server = serve(GREEN).ready()
    # The heartbeat may come first.
    with contextlib.suppress(Ended):
        server.connect().get("/patch")
    server.wait_for("replaced Python's threads with gevent's while serving: this worker ends")
    server.ready(workers=2)
    assert server.get("/") == "served"


#: How an application ends its own process.
DEATHS = {
    "exit": "import os; os._exit(3)",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os; os.abort()",
    "late exit": "import faulthandler; faulthandler.dump_traceback_later(0.01, exit=True); _threading.Event().wait(9)",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEATHS)
def test_the_application_ends_its_process(serve: Serve, folder: Path, name: str) -> None:
    """It is logged, and another worker serves; at import, the boot fails at once."""
    server = serve(framed(DEATHS[name]), tracebacks=True).ready()
    for number, place in enumerate(("view", "thread"), 1):
        (pid,) = server.worker_pids
        # A GET runs once more, and ends the next one as well.
        server.connect().ask(f"/{place}", "POST", b"")
        server.wait_for(rf"worker {number} \(pid {pid}\) (died|ended)")
        server.ready(workers=number + 1)
        assert server.get("/") == str(server.worker_pids[-1])
    (folder / "app.py").write_text(framed(DEATHS[name], at_import=True))
    server.send(signal.SIGHUP)
    server.wait_for("reload cancelled", timeout=5)
    assert server.get("/") == str(server.worker_pids[-1])
