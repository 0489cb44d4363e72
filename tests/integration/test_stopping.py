"""SIGTERM, SIGINT, SIGQUIT: what becomes of the clients, how the process ends, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.client import Ended
from tests.integration.command import said
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import READY, TIMEOUT, Server, wait_until
from tests.integration.load import Load
from twistcorn.worker.amp_child import STOP_NOTICE_SECONDS

#: What an end within a moment may take on a busy machine; far less than the graceful time-out of 30 s.
PROMPT = 10.0

#: How each front ends after an orderly stop by SIGTERM.
ENDS = [("run", 0), ("twist", -signal.SIGTERM), ("twistd", -signal.SIGTERM)]
by_front = pytest.mark.parametrize(("front", "code"), ENDS, ids=["run", "twist", "twistd"])
run_and_twist = pytest.mark.parametrize(("front", "code"), ENDS[:2], ids=["run", "twist"])
quick_signals = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["INT", "QUIT"])


@by_front
def test_terminate_answers_the_request_in_flight(start: Start, gate: Gate, front: str, code: int) -> None:
    """After SIGTERM a request in flight is answered with `Connection: close`; idle connections end before it."""
    server = start("--app", "app:app", "--workers", "2", front=front).ready(2)
    with server.connect() as busy, server.connect() as idle, server.connect() as silent:
        idle.get("/pid")
        busy.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGTERM)
        assert idle.ended()
        assert silent.ended()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert server.process.poll() is None
        visitor.release()
        answer = busy.response()
        assert (answer.status, answer.body) == (200, str(visitor.pid).encode())
        assert answer.headers["connection"] == "close"
        assert busy.ended()
    assert server.exit_code() == code


def test_terminate_answers_what_waits_in_the_backlog(start: Start) -> None:
    """Clients that the kernel has connected, and nobody has accepted yet, are answered before the end."""
    server = start("app:app", "--workers", "2").ready(2)
    server.send(signal.SIGSTOP)
    clients = [server.connect() for _ in range(100)]
    for client in clients:
        client.ask("/pid")
    server.send(signal.SIGTERM)
    server.send(signal.SIGCONT)
    for client in clients:
        assert client.response().status == 200
        client.close()
    assert server.exit_code() == 0


def test_terminate_answers_a_client_that_is_about_to_send(start: Start) -> None:
    """A client that was accepted and sends its request just after SIGTERM is answered."""
    server = start("app:app").ready()
    with server.connect() as client, server.connect() as kept:
        kept.get("/pid")
        server.send(signal.SIGTERM)
        server.wait_for("stopping gracefully")
        assert client.get("/pid").status == 200
        assert kept.get("/pid").status == 200
    assert server.exit_code() == 0


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [False, True], ids=["master", "everybody"])
def test_terminate_under_load_answers_every_request(start: Start, everybody: bool) -> None:
    """Clients that ask again as soon as they are answered all get a last answer, which says that it is the last.

    A service manager may send SIGTERM to the master and all workers at once: it is the master's to answer.
    """
    server = start("app:app", "--workers", "2").ready(2)
    with Load(server.address) as load:
        load.more(10)
        load.may_end = True
        (os.killpg if everybody else os.kill)(server.pid, signal.SIGTERM)
        load.wait_for_end()
    assert load.failures == []
    assert server.exit_code(PROMPT) == 0
    assert len(server.seen(r"exited$")) == 2
    assert not server.seen(r"got SIGTERM|died|ended while")


def test_worker_killed_during_the_stop(start: Start, gate: Gate) -> None:
    """A request in flight in a worker that is killed while the server stops is another worker's, as at any time."""
    server = start("app:app", "--workers", "2").ready(2)
    with server.connect() as client:
        client.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGTERM)
        server.wait_for("stopping gracefully")
        wait_until(lambda: _finishing(server) == 2, "the workers have their order")
        os.kill(visitor.pid, signal.SIGKILL)
        second = gate.visitor("request")
        assert second.pid != visitor.pid
        second.release()
        assert client.response().status == 200
    assert server.exit_code(PROMPT) == 0


