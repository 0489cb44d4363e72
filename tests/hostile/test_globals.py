"""Process-wide things that an application changes: the server serves on, or says at once what it cannot live with."""

from __future__ import annotations

import contextlib

import pytest

from tests.hostile.conftest import HEALTHY, Serve
from tests.integration.client import Ended
from tests.integration.harness import Server

#: What applications do to the interpreter and the process; the server serves after each.
CHANGES = {
    "default time-out": "import socket; socket.setdefaulttimeout(0.3)",
    "socket class": """
        import socket
        class Proxied(socket.socket):
            def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
                if type not in (-1, socket.SOCK_STREAM): raise OSError("not supported by the proxy")
                super().__init__(family, type, proto, fileno)
        socket.socket = Proxied
    """,
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
    "recursion limit": "import sys; sys.setrecursionlimit(80)",
    "switch interval": "import sys; sys.setswitchinterval(30)",
    "hooks": "import sys, threading; sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *_: 1 / 0",
    "stdout closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "stdout detached": "import sys; sys.stdout.detach(); sys.stderr.detach()",
    "stdout replaced": "import sys; sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    "logging": "import logging; logging.disable(logging.CRITICAL); logging.captureWarnings(True)",
    "locale": "import locale; locale.setlocale(locale.LC_ALL, 'C')",
    "umask": "import os; os.umask(0o777)",
    "chdir": "import os; os.chdir('/')",
    "environ": "import os; os.environ.clear()",
    "settrace": "import sys, threading; f = lambda *_: None; sys.settrace(f); threading.settrace(f)",
    "setprofile": "import sys, threading; f = lambda *_: None; sys.setprofile(f); threading.setprofile(f)",
    "gc": "import gc; gc.disable(); gc.set_threshold(0); gc.freeze()",
    "wakeup descriptor": """
        import signal
        try: signal.set_wakeup_fd(-1)
        except ValueError: pass
    """,
    "alarm that raises": """
        import signal
        def late(*_): raise TimeoutError("the application's own alarm")
        try: signal.signal(signal.SIGALRM, late)
        except ValueError: signal.alarm
        else: signal.setitimer(signal.ITIMER_REAL, 0.2)
    """,
    "faulthandler": "import faulthandler; faulthandler.disable()",
    "limits": """
        import resource
        for name in ("CORE", "STACK", "FSIZE"):
            limit = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(limit, (1 << 20, resource.getrlimit(limit)[1]))
    """,
    "stdin closed": "import os, sys; sys.stdin.close()",
    "a hundred threads": """
        import threading
        for _ in range(100): threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "import hook": """
        import sys
        class Hook:
            def find_spec(self, *_): raise RuntimeError("no more imports")
        sys.meta_path.insert(0, Hook())
    """,
    "path": "import sys; sys.path.clear(); sys.path_importer_cache.clear()",
    "modules": """
        import sys
        for name in ("json", "traceback", "linecache", "tempfile", "socket", "time", "threading", "logging", "select"):
            sys.modules.pop(name, None)
    """,
    "clock": """
        import sys, time
        names = ("time", "monotonic", "monotonic_ns", "perf_counter")
        real = {id(getattr(time, name)): (lambda *_: 0) for name in names}
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if id(value) in real and module.__name__ != "threading": setattr(module, name, real[id(value)])
    """,
    "event loop": "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())",
    "exit": "import sys, atexit; sys.exit = None; atexit.register(lambda: None)",
    "builtins": """
        import builtins
        def no_files(*_, **__): raise RuntimeError("the application's own open()")
        builtins.open = builtins.print = no_files
    """,
}  # fmt: skip

#: An application whose source ends with a change, and which makes another one when it is asked to.
FRAME = '''
import os as _os, threading as _threading
_pid, _Thread = str(_os.getpid()).encode(), _threading.Thread

def change():
{change}

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/view": change()
    if path == "/thread":
        thread = _Thread(target=change); thread.start(); thread.join()
    if path == "/raise": raise ValueError("on purpose")
    start_response("200 OK", [])
    if path == "/body": return [str(len(environ["wsgi.input"].read())).encode()]
    if path == "/pieces": return iter([b"x" * 70000] * 30)
    return [_pid]
'''
SLOW_PLACES = [(name, place) for name in CHANGES for place in ("import", "view", "thread")]


def framed(*changes: str) -> str:
    """The application with these changes."""
    bodies = [line for change in changes for line in _plain(change)]
    return FRAME.format(change="\n".join(f"    {line}" for line in bodies))


def _plain(change: str) -> list[str]:
    lines = change.strip("\n").split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    return [line[margin:] for line in lines if line.strip()]


def still_serves(server: Server, pid: str) -> None:
    """Every kind of request is answered by the worker that was changed, on new connections and on one that lasts."""
    lasting = server.connect()
    for _ in range(3):
        assert server.get("/") == pid
        assert lasting.get("/").body.decode() == pid
    for size in (10, 300_000):
        lasting.ask("/body", "POST", b"x" * size)
        assert lasting.response().body == str(size).encode()
    assert len(lasting.get("/pieces").body) == 30 * 70000
    mark = server.mark()
    assert server.connect().get("/raise").status == 500
    server.wait_for(r"GET /raise .*the application raised", since=mark)


def change_and_ask(serve: Serve, place: str, *changes: str) -> None:
    source = framed(*changes) + ("\nchange()\n" if place == "import" else "")
    server = serve(source, "--threads", "2", tracebacks=True).ready()
    pid = str(server.worker_pids[0])
    if place != "import":
        assert server.get(f"/{place}") == pid
    still_serves(server, pid)
    assert len(server.worker_pids) == 1


@pytest.mark.parametrize("place", ["import", "view", "thread"])
def test_the_server_serves_after_a_default_time_out(serve: Serve, place: str) -> None:
    """`socket.setdefaulttimeout` made every worker deaf after its first connections."""
    change_and_ask(serve, place, CHANGES["default time-out"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), SLOW_PLACES)
def test_the_server_serves_after(serve: Serve, name: str, place: str) -> None:
    """One change alone."""
    change_and_ask(serve, place, CHANGES[name])


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
    server.wait_for("gevent's threads in the place of Python's .*gevent.monkey.patch_all.*Take that out", timeout=10)
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
    """It is told with the next heartbeat, and another worker serves."""
    server = serve(GREEN).ready()
    # The heartbeat may come first.
    with contextlib.suppress(Ended):
        server.connect().get("/patch")
    server.wait_for("gevent's threads in the place of Python's while it was served: this worker ends")
    server.ready(workers=2)
    assert server.get("/") == "served"
