"""One queue: what clients see when every thread is busy, and of connections that are idle for long."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.gate import Gate, Visitor
from tests.integration.harness import Server, wait_until
from tests.integration.storm import Storm


def occupy(server: Server, gate: Gate, count: int) -> list[tuple[Client, Visitor]]:
    """Keep this number of requests in the application."""
    found = []
    for number in range(count):
        client = server.connect()
        client.ask(f"/wait?name=busy{number}")
        found.append((client, gate.visitor(f"busy{number}")))
    return found


def descriptors(pid: int) -> int:
    """How many sockets a process has open."""
    return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())


def test_request_goes_where_a_thread_is_free(start: Start, gate: Gate) -> None:
    """Its worker is busy for long, another has nothing to do: it is answered there, on the same connection."""
    server = start("app:app", "--workers", "2", "--threads", "1").ready(2)
    with server.connect() as client:
        mine = int(client.get("/pid").body)
        busy = occupy(server, gate, 1)
        if busy[0][1].pid != mine:
            # The one that is left is the client's.
            busy[0][1].release()
            other = server.connect()
            while int(other.get("/pid").body) != mine:
                other = server.connect()
            other.ask("/wait?name=busy")
            busy = [(other, gate.visitor("busy"))]
        assert int(client.get("/pid").body) != mine
        assert client.get("/version").status == 200
        busy[0][1].release()


def test_all_threads_are_busy(start: Start, gate: Gate) -> None:
    """Requests wait, are answered when a thread is free, and know how long they waited."""
    server = start("app:app", "--workers", "2", "--threads", "1", "--queue-size", "6").ready(2)
    busy = occupy(server, gate, 2)
    clients = [server.connect() for _ in range(7)]
    for client in clients:
        client.ask("/environ?key=twistcorn.queue_time")
    # As soon as one is refused, all the others wait.
    wait_until(lambda: any(map(readable, clients)), "one of them is refused")
    busy[0][1].release()
    answers = [client.response() for client in clients]
    assert sorted(answer.status for answer in answers) == [200] * 6 + [503]
    assert all(0 < float(answer.body) < 20 for answer in answers if answer.status == 200)
    busy[1][1].release()


def test_too_many_wait(start: Start, gate: Gate) -> None:
    """--queue-size: one too many gets 503 with Retry-After at once, the others their answers."""
    server = start("app:app", "--threads", "1", "--queue-size", "2").ready()
    ((_, visitor),) = occupy(server, gate, 1)
    clients = [server.connect() for _ in range(4)]
    for client in clients:
        client.ask("/pid")
    # Which of them came first only the server knows.
    wait_until(lambda: sum(map(readable, clients)) == 2, "two of them are refused")
    refused = [client for client in clients if readable(client)]
    for client in refused:
        answer = client.response()
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert client.ended()
    visitor.release()
    assert [client.response().status for client in clients if client not in refused] == [200, 200]


def readable(client: Client) -> bool:
    """Whether an answer, or the end, is there."""
    client.sock.setblocking(False)
    try:
        return bool(client.sock.recv(1, 2))
    except BlockingIOError:
        return False
    finally:
        client.sock.settimeout(20)


def test_patience_ends(start: Start, gate: Gate) -> None:
    """--queue-timeout: a request that has waited that long gets 503, and the application never sees it."""
    server = start("app:app", "--threads", "1", "--queue-timeout", "200ms").ready()
    ((_, visitor),) = occupy(server, gate, 1)
    with server.connect() as client:
        client.ask("/version?late")
        assert client.response().status == 503
    visitor.release()
    assert "/version" not in server.get("/seen")


def test_no_worker_comes(start: Start, gate: Gate, folder: Path) -> None:
    """Every worker is dead and none boots: who asks gets 503 after --queue-timeout, and the server lives."""
    server = start("app:app", "--queue-timeout", "1s", tracebacks=True).ready()
    (folder / "app.py").write_text("raise RuntimeError('does not boot')")
    os.kill(server.worker_pids[0], signal.SIGKILL)
    with server.connect() as client:
        client.ask("/pid")
        assert client.response().status == 503


def test_idle_connections_are_parked(start: Start) -> None:
    """After --park-after they are the master's alone, and answered when they ask."""
    server = start("app:app", "--park-after", "500ms").ready()
    (pid,) = server.worker_pids
    before = descriptors(pid)
    clients = [server.connect() for _ in range(50)]
    for client in clients:
        assert client.get("/pid").status == 200
    assert descriptors(pid) == before + 50
    wait_until(lambda: descriptors(pid) == before, "all are parked")
    for client in clients:
        assert client.get("/pid").status == 200


def test_parked_connection_times_out(start: Start) -> None:
    """--keep-alive holds for it, and the worker does not hear of its end."""
    server = start("app:app", "--park-after", "500ms", "--keep-alive", "2s").ready()
    with server.connect() as client:
        assert client.get("/pid").status == 200
        assert client.ended()


def test_server_stops_with_parked_connections(start: Start) -> None:
    """They end at once."""
    server = start("app:app", "--park-after", "500ms").ready()
    (pid,) = server.worker_pids
    before = descriptors(pid)
    client = server.connect()
    assert client.get("/pid").status == 200
    wait_until(lambda: descriptors(pid) == before, "it is parked")
    server.send(signal.SIGTERM)
    assert client.ended()
    assert server.exit_code() == 0


@pytest.mark.slow
def test_overload(start: Start) -> None:
    """Far more clients than threads: each is answered 200 or 503, and after it everything is as before."""
    server = start("app:app", "--workers", "2", "--threads", "2", "--queue-size", "8").ready(2)
    with Storm(server.address, clients=60, query="&time=0.01") as storm:
        wait_until(lambda: storm.statuses.total() > 3000, "there are many answers")
    assert storm.failures == []
    assert set(storm.statuses) == {200, 503}
    assert storm.closed == storm.statuses[503]
    with Storm(server.address, clients=4, query="&time=0.01") as storm:
        wait_until(lambda: storm.statuses.total() > 50, "there are some answers")
    assert set(storm.statuses) == {200}
