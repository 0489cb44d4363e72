"""Code of the application that the server calls outside a request: what it raises is logged, and nothing stops."""

from __future__ import annotations

import signal

import pytest

from tests.hostile.conftest import HEALTHY, Serve

#: An application whose every object is broken, and which raises what is asked for.
SOURCE = """
import gc, os, sys, threading, weakref
KINDS = {"error": ValueError, "exit": SystemExit, "interrupt": KeyboardInterrupt, "base": BaseException}
pid = str(os.getpid()).encode()

def raising(kind):
    def broken(*_, **__): raise KINDS[kind]("on purpose")
    return broken

class Broken:
    def __init__(self, kind): self.__class__ = type("Broken", (Broken,), {name: raising(kind) for name in NAMES})
    def __iter__(self): return iter([b"pieces"])
NAMES = ("__repr__", "__str__", "close", "__del__", "__eq__", "__bool__", "__len__", "__getattr__")

def unspeakable(kind):
    broken = raising(kind)
    return type("Unspeakable", (Exception,), {"__str__": broken, "__repr__": broken})

class Loader:
    # What a traceback asks for the source of a module.
    def __init__(self, kind): self.get_source = raising(kind)

def app(environ, start_response):
    verb, _, kind = environ["PATH_INFO"].strip("/").partition("/")
    if verb == "unspeakable": raise unspeakable(kind)()
    if verb == "source":
        exec(compile("def inner(): raise ValueError('from elsewhere')", "<elsewhere>", "exec"),
             space := {"__loader__": Loader(kind), "__name__": "elsewhere"})
        space["inner"]()
    if verb == "cause":
        try: raise unspeakable(kind)()
        except Exception as problem: raise ValueError("because") from problem
    if verb == "finalizer":
        sys.unraisablehook = lambda *_: None
        class Cycle:
            __del__ = raising(kind)
        one, two = Cycle(), Cycle()
        one.other, two.other = two, one
        environ["kept"] = weakref.ref(one, raising(kind))
        gc.callbacks.append(raising(kind))
        del one, two
        gc.collect()
    start_response("200 OK", [])
    if verb == "close":
        class Closing(list): close = raising(kind)
        return Closing([pid])
    if verb == "object": return [Broken(kind)]
    if verb == "iterable":
        class Pieces:
            __iter__ = __len__ = __bool__ = raising(kind)
        return Pieces()
    if verb == "attribute":
        class Odd(list):
            @property
            def close(self): raise KINDS[kind]("on purpose")
        return Odd([pid])
    return [pid]
"""
VERBS = {
    "unspeakable": 500, "source": 500, "cause": 500, "finalizer": 200, "close": 200, "object": 500, "iterable": 500,
    "attribute": 200,
}  # fmt: skip


@pytest.mark.parametrize("threads", ["1", "2"])
def test_whatever_it_raises(serve: Serve, threads: str) -> None:
    """Each request is answered and logged, on one connection that lasts, by the same worker."""
    server = serve(SOURCE, "--threads", threads, tracebacks=True).ready()
    (pid,) = server.worker_pids
    with server.connect() as kept:
        for verb, status in VERBS.items():
            for kind in ("error", "exit", "interrupt", "base"):
                mark = server.mark()
                assert kept.get(f"/{verb}/{kind}").status == status, (verb, kind)
                assert kept.get("/").body == str(pid).encode(), (verb, kind)
                if verb != "finalizer":
                    server.wait_for(rf"GET /{verb}/{kind} \[.*raised", since=mark)
    assert server.worker_pids == [pid]


#: Threads that cannot be shown, an observer of the log and finalizers that raise, and a thread that never ends.
AROUND = """
import sys, threading, time
from twisted.logger import globalLogPublisher
class Odd(threading.Thread):
    name = property(lambda self: 1 / 0, lambda self, value: None)
    ident = native_id = property(lambda self: 1 / 0)
threading.excepthook = lambda *_: None
_threads = [Odd(target=time.sleep, args=(600,), daemon=daemon) for daemon in (True, False)]
for _thread in _threads:
    with threading._active_limbo_lock: threading._active[id(_thread)] = _thread
class Observer:
    def __init__(self, kind): self.kind = kind
    def __call__(self, event): raise self.kind("not mine")
def app(environ, start_response):
    if environ["PATH_INFO"] == "/observe": globalLogPublisher.addObserver(Observer(ValueError))
    if environ["PATH_INFO"] == "/exit":
        for kind in (SystemExit, KeyboardInterrupt): globalLogPublisher.addObserver(Observer(kind))
    if environ["PATH_INFO"] == "/raise": raise LookupError("on purpose")
    if environ["PATH_INFO"] == "/slow": time.sleep(1.5)
    start_response("200 OK", [])
    return [b"served"]
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_observers_of_the_log(serve: Serve, threads: str) -> None:
    """Whatever they raise, the code that logs goes on: here our own, on the thread that leads."""
    server = serve(AROUND, "--threads", threads, tracebacks=True).ready()
    (pid,) = server.worker_pids
    with server.connect() as kept:
        for path in ("/observe", "/exit"):
            assert kept.get(path).body == b"served"
            for _ in range(3):
                mark = server.mark()
                assert kept.get("/raise").status == 500
                server.wait_for("GET /raise .*the application raised", since=mark)
    assert server.worker_pids == [pid]


@pytest.mark.slow
def test_threads_and_observers(serve: Serve) -> None:
    """Slow and stuck requests are logged despite a thread that cannot be shown; an observer takes no line away."""
    server = serve(AROUND, "--slow", "200ms", "--request-timeout", "300ms", tracebacks=True).ready()
    assert server.get("/observe") == "served"
    assert server.connect().get("/raise").status == 500
    server.wait_for("GET /raise .*the application raised")
    with server.connect() as client:
        client.ask("/slow")
        server.wait_for("slow: GET /slow")
        server.wait_for("GET /slow .*still running after RequestTimeout")
        server.wait_for(r"Odd \(cannot be shown\)")


@pytest.mark.slow
def test_an_end_that_takes_its_time(serve: Serve) -> None:
    """An `atexit` function within its time is no stopped heartbeat: nothing is suspected or killed."""
    source = f"import atexit, time\natexit.register(time.sleep, 2.5)\n{HEALTHY}"
    server = serve(source, "--heartbeat-timeout", "1s").ready()
    (pid,) = server.worker_pids
    server.send(signal.SIGHUP)
    server.wait_for(rf"\(pid {pid}\) exited")
    assert not server.seen("no life|interpreter lock|heart")
