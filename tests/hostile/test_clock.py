"""A wall clock that is set, and a machine that stands still: what time-outs do, on the real program."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

import pytest

from tests.hostile.conftest import Serve
from tests.integration.conftest import Start
from tests.integration.harness import GONE, READY, Server, group

pytestmark = pytest.mark.slow

#: `/work` runs for three seconds in which it is not stopped, `/sleep` for longer than anybody waits.
APP = """
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/work":
        open("working", "w").close()
        for _ in range(30):
            time.sleep(0.1)
    elif path == "/sleep":
        time.sleep(60)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Time", str(time.time()))])
    return [str(os.getpid()).encode() + body]
"""
#: The wall clock of every process of the server is off by the seconds that this file says.
SHIFTED = """
import time

def shifted(real=time.time, ns=time.time_ns):
    def offset():
        with open({path!r}) as file:
            return int(file.read() or 0)
    time.time = lambda: real() + offset()
    time.time_ns = lambda: ns() + offset() * 10**9

shifted()
"""
#: What freezegun does: whatever name in whatever module is a clock is one that stands still.
FROZEN = """
import sys, time
from twisted.logger import Logger

CLOCKS = {id(getattr(time, name)): name for name in ("time", "monotonic", "perf_counter", "gmtime", "strftime")}
STANDING = {
    "time": lambda: 86400.0, "monotonic": lambda: 5.0, "perf_counter": lambda: 5.0,
    "gmtime": lambda *_: time.struct_time((1970, 1, 2, 0, 0, 0, 4, 2, 0)), "strftime": lambda *_: "1970-01-02",
}
sleep = time.sleep
for module in list(sys.modules.values()):
    # Twisted's reactor is among them, whose attributes are those of its class.
    for name in dir(module):
        value = getattr(module, name, None)
        if id(value) in CLOCKS:
            setattr(module, name, STANDING[CLOCKS[id(value)]])
assert time.time() == 86400.0

def app(environ, start_response):
    Logger().warn("the application says this")
    print("the application prints this", file=sys.stderr, flush=True)
    if environ["PATH_INFO"] == "/sleep":
        for _ in range(600):
            sleep(0.1)
    frozen = time.monotonic() == 5.0
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"frozen" if frozen else b"running"]
"""
#: The service in somebody else's application.
TAC = """
from twisted.application.service import Application
from twisted.internet import reactor
from twistcorn.service import WSGIPoolService

application = Application("mysite")
WSGIPoolService("app:app", reactor=reactor, listen=["127.0.0.1:0"], **{settings!r}).setServiceParent(application)
"""
FRONTS = ("run", "twist", "tac")


class Clocked(Protocol):
    """Starts a server whose wall clock is in the test's hands."""

    def __call__(self, front: str, **settings: object) -> Server: ...


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    """The file with the seconds by which the wall clock is wrong."""
    path = tmp_path / "offset"
    path.write_text("0")
    return path


@pytest.fixture
def clocked(start: Start, folder: Path, tmp_path: Path, offset: Path) -> Clocked:
    """By the front: the command, the plugin of `twist`, or embedded."""
    (folder / "app.py").write_text(APP)
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(SHIFTED.format(path=str(offset)))
    path = os.pathsep.join(filter(None, [str(tmp_path / "clock"), os.environ.get("PYTHONPATH")]))

    def clocked(front: str, **settings: object) -> Server:
        env = {"PYTHONPATH": path}
        if front == "tac":
            (folder / "mysite.tac").write_text(textwrap.dedent(TAC).format(settings=settings))
            return start(front=front, env=env, listen=())
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        return start("--app", "app:app", *words, front=front, env=env)

    return clocked


#: Under `twist` the service gets its time as in any other program.
ON_EACH_FRONT = [pytest.param(front, marks=[pytest.mark.exhaustive] if front == "twist" else []) for front in FRONTS]


