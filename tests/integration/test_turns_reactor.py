"""What the application can do with Twisted and with its context, wherever it runs."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.client import Ended
from tests.integration.conftest import Start
from tests.integration.harness import Server
from tests.integration.load import several

APP = Path(__file__).with_name("turns_app.py")
MODES = pytest.mark.parametrize("mode", ["adaptive", "inline", "pool"])

Serve = Callable[..., Server]


@pytest.fixture
def serve(start: Start, folder: Path) -> Serve:
    """Starts a server with this module's application."""
    shutil.copy(APP, folder / "app.py")

    def run(mode: str, threads: int, workers: int = 1) -> Server:
        options = ("--turns", mode, "--threads", str(threads), "--workers", str(workers))
        return start("app:app", *options).ready(workers)

    return run


@MODES
@pytest.mark.parametrize("threads", [1, 3])
def test_application_awaits_the_reactor(serve: Serve, mode: str, threads: int) -> None:
    """Deferreds, timers, callFromThread and blockingCallFromThread work from each request, also while calls block."""
    server = serve(mode, threads)

    def ask(number: int) -> None:
        with server.connect() as client:
            for _ in range(5):
                assert client.get("/deferred?seconds=0.005").body == b"fired"
                assert client.get("/called").body == b"[True] False"
                assert client.get("/sleep?seconds=0.004").body == b"slept"
                assert client.get("/").status == 200

    several(4, ask)


@MODES
def test_context_of_a_request(serve: Serve, mode: str) -> None:
    """What a request sets in its context (PEP 567) is not seen by the next, on whichever thread."""
    with serve(mode, 2).connect() as client:
        assert {client.get(f"/context?value={number}").body for number in range(20)} == {b"nothing"}


@MODES
def test_client_reads_slowly(serve: Serve, mode: str) -> None:
    """A body that is produced while it is sent arrives whole; others are served meanwhile."""
    server = serve(mode, 2)
    with server.connect() as slow, server.connect() as other:
        slow.ask("/pieces")
        for _ in range(5):
            assert other.get("/").status == 200
        assert slow.response().body == b"".join(b"%08d" % number * 8192 for number in range(64))


def test_workers_die_and_are_reloaded(serve: Serve) -> None:
    """Nothing hangs when that happens amid hand-overs: each request is answered, or its connection ends."""
    server = serve("adaptive", 2, 2)
    over = threading.Event()
    answered = [0] * 6

    def ask(number: int) -> None:
        while not over.is_set():
            try:
                with server.connect() as client:
                    while not over.is_set():
                        path = ("/", "/sleep?seconds=0.004", "/deferred?seconds=0.003")[answered[number] % 3]
                        assert client.get(path).status in (200, 502)
                        answered[number] += 1
            except (Ended, ConnectionError):
                continue

    clients = threading.Thread(target=several, args=(6, ask))
    clients.start()
    for turn in range(6):
        before = sum(answered)
        if turn % 2:
            server.send(signal.SIGHUP)
        else:
            os.kill(server.worker_pids[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while sum(answered) < before + 100:
            assert time.monotonic() < deadline, "nobody is answered"
            time.sleep(0.01)
    over.set()
    clients.join(20)
    assert not clients.is_alive()
