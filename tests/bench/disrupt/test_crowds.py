"""The crowd as a process, against a small server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.disrupt.client import Orders
from bench.disrupt.crowds import crowd

PATIENCE = 20.0


class Peer(ThreadingHTTPServer):
    """Answers as the application does, and knows when it has answered often enough."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = threading.Semaphore(0)

    def wait(self, count: int) -> None:
        """Return after so many answers more."""
        for _ in range(count):
            assert self.answers.acquire(timeout=PATIENCE)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = re.search(r"id=([^&]+)", self.path)
        body = f"{found[1] if found else ''} 1 1\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        assert isinstance(self.server, Peer)
        self.server.answers.release()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server, until the test is over."""
    server = Peer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_phases_are_told_apart(peer: Peer) -> None:
    """Each answer counts in the phase in which it came, and in the end none is outstanding."""
    with crowd(Orders(peer.server_port, clients=3, pace=0.01), None) as clients:
        peer.wait(5)
        clients.begin("calm")
        peer.wait(20)
        clients.begin("disrupted")
        peer.wait(20)
        phases = clients.finish()
    assert [phase.name for phase in phases] == ["begin", "calm", "disrupted"]
    assert phases[1].answered > 0
    assert sum(phase.answered for phase in phases) >= 45
    assert sum(phase.failed + phase.dropped + phase.planned for phase in phases) == 0


def test_clients_that_are_cut_off(peer: Peer) -> None:
    """They go without their answers, and that is no failure of the server's."""
    with crowd(Orders(peer.server_port, clients=3, pace=0.0), None) as clients:
        peer.wait(5)
        [phase] = clients.leave()
    assert phase.failed == 0
    assert phase.answered > 0


def test_clients_end_with_the_block(peer: Peer) -> None:
    """Also when something went wrong in it."""
    with pytest.raises(RuntimeError), crowd(Orders(peer.server_port, clients=1), None) as clients:
        raise RuntimeError
    assert clients._process.returncode is not None
