"""Workers that are deaf in a way that they do not notice by themselves: the master does."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Serve

#: What a fault in the reader would do; descriptors and epolls are as they were.
SOURCE = """
import os
def deafen():
    from twisted.internet import reactor
    for each in reactor.getReaders():
        if type(each).__name__ == "LendChannel":
            HOW
def app(environ, start_response):
    if environ["PATH_INFO"] == "/deafen": deafen()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["each.stopReading()", "each.doRead = lambda: None", "each.flush = lambda: None"])
def test_deaf_worker_is_replaced(serve: Serve, how: str) -> None:
    """Who connects meanwhile waits some seconds for an answer, and has it; the log says what happened."""
    server = serve(SOURCE.replace("HOW", how)).ready()
    with server.connect() as client:
        deaf = client.get("/deafen").body.decode()
    assert server.get("/").isdigit()
    server.wait_for(rf"worker 1 \(pid {deaf}\) was killed: alive, but it acknowledged no connection")
    assert server.get("/") != deaf
