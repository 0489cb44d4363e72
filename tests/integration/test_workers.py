"""Several workers: who gets which connection, and what happens when one of them is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import READY, Server


def pid_of(client: Client) -> int:
    """Which worker answers on a connection."""
    return int(client.get("/pid").body)


def kill(server: Server, pid: int) -> int:
    """kill -9; returns the place in the log before it."""
    since = server.mark()
    os.kill(pid, signal.SIGKILL)
    return since


@pytest.fixture(scope="module")
def four_shared(shared: tuple[Start, Gate]) -> Server:
    """A server for tests that kill nobody."""
    return shared[0]("app:app", "--workers", "4", "--threads", "1").ready(4)


@pytest.fixture
def four(start: Start) -> Server:
    """A server with four workers of one thread each: an answer tells that the thread's earlier turns are over."""
    return start("app:app", "--workers", "4", "--threads", "1").ready(4)


def test_new_connections_one_after_another_spread_evenly(four_shared: Server) -> None:
    """Of 40 connections in a row each of 4 workers gets about ten."""
    counts = Counter(int(four_shared.get("/pid")) for _ in range(40))
    assert set(counts) == set(four_shared.worker_pids)
    assert all(8 <= count <= 12 for count in counts.values()), counts


def test_connections_held_at_the_same_time_spread_evenly(four_shared: Server) -> None:
    """Of 40 open connections each of 4 workers holds about ten; one that was slow to take some has a few less."""
    clients = [four_shared.connect() for _ in range(40)]
    # One after the other: a request that has to wait for a thread is answered elsewhere.
    counts = Counter(int(client.get("/pid").body) for client in clients)
    assert set(counts) == set(four_shared.worker_pids)
    assert all(5 <= count <= 15 for count in counts.values()), counts


def test_busy_workers_are_passed_over(four: Server, gate: Gate) -> None:
    """While three workers are in the application, all new connections go to the fourth."""
    busy = [four.connect() for _ in range(3)]
    visitors = []
    for client in busy:
        client.ask("/wait")
        visitors.append(gate.visitor("request"))
    free = set(four.worker_pids) - {visitor.pid for visitor in visitors}
    assert len(free) == 1
    assert {int(four.get("/pid")) for _ in range(10)} == free
    for client, visitor in zip(busy, visitors, strict=True):
        visitor.release()
        assert client.response().status == 200


def test_killed_worker_is_replaced_and_the_log_names_what_ran(start: Start, gate: Gate) -> None:
    """kill -9: the others answer, the request that ran gets 502, and one line names pid, signal and request."""
    server = start("app:app", "--workers", "2").ready(2)
    with server.connect() as doomed, server.connect() as other:
        doomed.ask("/wait?name=doomed&token=secret", "POST", b"")
        other.ask("/wait?name=other")
        victim, spared = gate.visitor("doomed"), gate.visitor("other")
        assert victim.pid != spared.pid
        since = kill(server, victim.pid)
        assert doomed.response().status == 502
        spared.release()
        assert other.response().status == 200
        assert int(server.get("/pid")) != victim.pid
    died = rf"worker \d+ \(pid {victim.pid}\) died after [\d.]+ s: SIGKILL.*; running: POST /wait for \d\.\d s; conn"
    server.wait_for(died, since=since)
    server.wait_for(READY, since=since)
    assert len(server.worker_pids) == 2
    assert {int(server.get("/pid")) for _ in range(8)} == set(server.worker_pids)
    assert "secret" not in server.log


def test_idle_connections_of_a_killed_worker_live_on(four: Server) -> None:
    """Keep-alive connections that the killed worker held are answered afterwards, on the same connection."""
    clients = [four.connect() for _ in range(16)]
    holders = [pid_of(client) for client in clients]
    # The latest turn of each worker may not be over to its last step; then again the one before is.
    for pid in four.worker_pids:
        assert pid_of(clients[len(holders) - 1 - holders[::-1].index(pid)]) == pid
    victim = holders[0]
    kill(four, victim)
    assert holders.count(victim) > 1
    for number, (client, holder) in enumerate(zip(clients, holders, strict=True)):
        if holder == victim and victim in holders[number + 1 :]:
            assert pid_of(client) != victim
        elif holder != victim:
            assert pid_of(client) == holder
    four.wait_for(rf"pid {victim}\) died .*; no request running")


