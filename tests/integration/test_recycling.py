"""Workers that have served their time are replaced, and no request is lost; reloads with changed settings."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import Start, put_probe
from tests.integration.harness import GONE, READY, wait_until
from tests.integration.load import Load

DONE = r"reload complete: generation (\d+) is serving"


@pytest.mark.slow
def test_no_request_is_lost_by_recycling(start: Start) -> None:
    """GET and POST on keep-alive connections while workers are replaced every few hundred requests."""
    server = start(
        "app:app", "--workers", "2", "--max-requests", "200", "--max-requests-jitter", "100"
    ).ready(2)
    with Load(server.address, clients=6) as load:
        server.wait_for(r"recycling worker .*: \d+ requests answered", count=4)
        server.wait_for(r"\) exited", count=3)
        load.more(5)
    assert load.failures == []
    died = [line for line in server.lines if " died " in line or "was killed" in line]
    assert died == []


def test_memory(start: Start) -> None:
    """A worker that has grown is replaced; the next one is small again."""
    server = start("app:app", "--max-rss", "256MB").ready()
    server.get("/grow?for=300")
    server.wait_for(r"recycling worker .*: \d+ MiB resident")
    server.wait_for(READY, count=2)
    server.wait_for(GONE)
    assert len(server.worker_pids) == 1


def test_age(start: Start) -> None:
    """The replacement is ready before the old one goes."""
    server = start("app:app", "--max-age", "1s").ready()
    server.wait_for(READY, count=2)
    server.wait_for(r"\) exited")
    order = [line for line in server.lines if "is ready" in line or "exited" in line]
    assert ["ready" in line for line in order[:3]] == [True, True, False]


def test_recycling_pauses_while_the_code_on_disk_does_not_boot(start: Start, folder: Path) -> None:
    """After a failed reload the old workers stay beyond their time; when code boots again they are replaced."""
    server = start("app:app", "--max-age", "2s", tracebacks=True).ready()
    (pid,) = server.worker_pids
    put_probe(folder, "two", end='raise LookupError("no such table")')
    server.send(signal.SIGHUP)
    server.wait_for(r"the code on disk fails to boot: recycling paused until a worker boots")
    since = server.mark()
    for _ in range(4):
        assert int(server.get()) == pid
    assert not server.seen(r"is replaced", since=since)
    put_probe(folder, "three")
    server.send(signal.SIGHUP)
    server.wait_for(DONE)
    assert server.get("/version") == "three"


def even(load: Load) -> bool:
    load.more(2)
    return sorted(Counter(load.homes).values()) == [2, 2, 2]


def test_connections_are_spread_evenly_after_a_reload(start: Start) -> None:
    """Clients that never connect anew are shared by the workers that serve then, also by the one that came last."""
    server = start("app:app", "--workers", "3").ready(3)
    with Load(server.address, clients=6) as load:
        server.send(signal.SIGHUP)
        server.wait_for(DONE)
        wait_until(lambda: even(load), "each worker has two clients")
    assert load.failures == []


@pytest.mark.parametrize("strategy", ["rolling", "single", "together"])
def test_reload_strategies(start: Start, folder: Path, strategy: str) -> None:
    """Whatever the strategy, no request fails, and all answers are the new code's in the end."""
    server = start("app:app", "--workers", "3", "--reload-strategy", strategy).ready(3)
    with Load(server.address, clients=2) as load:
        load.more(3)
        put_probe(folder, "two")
        server.send(signal.SIGHUP)
        server.wait_for(DONE)
        # What runs in old workers by then is answered by them.
        server.wait_for(GONE, count=3)
        load.forget()
        assert {version for version, _ in load.answers} == {"two"}
    assert load.failures == []


def test_settings_are_read_again(start: Start, folder: Path) -> None:
    """HUP takes new values from the file; the command line still wins; a change that needs a restart is logged."""
    file = folder / "twistcorn.conf"
    file.write_text("# as it was\nworkers = 1\nthreads = 3\nscript-name = /shop\n")
    server = start("app:app", "--config", str(file), "--threads", "2").ready()
    assert server.get("/shop/environ?key=SCRIPT_NAME") == "/shop"
    file.write_text("workers = 2\nthreads = 3\nbacklog = 77\n")
    server.send(signal.SIGHUP)
    server.wait_for(r"--backlog changed: not applied, needs a restart")
    server.wait_for(DONE)
    server.wait_for(READY, count=3)
    assert server.get("/environ?key=SCRIPT_NAME") == ""


def test_settings_that_are_not_valid_change_nothing(start: Start, folder: Path) -> None:
    """One line says what is wrong; nothing is reloaded."""
    file = folder / "twistcorn.conf"
    file.write_text("workers = 1\n")
    server = start("app:app", "--config", str(file)).ready()
    (pid,) = server.worker_pids
    file.write_text("workers = many\n")
    server.send(signal.SIGHUP)
    why = r"invalid value 'many' for workers in .*twistcorn\.conf: expected .*"
    server.wait_for(rf"reload cancelled: {why}; nothing changed")
    assert int(server.get()) == pid
    file.write_text("workers = 2\n")
    server.send(signal.SIGHUP)
    server.wait_for(DONE)
    server.wait_for(READY, count=3)
