"""At the limit of open files, and of connections, the server waits instead of failing."""

from __future__ import annotations

import select
import signal
import sys

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.harness import Server

#: Starts a program with this many descriptors at most.
LIMIT = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"""


def answered(clients: list[Client]) -> list[Client]:
    """Those who have an answer to read."""
    ready = select.select([client.sock for client in clients], [], [], 0)[0]
    return [client for client in clients if client.sock in ready]


@pytest.mark.parametrize(
    "way", [pytest.param("files", id="RLIMIT_NOFILE"), pytest.param("option", id="--max-connections")]
)
def test_more_connections_than_fit_wait_until_others_end(start: Start, way: str) -> None:
    """Past the limit new connections wait in the kernel, which is said once; they are answered as others end."""
    if way == "files":
        server = start("app:app", before=(sys.executable, "-c", LIMIT, "200")).ready()
    else:
        server = start("app:app", "--max-connections", "60").ready()
    clients = [server.connect() for _ in range(120)]
    for client in clients:
        client.ask("/version")
    server.wait_for("connection limit reached; new connections wait in the kernel")
    # Each that ends makes room for one more, in the order of their coming.
    for client in clients:
        assert client.response().body == b"one"
        client.close()
    assert server.get("/version") == "one"
    assert len(server.seen("new connections wait in the kernel")) == 1


def test_signals_work_while_the_limit_is_reached(start: Start) -> None:
    """A full server still reloads, since what workers need is set aside."""
    server = start("app:app", before=(sys.executable, "-c", LIMIT, "200")).ready()
    clients = [server.connect() for _ in range(120)]
    for client in clients:
        client.ask("/pid")
    first = clients[0].response().body
    server.wait_for("new connections wait in the kernel")
    server.send(signal.SIGHUP)
    server.wait_for("reload complete")
    server.wait_for("exited")
    assert clients[0].get("/pid").body != first
    assert full(server, clients)


def full(server: Server, clients: list[Client]) -> bool:
    """Whether some of the clients still wait to be accepted."""
    return len(answered(clients)) < len(clients) and server.process.poll() is None