def test_connection_with_a_head_in_part_outlives_its_worker(start: Start) -> None:
    """A head of which half has arrived stays in the kernel when its worker dies: the rest of it is answered."""
    server = start("app:app", "--workers", "2", "--threads", "1").ready(2)
    with server.connect() as client:
        client.send(b"GET /pid HTTP/1.1\r\nHo")
        # Both workers have looked at all that was sent before.
        for _ in range(4):
            server.get("/pid")
        since = server.mark()
        for pid in server.worker_pids:
            kill(server, pid)
        server.wait_for(READY, since=since, count=2)
        client.send(b"st: localhost\r\n\r\n")
        assert client.response().status == 200


def test_all_workers_killed_at_once_come_back(four: Server) -> None:
    """With every worker dead new clients wait, and are answered by the new ones."""
    since = four.mark()
    for pid in four.worker_pids:
        kill(four, pid)
    assert int(four.get("/pid")) > 0
    four.wait_for(READY, since=since, count=4)
    assert {int(four.get("/pid")) for _ in range(20)} == set(four.worker_pids)


def test_death_is_not_hidden_by_a_process_that_the_app_forked(start: Start, gate: Gate) -> None:
    """A process forked by the application has copies of all that its worker had: the death is noticed all the same."""
    server = start("app:app").ready()
    (victim,) = server.worker_pids
    with server.connect() as client, server.connect() as idle:
        assert pid_of(idle) == victim
        client.ask("/fork")
        child = gate.visitor("child")
        assert client.response().body == str(victim).encode()
        since = kill(server, victim)
        server.wait_for(rf"pid {victim}\) died", since=since)
        server.wait_for(READY, since=since)
        assert pid_of(idle) != victim
        child.release()


def test_connection_of_a_request_that_forked_ends(start: Start, gate: Gate) -> None:
    """The copy of a connection in a forked process does not keep it open when the server ends it."""
    server = start("app:app").ready()
    with server.connect() as client:
        client.ask("/fork", headers="Connection: close\r\n")
        child = gate.visitor("child")
        assert client.response().status == 200
        assert client.ended()
        child.release()


def test_clients_of_workers_that_die_one_after_another_are_answered(four: Server) -> None:
    """Nobody is blamed for the death of a worker that never took the connection, however often that happens."""
    workers = four.worker_pids
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    clients = [four.connect() for _ in range(40)]
    for client in clients:
        client.ask("/pid")
    for pid in workers:
        kill(four, pid)
        four.wait_for(rf"pid {pid}\) died .*; no request running")
    answers = [int(client.response().body) for client in clients]
    assert not set(workers) & set(answers)


def test_frozen_worker_does_not_keep_its_clients(start: Start, gate: Gate) -> None:
    """What was lent to a frozen worker, taken by it or not, is answered by another one as soon as it is dead."""
    server = start("app:app", "--workers", "2").ready(2)
    busy = server.connect()
    busy.ask("/wait")
    visitor = gate.visitor("request")
    (frozen,) = set(server.worker_pids) - {visitor.pid}
    # The one that has nothing to do gets these, first awake, then frozen; further ones by turns.
    clients = [server.connect()]
    os.kill(frozen, signal.SIGSTOP)
    clients += [server.connect() for _ in range(4)]
    for client in clients:
        client.ask("/pid")
    since = kill(server, frozen)
    assert frozen not in {int(client.response().body) for client in clients}
    server.wait_for(rf"pid {frozen}\) died .*: SIGKILL; no request running", since=since)
    visitor.release()
    assert busy.response().body == str(visitor.pid).encode()


@pytest.mark.slow
@pytest.mark.needs("wrk", "wrk")
def test_killed_worker_is_back_under_load(start: Start, folder: Path) -> None:
    """kill -9 under the load of wrk: a new worker serves within the time that its boot takes, plus one second."""
    server = start("app:app", "--workers", "2").ready(2)
    assert not isinstance(server.address, str)
    host, port = server.address
    program = find_program("wrk")
    assert program is not None
    with subprocess.Popen(
        [program, "-t1", "-c16", "-d4s", f"http://{host}:{port}/pid"], stdout=subprocess.PIPE, text=True
    ) as wrk:
        # Its connections are there.
        server.get("/pid")
        victim = server.worker_pids[0]
        since, killed = server.mark(), time.monotonic()
        os.kill(victim, signal.SIGKILL)
        found = server.wait_for(READY + r" after (?P<boot>[\d.]+) s", since=since)[0]
        assert {int(server.get("/pid")) for _ in range(4)} >= {int(found["pid"])}
        assert time.monotonic() - killed < float(found["boot"]) + 1.0
        assert wrk.stdout is not None
        report = wrk.stdout.read()
    assert re.search(r"[1-9]\d* requests in", report), report
    assert "Non-2xx" not in report
    assert "Socket errors" not in report
