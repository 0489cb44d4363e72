"""Autoscaling in the real program: it grows with the load and shrinks after it, and no client notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.client import Address, Client
from tests.integration.conftest import Start
from tests.integration.crowd import Crowd
from tests.integration.gate import Gate
from tests.integration.harness import GONE, READY, wait_until
from tests.integration.test_live import Tuned


class Callers(Crowd):
    """A number of clients, each on one keep-alive connection, whose requests wait in the application for a while.

    :ivar answers: how many there were.
    """

    def __init__(self, address: Address, clients: int) -> None:
        super().__init__(clients)
        self._address = address
        self.answers = 0

    def _run(self, number: int) -> None:
        try:
            with Client(self._address) as client:
                while not self._ending:
                    assert client.get("/sleep?for=0.1").status == 200
                    self.answers += 1
        except Exception as problem:
            self.failures.append(f"client {number}: {problem!r}")


@pytest.fixture
def program(start: Start, gate: Gate, folder: Path) -> Tuned:
    return Tuned(start, gate, folder)


@pytest.mark.slow
def test_workers_come_with_the_load_and_go_after_it(program: Tuned) -> None:
    """From 2 to 4 while requests wait, back to 2 when few come, and every request is answered."""
    server = program.serve("--workers", "2:4", "--threads", "2", workers=2)
    with Callers(server.address, 2) as few:
        with Callers(server.address, 16) as many:
            server.wait_for(r"worker target set to 3: requests wait \d+ ms for a thread")
            server.wait_for(READY, count=4)
        program.set("scale-down-after", "2s")
        server.wait_for(r"worker target set to 2: 2 would have sufficed for \d+ s")
        server.wait_for(GONE, count=2)
        before = few.answers
        wait_until(lambda: few.answers > before + 10, "the others go on")
    assert many.failures == few.failures == []
    assert len(server.worker_pids) == 2


@pytest.mark.slow
def test_threads_come_where_the_application_waits(program: Tuned) -> None:
    """More of them in the worker that is there, and every request is answered."""
    server = program.serve("--threads", "2:4", "--turns", "pool")
    with Callers(server.address, 6) as callers:
        server.wait_for(r"threads per worker set to 3: requests wait \d+ ms .* each worker uses only \d+% of a CPU")
        server.wait_for(r"threads per worker set to 4")
        begun = callers.answers
        wait_until(lambda: callers.answers > begun + 20, "they are answered")
    assert callers.failures == []
    assert len(server.worker_pids) == 1
