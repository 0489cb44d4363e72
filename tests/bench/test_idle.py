"""Idle connections: opened, counted, given up where there is no room."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bench.command import BenchError
from bench.idle import ENOUGH, idle, is_open, raise_limit
from bench.workloads import CASES, Persistence, Workload

HELLO = Workload(CASES[0], Persistence.KEEP_ALIVE)


class Narrow:
    """A server that answers on its first connections and closes the others."""

    def __init__(self, room: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.room = room
        self.held: list[socket.socket] = []
        self.refused = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        """Until the listener is shut."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.recv(4096)
            if len(self.held) == self.room:
                self.refused += 1
                sock.close()
                continue
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + HELLO.case.body)
            self.held.append(sock)

    def end(self) -> None:
        """Shut everything."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for sock in [self.listener, *self.held]:
            sock.close()


@pytest.fixture
def server() -> Iterator[Narrow]:
    """With room for three."""
    narrow = Narrow(3)
    yield narrow
    narrow.end()


def test_as_many_as_asked_for(server: Narrow) -> None:
    """They are open, and closed behind the block."""
    with idle(server.port, HELLO, 2) as held:
        assert [is_open(sock) for sock in held] == [True, True]
    assert [sock.fileno() for sock in held] == [-1, -1]


def test_no_more_than_there_is_room_for(server: Narrow) -> None:
    """After enough refusals no more are tried; one that is closed later is no longer held."""
    with idle(server.port, HELLO, 100) as held:
        assert len(held) == 3
        assert server.refused == ENOUGH
        server.held[0].shutdown(socket.SHUT_RDWR)
        assert [is_open(sock) for sock in held] == [False, True, True]


def test_limit_that_is_too_low_is_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than connections that fail one by one."""
    monkeypatch.setattr("resource.getrlimit", lambda which: (100, 1000))
    with pytest.raises(BenchError, match="10000 connections need a limit of 10500 open files, it is 1000"):
        raise_limit(10_000)
