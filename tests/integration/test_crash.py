"""A connection outlives its worker: what clients see of a worker that is killed, at each point of a request."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.client import Client, Ended
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import READY, Server
from tests.integration.storm import Storm

#: How long clients are watched while workers are killed, and how often that happens.
STORM, PERIOD = 6.0, 0.5


@pytest.fixture
def server(start: Start) -> Server:
    """Two workers."""
    return start("app:app", "--workers", "2").ready(2)


def kill_at(server: Server, gate: Gate, client: Client, name: str = "request") -> int:
    """Kill the worker that the next visitor of this name is in; returns its pid."""
    victim = gate.visitor(name)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait_for_end()
    return victim.pid


def read_runs(folder: Path) -> list[list[str]]:
    """Name and attempt of each run of the application."""
    return [line.split() for line in (folder / "runs").read_text().splitlines()]


@pytest.mark.parametrize(
    ("method", "replay"), [("GET", "safe"), ("OPTIONS", "safe"), ("PUT", "idempotent"), ("DELETE", "idempotent")]
)
def test_request_that_may_run_again_is_answered_all_the_same(
    start: Start, gate: Gate, method: str, replay: str
) -> None:
    """It runs once more, on another worker and the same connection, which goes on; the client notices nothing."""
    server = start("app:app", "--workers", "2", "--replay", replay).ready(2)
    with server.connect() as client:
        client.ask("/wait", method, b"body" if method == "PUT" else None)
        victim = kill_at(server, gate, client)
        second = gate.visitor("request")
        assert second.pid != victim
        second.release()
        assert client.response().body == str(second.pid).encode()
        assert client.get("/environ?key=twistcorn.attempt").body == b"1"


def test_application_knows_that_a_request_is_repeated(server: Server, folder: Path) -> None:
    """`twistcorn.attempt` is 1, and 2 when a worker has died with the request."""
    with server.connect() as client:
        client.ask("/run?name=a&time=1")
        while not (folder / "runs").exists():
            time.sleep(0.01)
        for pid in server.worker_pids:
            os.kill(pid, signal.SIGKILL)
        assert client.response().status == 200
    assert read_runs(folder) == [["a", "1"], ["a", "2"]]


def test_request_is_repeated_only_once(server: Server, gate: Gate) -> None:
    """With the second worker that dies the client gets 502: the request may be what kills."""
    with server.connect() as client:
        client.ask("/wait")
        for _ in range(2):
            kill_at(server, gate, client)
        answer = client.response()
        assert (answer.status, answer.headers["connection"]) == (502, "close")
        assert client.ended()


@pytest.mark.parametrize("body", [b"", b"small", b"large" * 100_000], ids=len)
def test_post_is_never_repeated(server: Server, gate: Gate, body: bytes) -> None:
    """It gets 502, whether its body was taken or not, and the connection ends in order."""
    with server.connect() as client:
        client.ask("/wait", "POST", body)
        kill_at(server, gate, client)
        assert client.response().status == 502
        assert client.ended()


def test_body_that_was_taken_in_part(server: Server) -> None:
    """502: nobody else can read what is gone."""
    with server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        assert client.response().status == 100
        for pid in server.worker_pids:
            os.kill(pid, signal.SIGKILL)
        assert client.response().status == 502


def test_answer_to_head_has_no_body(start: Start, gate: Gate) -> None:
    """Also one of the master's own."""
    server = start("app:app", "--replay", "off").ready()
    with server.connect() as client:
        client.ask("/wait", "HEAD")
        kill_at(server, gate, client)
        answer = client.response("HEAD")
        assert (answer.status, answer.headers["content-length"]) == (502, "16")
        assert client.ended()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_may_have_half_happened_is_not_repeated(server: Server, gate: Gate, method: str) -> None:
    """By default only safe methods run again: a PUT or DELETE whose worker dies inside the application gets 502."""
    with server.connect() as client:
        client.ask("/wait", method, b"body" if method == "PUT" else None)
        kill_at(server, gate, client)
        assert client.response().status == 502
        assert client.ended()


def test_operator_wants_no_replay(start: Start, gate: Gate) -> None:
    """With --replay off a GET that was in the application gets 502 as well."""
    server = start("app:app", "--replay", "off").ready()
    with server.connect() as client:
        client.ask("/wait")
        kill_at(server, gate, client)
        assert client.response().status == 502


@pytest.mark.parametrize(("version", "end"), [("1.1", Ended), ("1.0", ConnectionResetError)])
def test_answer_that_was_sent_in_part(server: Server, gate: Gate, version: str, end: type[Exception]) -> None:
    """What came looks like the part that it is: its last chunk is missing, or the connection is reset."""
    with server.connect() as client:
        client.ask("/stream", version=version)
        assert client.read_to(b"first")
        kill_at(server, gate, client, "stream")
        with pytest.raises((Ended, ConnectionResetError)) as raised:
            client.read(100)
        assert isinstance(raised.value, end)


def test_pipelined_request_behind_one_that_is_repeated(server: Server, gate: Gate) -> None:
    """Both are answered, in order."""
    with server.connect() as client:
        client.ask("/wait")
        client.ask("/version")
        kill_at(server, gate, client)
        gate.visitor("request").release()
        assert client.response().status == 200
        assert client.response().body == b"one"


def test_unix_socket(start: Start, gate: Gate, tmp_path: Path) -> None:
    """Its kernel tells less; a request that is in the application is repeated all the same."""
    server = start("app:app", listen=("--listen", f"unix:{tmp_path / 'socket'}")).ready()
    with server.connect() as client:
        assert client.get("/version").status == 200
        client.ask("/wait")
        kill_at(server, gate, client)
        gate.visitor("request").release()
        assert client.response().status == 200
        assert client.get("/version").status == 200


def kill_now_and_then(server: Server) -> None:
    """Kill a random worker, again and again; each time there are four to choose from."""
    choice = random.Random(4711)
    until = time.monotonic() + STORM
    while time.monotonic() < until:
        since = server.mark()
        os.kill(choice.choice(server.worker_pids), signal.SIGKILL)
        server.wait_for(READY, since=since)
        time.sleep(PERIOD)


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["", "&time=0.002"], ids=["", "waits"])
def test_get_while_workers_are_killed(start: Start, wait: str) -> None:
    """No request fails, no connection ends."""
    server = start("app:app", "--workers", "4").ready(4)
    with Storm(server.address, query=wait) as storm:
        kill_now_and_then(server)
    assert storm.failures == []
    assert set(storm.statuses) == {200}
    assert storm.closed == 0


@pytest.mark.slow
def test_post_while_workers_are_killed(start: Start, folder: Path) -> None:
    """Each failure is a 502, and no request runs twice."""
    server = start("app:app", "--workers", "4").ready(4)
    with Storm(server.address, method="POST", query="&time=0.002") as storm:
        kill_now_and_then(server)
    assert storm.failures == []
    assert set(storm.statuses) == {200, 502}
    assert storm.closed == storm.statuses[502]
    runs = Counter(name for name, _ in read_runs(folder))
    assert set(runs.values()) == {1}
    assert storm.statuses[200] <= len(runs) <= storm.statuses.total()
