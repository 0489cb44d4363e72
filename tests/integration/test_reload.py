"""SIGHUP: the code on disk is loaded by new workers, and no client notices."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, Server, wait_until
from tests.integration.load import Load

DONE = r"reload complete: generation (\d+) is serving"
OFF = r"reload cancelled: the code on disk fails to boot; the old workers keep serving"


def reload(server: Server) -> None:
    """Send SIGHUP and wait until all that served before is gone."""
    old, since = server.worker_pids, server.mark()
    server.send(signal.SIGHUP)
    server.wait_for(DONE, since=since)
    server.wait_for(rf"worker \d+ \(pid ({'|'.join(map(str, old))})\) exited", since=since, count=len(old))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_no_request_fails_and_no_connection_drops_under_keep_alive_load(
    start: Start, folder: Path, workers: int
) -> None:
    """Under GET and POST on keep-alive connections a reload fails nothing, and ends with the new code alone."""
    server = start("app:app", "--workers", str(workers)).ready(workers)
    old = set(server.worker_pids)
    with Load(server.address, clients=6) as load:
        load.more(10)
        put_probe(folder, "two")
        reload(server)
        load.forget()
        assert {version for version, _ in load.answers} == {"two"}
        assert not old & {pid for _, pid in load.answers}
    assert load.failures == []
    assert len(server.worker_pids) == workers


def test_idle_connections_survive(start: Start, folder: Path) -> None:
    """Idle keep-alive connections, held by every old worker, are answered by the new ones afterwards."""
    server = start("app:app", "--workers", "2").ready(2)
    clients = [server.connect() for _ in range(8)]
    before = {client.get("/pid").body for client in clients}
    assert before == {str(pid).encode() for pid in server.worker_pids}
    put_probe(folder, "two")
    reload(server)
    assert [client.get("/version").body for client in clients] == [b"two"] * 8
    assert not before & {client.get("/pid").body for client in clients}


def test_request_in_flight_is_answered_by_the_old_code(start: Start, folder: Path, gate: Gate) -> None:
    """A request that runs when the reload begins gets its answer, and the next one on its connection the new code."""
    server = start("app:app", "--workers", "2").ready(2)
    with server.connect() as client:
        client.ask("/wait")
        visitor = gate.visitor("request")
        put_probe(folder, "two")
        server.send(signal.SIGHUP)
        server.wait_for(DONE)
        assert server.get("/version") == "two"
        visitor.release()
        assert client.response().body == str(visitor.pid).encode()
        assert client.get("/version").body == b"two"
    server.wait_for(rf"pid {visitor.pid}\) exited")


def test_code_that_does_not_import_changes_nothing_and_is_told(start: Start, folder: Path) -> None:
    """New code that raises when it is imported: the old workers go on, the log says why, the next reload works."""
    server = start("app:app", "--workers", "2", tracebacks=True).ready(2)
    old = server.worker_pids
    put_probe(folder, "two", end='raise LookupError("no such table")')
    with server.connect() as client:
        client.get("/pid")
        server.send(signal.SIGHUP)
        server.wait_for(OFF)
        server.wait_for(
            r"failed to boot: cannot load the app `app:app`: importing app failed: LookupError: no such"
        )
        assert client.get("/version").body == b"one"
        assert server.get("/version") == "one"
        assert server.worker_pids == old
        put_probe(folder, "three")
        reload(server)
        assert client.get("/version").body == b"three"
    assert len(server.worker_pids) == 2


def test_another_reload_during_a_reload_is_remembered(start: Start, folder: Path, gate: Gate) -> None:
    """A second SIGHUP while new workers boot makes another reload behind the first: the latest code serves."""
    server = start("app:app", "--workers", "2").ready(2)
    put_probe(folder, "two", end='wait("import")')
    server.send(signal.SIGHUP)
    first = gate.visitor("import")
    put_probe(folder, "three")
    server.send(signal.SIGHUP)
    server.wait_for(r"reload queued until the current one ends")
    first.release()
    server.wait_for(DONE, count=2)
    server.wait_for(GONE, count=4)
    assert {server.get("/version") for _ in range(4)} == {"three"}
    assert len(server.worker_pids) == 2


def test_reload_during_boot_follows_it(start: Start, folder: Path, gate: Gate) -> None:
    """SIGHUP while the first worker boots: it serves as soon as it is ready, and is replaced by the code on disk."""
    put_probe(folder, "one", end='wait("import")')
    server = start("app:app", "--workers", "2")
    first = gate.visitor("import")
    put_probe(folder, "two")
    server.send(signal.SIGHUP)
    server.wait_for(r"reload queued until")
    first.release()
    server.ready()
    server.wait_for(DONE)
    server.wait_for(rf"pid {first.pid}\) exited")
    assert {server.get("/version") for _ in range(4)} == {"two"}
    server.wait_for(READY, count=3)


def test_many_reloads_at_once_are_two(start: Start, folder: Path) -> None:
    """SIGHUP ten times in a row reloads now and once more afterwards, and nothing is left over."""
    server = start("app:app", "--workers", "2").ready(2)
    put_probe(folder, "two")
    for _ in range(10):
        server.send(signal.SIGHUP)
    server.wait_for(DONE, count=1)
    wait_until(lambda: len(server.worker_pids) == 2 and server.get("/version") == "two", "two new workers")
    with server.connect() as client:
        assert client.get("/version").body == b"two"


def test_new_worker_killed_during_the_reload_is_replaced_by_new_code(
    start: Start, folder: Path, gate: Gate
) -> None:
    """kill -9 of the first new worker, while the next one boots: the reload goes on to its end."""
    server = start("app:app", "--workers", "2").ready(2)
    since = server.mark()
    put_probe(folder, "two", end='wait("import")')
    server.send(signal.SIGHUP)
    first = gate.visitor("import")
    first.release()
    server.wait_for(READY, since=since)
    second = gate.visitor("import")
    os.kill(first.pid, signal.SIGKILL)
    server.wait_for(rf"pid {first.pid}\) died", since=since)
    put_probe(folder, "two")
    second.release()
    server.wait_for(DONE, since=since)
    server.wait_for(GONE, since=since, count=3)
    assert {server.get("/version") for _ in range(4)} == {"two"}
    assert len(server.worker_pids) == 2


def test_old_worker_that_does_not_finish_is_killed(start: Start, folder: Path, gate: Gate) -> None:
    """A request that outlasts --graceful-timeout is named in the log, and a GET is the new worker's then."""
    server = start("app:app", "--graceful-timeout", "500ms").ready()
    with server.connect() as client:
        client.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGHUP)
        visitor.wait_for_end()
        gate.visitor("request").release()
        assert client.response().status == 200
    server.wait_for(
        rf"pid {visitor.pid}\) was killed: not drained within --graceful-timeout 0\.5 s;"
        r" running: GET /wait for \d\.\d s"
    )
    assert server.get("/version") == "one"


def test_symlinked_release_takes_effect(start: Start, folder: Path, tmp_path: Path) -> None:
    """--chdir through a symbolic link is resolved at each spawn: a link to a new release, then SIGHUP, deploys it."""
    current, release = tmp_path / "current", tmp_path / "release-2"
    current.symlink_to(folder)
    server = start("app:app", "--chdir", str(current), cwd=tmp_path).ready()
    assert server.get("/version") == "one"
    release.mkdir()
    put_probe(release, "two")
    (tmp_path / "next").symlink_to(release)
    os.replace(tmp_path / "next", current)
    reload(server)
    assert server.get("/version") == "two"
    assert server.get("/cwd") == os.path.realpath(release)
