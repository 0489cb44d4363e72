"""The application's signal handlers on the main thread, where the server's own code may just run."""

from __future__ import annotations

import os
import signal

import pytest

from tests.hostile.conftest import Serve

#: A handler for each signal that is asked for, and a timer that was never cancelled.
SOURCE = """
import os, signal, sys, time
class Late(BaseException): pass
def late(number, frame): raise Late("the application's own time-out")
def ended(number, frame): open("ended", "w").close()
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stray":
        signal.signal(signal.SIGALRM, late)
        assert signal.getsignal(signal.SIGALRM) is late
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.001)
    if path == "/timed":
        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            while True: print("here", file=sys.stderr) if environ["QUERY_STRING"] else time.sleep(0.001)
        except Late:
            pass
        finally:
            signal.signal(signal.SIGALRM, before)
    if path == "/term":
        assert signal.signal(signal.SIGTERM, ended) is signal.SIG_DFL
        assert signal.signal(signal.SIGTERM, ended) is ended
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


def test_stray_timer_ends_nothing(serve: Serve) -> None:
    """It fires a thousand times a second in the server's own code, costs no request, and is logged once."""
    server = serve(SOURCE, "--threads", "1").ready()
    (pid,) = server.worker_pids
    with server.connect() as kept:
        kept.get("/stray")
        server.wait_for("the application's SIGALRM handler raised Late outside application code")
        kept.get("/timed")
        assert len([kept.get("/") for _ in range(50)]) == 50
        assert server.get("/timed") == str(pid)
    assert len(server.seen("SIGALRM handler")) == 1


@pytest.mark.parametrize("how", ["", "?prints"])
def test_time_out_of_the_applications_own(serve: Serve, how: str) -> None:
    """It comes where the application waits for it, also when it is just printing."""
    server = serve(SOURCE, "--threads", "1").ready()
    (pid,) = server.worker_pids
    assert [server.get(f"/timed{how}") for _ in range(5)] == [str(pid)] * 5


def test_handler_of_TERM_set_in_a_view(serve: Serve) -> None:
    """It is called at the end, as one that was set at import; TERM is still the server's to answer."""
    server = serve(SOURCE, "--threads", "1").ready()
    (pid,) = server.worker_pids
    assert server.get("/term") == str(pid)
    os.kill(pid, signal.SIGTERM)
    server.wait_for(rf"\(pid {pid}\) exited")
    server.ready(workers=2)
    assert server.get("/") != str(pid)


def test_signals_blocked_at_import(serve: Serve) -> None:
    """TERM reaches the worker all the same, and the log says why it had to be put right."""
    blocking = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    server = serve(blocking + SOURCE).ready()
    server.wait_for("signals to be blocked that the server needs")
    (pid,) = server.worker_pids
    os.kill(pid, signal.SIGTERM)
    server.wait_for(rf"\(pid {pid}\) exited")
