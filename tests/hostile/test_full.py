"""An application that leaves no file descriptor: its worker is replaced, and clients never notice."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Serve

SOURCE = """
import os
kept = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fill":
        try:
            while True:
                kept.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_full_worker_is_replaced(serve: Serve, workers: str) -> None:
    """Clients that connect meanwhile are answered; the worker is named once, finishes what it has, and goes."""
    server = serve(SOURCE, "--workers", workers).ready(workers=int(workers))
    with server.connect() as client:
        full = int(client.get("/fill").body)
        others = [server.get("/") for _ in range(40)]
        server.wait_for(rf"worker \d+ \(pid {full}\) exited")
    assert len(others) == 40
    assert all(server.get("/") != str(full) for _ in range(20))
    assert len(server.seen(r"is out of file descriptors")) == 1