def test_master_is_late_to_hear_the_signal_for_everybody(start: Start) -> None:
    """Workers that got it earlier do not leave their clients alone."""
    server = start("app:app", "--workers", "2").ready(2)
    clients = [server.connect() for _ in range(8)]
    for client in clients:
        client.get("/pid")
    server.send(signal.SIGSTOP)
    os.killpg(server.pid, signal.SIGTERM)
    # Longer than a worker waits for the master's word.
    time.sleep(2 * STOP_NOTICE_SECONDS)
    server.send(signal.SIGCONT)
    server.wait_for("stopping gracefully")
    assert [client.get("/pid").status for client in clients] == [200] * 8
    for client in clients:
        client.close()
    assert server.exit_code(PROMPT) == 0


def test_only_worker_drains_when_the_server_stops(start: Start, folder: Path, gate: Gate) -> None:
    """A connection that it has handed back, while its replacement boots, is its own again: nobody waits in vain."""
    server = start("app:app").ready()
    with server.connect() as idle, server.connect() as busy:
        idle.get("/pid")
        busy.ask("/wait")
        visitor = gate.visitor("request")
        put_probe(folder, end='wait("import")')
        os.kill(visitor.pid, signal.SIGTERM)
        booting = gate.visitor("import")
        server.send(signal.SIGTERM)
        server.wait_for("stopping gracefully")
        assert idle.get("/pid").status == 200
        booting.wait_for_end()
        visitor.release()
        assert busy.response().status == 200
    assert server.exit_code(PROMPT) == 0


def test_request_that_cannot_be_ended_when_the_server_stops(start: Start, gate: Gate) -> None:
    """It gets its 504 as at any other time, and nobody runs it once more."""
    server = start("app:app", "--workers", "2", "--request-timeout", "500ms", tracebacks=True).ready(2)
    with server.connect() as client:
        client.ask("/wait")
        gate.visitor("request")
        server.send(signal.SIGTERM)
        assert client.response().status == 504
    assert server.exit_code(PROMPT) == 0
    assert not server.seen("run again")


@run_and_twist
def test_second_terminate_is_quick(start: Start, gate: Gate, front: str, code: int) -> None:
    """A second SIGTERM does not wait for the request in flight."""
    server = start("--app", "app:app", front=front).ready()
    with server.connect() as client:
        client.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGTERM)
        server.wait_for("stopping gracefully")
        server.send(signal.SIGTERM)
        visitor.wait_for_end()
        assert client.ended()
    assert server.exit_code(PROMPT) == code


@quick_signals
@pytest.mark.parametrize("front", ["run", "twist"])
def test_quick_signals_do_not_wait(start: Start, gate: Gate, front: str, number: signal.Signals) -> None:
    """SIGINT and SIGQUIT end the server now, with a request in flight: 0 from `run`, by the signal from `twist`."""
    server = start("--app", "app:app", "--workers", "2", front=front).ready(2)
    with server.connect() as client:
        client.ask("/wait")
        gate.visitor("request")
        server.send(number)
        assert client.ended()
    assert server.exit_code(PROMPT) == (0 if front == "run" else -number)


def test_quick_signal_after_terminate_hurries_it(start: Start, gate: Gate) -> None:
    """Ctrl-C during a graceful stop ends it."""
    server = start("app:app").ready()
    with server.connect() as client:
        client.ask("/wait")
        gate.visitor("request")
        server.send(signal.SIGTERM)
        server.wait_for("stopping gracefully")
        server.send(signal.SIGINT)
        assert client.ended()
    assert server.exit_code(PROMPT) == 0


@run_and_twist
def test_terminate_during_boot_ends_promptly(
    start: Start, folder: Path, gate: Gate, front: str, code: int
) -> None:
    """SIGTERM while the first worker imports the application ends everything without waiting for it."""
    put_probe(folder, end='wait("import")')
    server = start("--app", "app:app", "--workers", "2", front=front)
    visitor = gate.visitor("import")
    server.send(signal.SIGTERM)
    visitor.wait_for_end()
    assert server.exit_code(PROMPT) == code
    assert not server.seen(READY)


