"""Every option that is live: what changes in the running program when an operator sets it.

Law: one claim for each option, in `CLAIMS`; a live option without a claim fails `test_every_live_option_has_its_claim`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import Client, Ended
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, Server, wait_until
from tests.integration.test_queue import descriptors, occupy, readable
from twistcorn.client import Client as Operator
from twistcorn.errors import OperationError
from twistcorn.settings import LIVE, OPTIONS


class Tuned:
    """A program whose settings are set, with what a claim needs around it."""

    server: Server

    def __init__(self, start: Start, gate: Gate, folder: Path) -> None:
        self._start = start
        self.gate = gate
        self.folder = folder

    def serve(self, *arguments: str, workers: int = 1) -> Server:
        """Start it."""
        self.server = self._start("app:app", *arguments).ready(workers)
        return self.server

    def ask(self, command: str, **arguments: Any) -> Any:
        """Ask the program, on its control socket."""
        operator = Operator(str(self.server.control))
        try:
            return operator.ask(command, **arguments)
        finally:
            operator.close()

    def set(self, name: str, value: str) -> Any:
        """Set an option; returns what the program says."""
        return self.ask("set", name=name, value=value)

    def heard(self, server: Server) -> None:
        """Wait until the worker has heard of everything that was set: orders come one after the other."""
        self.set("limit_request_line", "64")
        answered(server, 414, lambda client: client.ask("/pid?" + "x" * 100))

    def get(self, name: str) -> Any:
        """What the program says of an option."""
        return self.ask("get", name=name)[0]


@pytest.fixture
def program(start: Start, gate: Gate, folder: Path) -> Tuned:
    return Tuned(start, gate, folder)


def answered(server: Server, status: int, ask: Callable[[Client], object]) -> None:
    """Sooner or later what is asked is answered with this status: an order takes its way to the workers."""

    def once() -> bool:
        with server.connect() as client:
            ask(client)
            return client.response().status == status

    wait_until(once, f"the answer is {status}")


def _keep_alive(program: Tuned) -> None:
    """An idle connection ends that had more time before."""
    server = program.serve("--park-after", "0")
    with server.connect() as client:
        client.get("/pid")
        program.set("keep-alive", "200ms")
        assert client.ended()


def _header_timeout(program: Tuned) -> None:
    """A head that is on its way has less time, from its first byte."""
    with program.serve("--header-timeout", "60").connect() as client:
        client.send(b"GET / HT")
        program.set("header_timeout", "200ms")
        assert client.response().status == 408


def _body_timeout(program: Tuned) -> None:
    """A body that does not come is waited for less."""
    with program.serve("--body-timeout", "60").connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        program.set("body_timeout", "200ms")
        assert client.response().status == 408


def _write_timeout(program: Tuned) -> None:
    """A client that does not read loses its answer; the thread is back."""
    server = program.serve("--threads", "2")
    program.set("write_timeout", "200ms")
    program.heard(server)
    with server.connect() as client:
        client.ask("/flood")
        client.read_to(b"\r\n\r\n")
        base = descriptors(server.worker_pids[0])
        wait_until(lambda: descriptors(server.worker_pids[0]) < base, "the connection is closed")
        with pytest.raises((Ended, ConnectionResetError)):
            list(iter(client.chunk, b""))


def _stand_ins(program: Tuned) -> None:
    """A client that reads slowly has no stand-in for its thread any more, and the log says so."""
    server = program.serve("--threads", "2", "--stand-ins", "8")
    program.set("stand_ins", "0")
    program.heard(server)
    with server.connect() as client:
        client.ask("/flood")
        client.read_to(b"\r\n\r\n")
        server.wait_for(r"more application threads than --stand-ins")


def _boot_timeout(program: Tuned) -> None:
    """A worker that boots already has less time."""
    server = program.serve()
    put_probe(program.folder, end='wait("boot")')
    program.set("workers", "2")
    program.gate.visitor("boot")
    program.set("boot_timeout", "300ms")
    server.wait_for(r"app not imported within --boot-timeout 0\.3 s")
    program.set("boot_timeout", "60")
    put_probe(program.folder)
    server.wait_for(READY, count=2)


def _graceful_timeout(program: Tuned) -> None:
    """A stop waits less for what runs."""
    server = program.serve("--graceful-timeout", "60")
    occupy(server, program.gate, 1)
    program.set("graceful_timeout", "300ms")
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0


def _request_timeout(program: Tuned) -> None:
    """A request that runs is ended; at first it had all the time."""
    server = program.serve("--request-timeout", "0")
    server.tracebacks = True
    with server.connect() as client:
        client.ask("/spin?for=60")
        program.set("request_timeout", "300ms")
        assert client.response().status == 504


def _heartbeat_timeout(program: Tuned) -> None:
    """A worker that was stopped is missed; those that beat for the old time-out are not."""
    server = program.serve("--heartbeat-timeout", "0")
    program.set("heartbeat_timeout", "1s")
    (pid,) = server.worker_pids
    server.get("/pid")
    os.kill(pid, signal.SIGSTOP)
    server.wait_for(rf"worker \d+ \(pid {pid}\) unresponsive")
    server.wait_for(READY, count=2)


def _max_requests(program: Tuned) -> None:
    """What was answered before counts."""
    server = program.serve()
    for _ in range(4):
        server.get("/pid")
    program.set("max_requests", "3")
    server.wait_for(r"recycling worker \d+ \(pid \d+\): 4 requests answered")


def _max_requests_jitter(program: Tuned) -> None:
    """Without it the worker is due."""
    server = program.serve("--max-requests", "3", "--max-requests-jitter", "999999999")
    for _ in range(4):
        server.get("/pid")
    program.set("max_requests_jitter", "0")
    server.wait_for(r"recycling worker \d+ \(pid \d+\): 4 requests answered")


def _max_rss(program: Tuned) -> None:
    """A worker that is too large already is replaced."""
    server = program.serve()
    server.get("/grow?for=300")
    program.set("max_rss", "256M")
    server.wait_for(r"recycling worker .*: \d+ MiB resident")
    server.wait_for(GONE)


def _max_age(program: Tuned) -> None:
    """A worker that is old enough is replaced."""
    server = program.serve()
    program.set("max_age", "500ms")
    server.wait_for(r"recycling worker .*: \d+ s old")
    program.set("max_age", "0")


def _reload_strategy(program: Tuned) -> None:
    """The next reload boots all before any goes."""
    server = program.serve("--workers", "2", workers=2)
    program.set("reload_strategy", "together")
    since = server.mark()
    server.send(signal.SIGHUP)
    server.wait_for(GONE, since=since, count=2)
    order = ["ready" in line for line in server.lines[since:] if " is ready" in line or " exited" in line]
    assert order[:2] == [True, True]


def _quarantine_after(program: Tuned) -> None:
    """The first death is enough."""
    server = program.serve()
    program.set("quarantine_after", "1")
    with server.connect() as client:
        assert client.get("/segfault").status == 502
    server.wait_for(r"quarantine: answering 503 to GET /segfault")


def _park_after(program: Tuned) -> None:
    """Idle connections leave the worker."""
    server = program.serve("--park-after", "0")
    (pid,) = server.worker_pids
    before = descriptors(pid)
    with server.connect() as client:
        client.get("/pid")
        assert descriptors(pid) == before + 1
        program.set("park_after", "200ms")
        wait_until(lambda: descriptors(pid) == before, "it is parked")


def _queue_size(program: Tuned) -> None:
    """One may wait, the others are refused."""
    server = program.serve("--threads", "1")
    ((_, visitor),) = occupy(server, program.gate, 1)
    program.set("queue_size", "1")
    program.heard(server)
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.ask("/pid")
    wait_until(lambda: sum(map(readable, clients)) == 2, "two of them are refused")
    visitor.release()
    assert sorted(client.response().status for client in clients) == [200, 503, 503]


def _queue_timeout(program: Tuned) -> None:
    """Who waits already waits less."""
    server = program.serve("--threads", "1", "--queue-timeout", "60")
    ((_, visitor),) = occupy(server, program.gate, 1)
    with server.connect() as client:
        client.ask("/version")
        program.set("queue_timeout", "200ms")
        assert client.response().status == 503
    visitor.release()


def _replay(program: Tuned) -> None:
    """A safe request is not run again."""
    server = program.serve()
    ((client, visitor),) = occupy(server, program.gate, 1)
    program.set("replay", "off")
    os.kill(visitor.pid, signal.SIGKILL)
    assert client.response().status == 502


def _limit_request_line(program: Tuned) -> None:
    """A line that was read before is refused now."""
    server = program.serve()
    target = "/pid?" + "x" * 100
    server.get(target)
    program.set("limit_request_line", "64")
    answered(server, 414, lambda client: client.ask(target))


def _limit_request_fields(program: Tuned) -> None:
    """A block of fields that was read before is refused now."""
    server = program.serve()
    server.get("/pid")
    program.set("limit_request_fields", "1")
    answered(server, 431, lambda client: client.ask("/pid", headers="Connection: close\r\n"))


def _limit_request_field_size(program: Tuned) -> None:
    """So is a long field."""
    server = program.serve()
    field = f"X-Long: {'x' * 100}\r\n"
    with server.connect() as client:
        assert client.get("/pid", field).status == 200
    program.set("limit_request_field_size", "64")
    answered(server, 431, lambda client: client.ask("/pid", headers=field))


def _limit_request_trailers(program: Tuned) -> None:
    """Trailers are refused that were dropped before."""
    server = program.serve()
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Late: 1\r\n\r\n"
    answered(server, 200, lambda client: client.send(request))
    program.set("limit_request_trailers", "0")
    answered(server, 431, lambda client: client.send(request))


def _limit_request_body(program: Tuned) -> None:
    """A body is too large that was not."""
    server = program.serve()
    answered(server, 200, lambda client: client.ask("/echo", "POST", b"x" * 2000))
    program.set("limit_request_body", "1k")
    answered(server, 413, lambda client: client.ask("/echo", "POST", b"x" * 2000))


def _spool_size(program: Tuned) -> None:
    """A body that is on its way has no room any more, nor has the next; then there is room again."""
    server = program.serve()
    ask: Callable[[Client], object] = lambda client: client.ask("/echo", "POST", b"x" * 100_000)  # noqa: E731
    answered(server, 200, ask)
    with server.connect() as client:
        client.ask("/echo", "POST", headers="Content-Length: 100000\r\n")
        client.send(b"x" * 50_000)
        program.set("spool_size", "60000")
        program.heard(server)
        client.send(b"x" * 50_000)
        assert client.response().status == 413
    answered(server, 413, ask)
    program.set("spool_size", "0")
    answered(server, 200, ask)


def _expect(program: Tuned) -> None:
    """Bodies come before the application is called; then when it reads them again."""
    server = program.serve()

    def told(path: str) -> int:
        with server.connect() as client:
            client.ask(path, "POST", headers="Content-Length: 5\r\nExpect: 100-continue\r\n")
            return client.response().status

    assert told("/pid") == 200
    program.set("expect", "early")
    wait_until(lambda: told("/pid") == 100, "the client gets 100 Continue though the application does not read")
    program.set("expect", "read")
    wait_until(lambda: told("/pid") == 200, "it is not")


def _workers(program: Tuned) -> None:
    """Workers come and go; the application sees whether there are several."""
    server = program.serve()
    program.set("workers", "3")
    server.wait_for(READY, count=3)
    wait_until(lambda: server.get("/environ?key=wsgi.multiprocess") == "True", "the application hears of it")
    program.set("workers", "1")
    server.wait_for(GONE, count=2)
    wait_until(lambda: server.get("/environ?key=wsgi.multiprocess") == "False", "the application hears of it")


def _threads(program: Tuned) -> None:
    """As many calls run at once as are set; fewer later, and no request is lost."""
    server = program.serve("--threads", "2")
    busy = occupy(server, program.gate, 2)
    third = server.connect()
    third.ask("/wait?name=third")
    program.set("threads", "3")
    busy.append((third, program.gate.visitor("third")))
    program.set("threads", "2")
    program.heard(server)
    for client, visitor in busy:
        visitor.release()
        assert client.response().status == 200
    busy = occupy(server, program.gate, 2)
    with server.connect() as client:
        client.ask("/wait?name=late")
        with pytest.raises(AssertionError, match="late did not come"):
            program.gate.visitor("late", timeout=0.3)
        busy[0][1].release()
        program.gate.visitor("late").release()
        assert client.response().status == 200
    busy[1][1].release()


def _scale_down_after(program: Tuned) -> None:
    """A worker that has nothing to do goes earlier."""
    server = program.serve("--workers", "1:2", "--scale-down-after", "1h")
    server.send(signal.SIGTTIN)
    server.wait_for(READY, count=2)
    program.set("scale_down_after", "2s")
    server.wait_for(r"worker target set to 1: 1 would have sufficed for 2 s")
    server.wait_for(GONE)


def _drain_delay(program: Tuned) -> None:
    """A server that was not to wait does: it stops to listen when that is over, and answers until then."""
    server = program.serve()
    program.set("drain_delay", "1s")
    server.send(signal.SIGTERM)
    server.wait_for(r"stopping gracefully")
    server.get("/pid")
    assert server.exit_code() == 0


def _log_level(program: Tuned) -> None:
    """Lines below it are not logged any more, by the master and the workers."""
    server = program.serve()
    program.set("log_level", "error")
    told = server.mark()
    program.ask("scale", workers=2)
    wait_until(lambda: program.ask("status")["workers"]["ready"] == 2, "there are two workers")
    assert server.lines[told:] == []


def _access_log(program: Tuned) -> None:
    """There is one from then on, and none later."""
    server = program.serve()
    path = program.folder / "access.log"
    program.set("access_log", str(path))
    wait_until(path.exists, "the worker has heard of it")
    server.get("/pid?there")
    wait_until(lambda: "GET /pid?there" in path.read_text(), "the request is in the log")
    program.set("access_log", "")
    program.heard(server)
    before = path.read_text()
    server.get("/pid?gone")
    assert "gone" not in path.read_text()
    assert path.read_text().startswith(before)


def _access_log_format(program: Tuned) -> None:
    """Lines look otherwise."""
    path = program.folder / "access.log"
    server = program.serve("--access-log", str(path))
    program.set("access_log_format", "[%(U)s]")
    program.heard(server)
    server.get("/pid")
    wait_until(lambda: "[/pid]\n" in path.read_text(), "the new format is in the log")


def _slow(program: Tuned) -> None:
    """A request that runs already is logged, once it has run for that time."""
    server = program.serve()
    with server.connect() as client:
        client.ask("/wait?name=slow")
        visitor = program.gate.visitor("slow")
        program.set("slow", "100ms")
        server.wait_for(r"GET /wait")
        visitor.release()
        assert client.response().status == 200


#: What each live option changes.
CLAIMS: dict[str, Callable[[Tuned], None]] = {
    name[1:]: claim for name, claim in list(globals().items()) if name[0] == "_" and name[1:] in
    {option.name for option in OPTIONS}
}  # fmt: skip


def test_every_live_option_has_its_claim() -> None:
    """Nothing is called live that does not change anything."""
    assert {option.name for option in OPTIONS if option.metadata["change"] == LIVE} == set(CLAIMS)


@pytest.mark.parametrize("option", CLAIMS)
def test_effect(option: str, program: Tuned) -> None:
    """What is set counts at once, for what waits or runs already as well, and is listed as set."""
    CLAIMS[option](program)


def test_parked_connection_has_the_new_time(program: Tuned) -> None:
    """Nobody has it but the master, which ends it."""
    server = program.serve("--park-after", "200ms")
    (pid,) = server.worker_pids
    before = descriptors(pid)
    with server.connect() as client:
        client.get("/pid")
        wait_until(lambda: descriptors(pid) == before, "it is parked")
        program.set("keep_alive", "500ms")
        assert client.ended()


def test_what_was_set_stays_across_a_reload(program: Tuned) -> None:
    """It is stronger than the file that a reload reads; what was not set comes from there."""
    (program.folder / "twistcorn.conf").write_text("workers = 1\nkeep-alive = 30\n")
    server = program.serve("--config", "twistcorn.conf", "--threads", "4")
    assert program.get("keep_alive") == {"name": "keep-alive", "value": "30s", "origin": "file", "change": "live"}
    assert program.set("workers", "2")["origin"] == "set"
    server.wait_for(READY, count=2)
    (program.folder / "twistcorn.conf").write_text("workers = 3\nkeep-alive = 40\nthreads = 9\n")
    server.send(signal.SIGHUP)
    server.wait_for(r"reload complete")
    assert [program.get(name)["value"] for name in ("workers", "keep_alive", "threads")] == ["2", "40s", "4"]
    assert [program.get(name)["origin"] for name in ("workers", "keep_alive", "threads", "backlog")] == [
        "set", "file", "command line", "default",
    ]  # fmt: skip
    server.wait_for(GONE, count=2)
    assert len(server.worker_pids) == 2


def test_worker_that_boots_gets_what_was_set_meanwhile(program: Tuned) -> None:
    """It counts for the new worker from its first request on."""
    server = program.serve("--workers", "1")
    put_probe(program.folder, end='wait("boot")')
    program.set("workers", "2")
    boots = program.gate.visitor("boot")
    program.set("limit_request_line", "64")
    boots.release()
    server.wait_for(READY, count=2)
    os.kill(server.worker_pids[0], signal.SIGSTOP)
    with server.connect() as one, server.connect() as two:
        for client in (one, two):
            client.ask("/pid?" + "x" * 100)
        wait_until(lambda: readable(one) or readable(two), "the new worker answers")
        assert (one if readable(one) else two).response().status == 414
    os.kill(server.worker_pids[0], signal.SIGCONT)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("listen", ":1", "listen needs a restart"),
        ("app", "x:y", "app needs a reload"),
        ("threads", "1", "threads cannot change to or from 1"),
        ("threads", "many", "invalid value 'many' for threads: expected a whole number from 1 to 1024"),
        ("theads", "2", "unknown setting 'theads'; did you mean threads?"),
    ],
)
def test_refused(program: Tuned, name: str, value: str, why: str) -> None:
    """It says why, and what to do instead; nothing changes."""
    program.serve()
    before = program.ask("get")
    with pytest.raises(OperationError, match=f"^{re.escape(why)}"):
        program.set(name, value)
    assert program.ask("get") == before