@pytest.mark.parametrize("shift", [-3600, pytest.param(3600, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("front", ON_EACH_FRONT)
def test_wall_clock_is_set(clocked: Clocked, offset: Path, front: str, shift: int) -> None:
    """An hour back or forward: nothing ends in mass, and every time-out that is due comes when it is due."""
    server = clocked(front, workers=1, request_timeout=1.5, keep_alive=4, heartbeat_timeout=2, park_after=1).ready()
    with server.connect() as idle, server.connect() as stuck:
        before = float(idle.get("/").headers["x-time"])
        offset.write_text(str(shift))
        told = idle.get("/")
        assert told.status == 200
        assert abs(float(told.headers["x-time"]) - before - shift) < 60
        began = time.monotonic()
        assert stuck.get("/sleep").status == 504
        assert time.monotonic() - began < 10
        assert idle.ended()
        assert 3 < time.monotonic() - began < 12
    server.wait_for(READY, count=2)
    server.wait_for(GONE)
    (frozen,) = server.worker_pids
    mark = server.mark()
    os.kill(frozen, signal.SIGSTOP)
    server.wait_for("unresponsive for", since=mark)
    server.wait_for(READY, since=mark)
    server.wait_for(rf"pid {frozen}\) (died|was killed|ended)", since=mark)
    assert int(server.get("/")) != frozen


@pytest.mark.parametrize("front", ON_EACH_FRONT)
def test_everything_stands_still(clocked: Clocked, folder: Path, front: str) -> None:
    """Stopped for longer than any time-out: afterwards no request is late, and no worker is dead."""
    server = clocked(
        front, workers=2, threads=4, request_timeout=4, keep_alive=6, header_timeout=4, body_timeout=4,
        heartbeat_timeout=2, park_after=1,
    ).ready(workers=2)  # fmt: skip
    workers = sorted(server.worker_pids)
    clients = [server.connect() for _ in range(5)]
    parked, idle, head, body, busy = clients
    assert parked.get("/").status == 200
    time.sleep(2.5)
    assert idle.get("/").status == 200
    head.send(b"GET / HTTP/1.1\r\nHos")
    body.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    busy.ask("/work")
    while not (folder / "working").exists():
        time.sleep(0.01)
    mark = server.mark()
    everybody = group(server.pid)
    assert set(workers) < set(everybody)
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    # It is the time that is wanted here.
    time.sleep(8)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.7)
    assert [client.get("/").status for client in (parked, idle)] == [200, 200]
    head.send(b"t: x\r\n\r\n")
    body.send(b"cd")
    assert [client.response().status for client in (head, body, busy)] == [200, 200, 200]
    server.wait_for("the master was suspended for", since=mark)
    server.wait_for("the worker did not run for", since=mark, count=2)
    assert sorted(server.worker_pids) == workers
    assert not server.seen("unresponsive|recycling|replacing", mark)
    # And from here on time-outs come again.
    assert all(client.ended() for client in clients)


def test_application_stops_the_clock(serve: Serve) -> None:
    """A test tool that replaces every clock by name: lines, the Date field and time-outs go by the real one."""
    began = time.time()
    server = serve(
        FROZEN, "--workers", "1", "--request-timeout", "1", "--keep-alive", "2",
        "--access-log", "-", "--access-log-format", "json", "--app-output", "prefix",
        tracebacks=True,
    ).ready()  # fmt: skip
    with server.connect() as client:
        answer = client.get("/")
        assert answer.body == b"frozen"
        assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - began) < 60
        assert client.ended()
    with server.connect() as client:
        assert client.get("/sleep").status == 504
    server.wait_for("the application says this")
    server.wait_for("the application prints this")
    server.wait_for("over --request-timeout")
    assert not server.seen("no life")
    stamps = [found[0] for found in server.seen(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")]
    assert len(stamps) > 5
    assert [stamp for stamp in stamps if not stamp.startswith(time.strftime("%Y-", time.gmtime()))] == []