def test_terminate_during_reload_ends_old_and_new(start: Start, folder: Path, gate: Gate) -> None:
    """SIGTERM while a reload boots a worker ends the booting one at once and the serving ones gracefully."""
    server = start("app:app", "--workers", "2").ready(2)
    put_probe(folder, end='wait("import")')
    with server.connect() as client:
        client.ask("/wait")
        request = gate.visitor("request")
        server.send(signal.SIGHUP)
        booting = gate.visitor("import")
        server.send(signal.SIGTERM)
        booting.wait_for_end()
        request.release()
        assert client.response().status == 200
    assert server.exit_code(PROMPT) == 0


def test_terminate_while_no_worker_can_boot_ends_promptly(start: Start, folder: Path) -> None:
    """SIGTERM while the only worker is dead and its replacement waits for its next attempt: clients see the end."""
    server = start("app:app", tracebacks=True).ready()
    put_probe(folder, end='raise LookupError("no such table")')
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for("failed to boot")
    with server.connect() as client:
        client.ask("/pid")
        server.send(signal.SIGTERM)
        assert client.ended()
    assert server.exit_code(PROMPT) == 0


def test_past_the_graceful_timeout_the_rest_is_cut(start: Start, gate: Gate) -> None:
    """A request that runs longer than --graceful-timeout is cut, and the end is an orderly one."""
    server = start("app:app", "--graceful-timeout", "1s").ready()
    with server.connect() as client:
        client.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGTERM)
        visitor.wait_for_end()
        with pytest.raises((Ended, ConnectionResetError)):
            client.response()
    assert server.exit_code(PROMPT) == 0


def test_worker_that_ignores_everything_is_killed(start: Start) -> None:
    """A frozen worker does not keep the server from ending quickly."""
    server = start("app:app", "--workers", "2").ready(2)
    os.kill(server.worker_pids[0], signal.SIGSTOP)
    server.send(signal.SIGINT)
    assert server.exit_code(PROMPT) == 0


def test_killed_master_takes_its_workers_along(start: Start, gate: Gate) -> None:
    """When the master is killed, workers finish what runs, then exit: nothing is left."""
    server = start("app:app", "--workers", "4").ready(4)
    with server.connect() as busy, server.connect() as idle:
        idle.get("/pid")
        busy.ask("/wait")
        visitor = gate.visitor("request")
        server.send(signal.SIGKILL)
        assert idle.ended()
        # The idle workers do not wait for the busy one.
        wait_until(
            lambda: not _alive(set(server.worker_pids) - {visitor.pid}), "idle workers are gone", TIMEOUT
        )
        visitor.release()
        answer = busy.response()
        assert (answer.status, answer.body) == (200, str(visitor.pid).encode())
    assert server.exit_code(PROMPT) == -signal.SIGKILL


def test_killed_master_during_boot_takes_the_booting_worker_along(
    start: Start, folder: Path, gate: Gate
) -> None:
    """A worker that imports its application when the master dies exits as soon as the import lets it."""
    put_probe(folder, end='wait("import")')
    server = start("app:app")
    visitor = gate.visitor("import")
    server.send(signal.SIGKILL)
    server.process.wait(TIMEOUT)
    visitor.release()
    assert server.exit_code(PROMPT) == -signal.SIGKILL


def test_group_signal_from_the_terminal_ends_everything_once(start: Start) -> None:
    """Ctrl-C reaches the master and all workers at once; the end is as orderly as with the master alone."""
    server = start("app:app", "--workers", "4").ready(4)
    os.killpg(server.pid, signal.SIGINT)
    assert server.exit_code(PROMPT) == 0
    assert len(server.seen(r"exited$")) == 4
    assert not server.seen(r"died|ended while")


def _finishing(server: Server) -> int:
    status = json.loads(said(server, "status", "--json"))
    count: int = status["workers"]["finishing"]
    return count


def _alive(pids: set[int]) -> set[int]:
    alive = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            alive.add(pid)
    return alive
