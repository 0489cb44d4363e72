"""Requests whose time is over: who is answered what, and that nobody else notices."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.integration.client import Client, Ended
from tests.integration.command import said
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, Server
from tests.integration.load import Load

STUCK = r"(GET|POST) /\w+ \[.+\]: \d+\.\d s, over --request-timeout 3 s, still running after RequestTimeout"
REPLACED = r"GET /\w+ \[.+\]: \d+\.\d s, over --request-timeout 3 s; replacing worker \d+"


def took(client: Client, target: str) -> tuple[int, float]:
    """The status of an answer, and how long it took; 0 for a connection that ended without one."""
    begun = time.monotonic()
    try:
        status = client.get(target).status
    except (Ended, ConnectionResetError):
        status = 0
    return status, time.monotonic() - begun


def test_computation_is_interrupted_and_answered_504(start: Start) -> None:
    """An exception in its thread ends it: 504 in time, the traceback says where it was, and its worker is replaced."""
    server = start("app:app", "--request-timeout", "500ms", tracebacks=True).ready()
    with server.connect() as client:
        status, seconds = took(client, "/spin")
        assert status == 504
        assert 0.5 <= seconds < 2
        server.wait_for(READY, count=2)
        # The master has said what follows from that before it answers anything.
        said(server, "status")
        assert client.get("/pid").body == str(server.worker_pids[-1]).encode(), "the connection goes on"
    server.wait_for(r"GET /spin \[.+\]: \d+\.\d s, over --request-timeout 0.5 s; replacing worker 1")
    server.wait_for(r"GET /spin \[.*\]: the application took too long")
    server.wait_for(r"twistcorn\.errors\.RequestTimeout")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["/sleep", "/swallow"])
def test_stuck_request_ends_with_its_worker_and_nobody_else_fails(start: Start, trouble: str) -> None:
    """12 s that no exception ends, 3 s allowed: its client hears in time, stacks are logged, others are answered."""
    server = start("app:app", "--request-timeout", "3s", "--threads", "8", "--workers", "2").ready(2)
    with Load(server.address, clients=6) as load, server.connect() as client:
        load.more(5)
        status, seconds = took(client, trouble)
        load.more(5)
    assert load.failures == []
    # The master's 504 comes with the answers that it gives for dead workers; until then the connection ends.
    assert status in (0, 504)
    ready = server.wait_for(rf"{READY} after ([\d.]+) s", count=3)[2]
    assert seconds < 3 + float(ready[3]) + 2
    server.wait_for(STUCK)
    server.wait_for(rf"in _{trouble[1:]}$")
    server.wait_for(REPLACED)
    server.wait_for(rf"ended while draining: exit code 0; running: GET {trouble} for")
    assert len(server.worker_pids) == 2


def test_time_begins_anew_with_each_piece(start: Start) -> None:
    """An answer that takes longer than the time-out, but no piece of it does, is whole."""
    server = start("app:app", "--request-timeout", "500ms").ready()
    with server.connect() as client:
        answer = client.get("/drip?every=0.25&count=6")
    assert answer.body == b"drop" * 6
    assert not server.seen("took too long")


def test_answer_that_stops_half_way_is_cut(start: Start) -> None:
    """The piece that does not come ends the connection: the client sees that the answer is not whole."""
    server = start("app:app", "--request-timeout", "500ms", tracebacks=True).ready()
    with server.connect() as client:
        client.ask("/stall")
        with pytest.raises(Ended):
            client.response()
    server.wait_for(r"took too long")


def test_application_asks_for_more_time(start: Start) -> None:
    """`environ["twistcorn.extend_deadline"]` gives this request more time, and the next one not."""
    server = start("app:app", "--request-timeout", "500ms", tracebacks=True).ready()
    with server.connect() as client:
        assert took(client, "/extend?for=1.2")[0] == 200
        assert took(client, "/spin?for=1.2")[0] == 504


def test_no_limit(start: Start) -> None:
    """0 turns it off."""
    server = start("app:app", "--request-timeout", "0").ready()
    with server.connect() as client:
        assert took(client, "/spin?for=0.8")[0] == 200


def test_slow_client_is_not_the_applications_fault(start: Start, gate: Gate) -> None:
    """While the client takes nothing no time is counted: only the write time-out is for that."""
    server = start("app:app", "--request-timeout", "500ms").ready()
    with server.connect() as client:
        client.ask("/flood")
        time.sleep(1.5)
        assert len(client.response().body) == 64 << 20
    assert not server.seen("took too long")


@pytest.mark.slow
def test_stopped_worker_is_replaced_and_its_clients_are_served(start: Start) -> None:
    """SIGSTOP: replaced within the heartbeat's time and a second; connections that it held are answered by others."""
    server = start("app:app", "--workers", "2", "--heartbeat-timeout", "2s").ready(2)
    clients = [server.connect() for _ in range(8)]
    holders = [int(client.get("/pid").body) for client in clients]
    victim = server.worker_pids[0]
    assert victim in holders
    since, stopped = server.mark(), time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    server.wait_for(READY, since=since)
    assert time.monotonic() - stopped < 2 + 1 + 0.5, "the half second is for a busy machine"
    server.wait_for(rf"pid {victim}\) was killed: unresponsive for more than 2 s", since=since)
    answers = {int(client.get("/pid").body) for client in clients}
    assert answers == set(server.worker_pids)
    assert victim not in answers


@pytest.mark.slow
def test_worker_that_holds_the_interpreter_lock_is_replaced(start: Start) -> None:
    """A C call that lets no other thread run stops the heart; its time over, the request ends with the worker."""
    server = start("app:app", "--heartbeat-timeout", "1s", "--request-timeout", "2s").ready()
    (victim,) = server.worker_pids
    with server.connect() as client:
        status, seconds = took(client, "/hold")
        assert status == 504
        # As above.
        assert 2 < seconds < 4
    over = "with a request over its --request-timeout"
    server.wait_for(rf"pid {victim}\) was killed: .* more than 1 s, {over}; running: GET /hold")
    assert int(server.get()) != victim


def test_stopped_worker_goes_on(start: Start) -> None:
    """Stopped for less than the heartbeat's time: nothing happens to it."""
    server: Server = start("app:app", "--heartbeat-timeout", "3s").ready()
    (pid,) = server.worker_pids
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.7)
    os.kill(pid, signal.SIGCONT)
    assert int(server.get()) == pid
    assert not server.seen(GONE)
