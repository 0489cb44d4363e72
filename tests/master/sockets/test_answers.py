"""The claims of twistcorn.master.sockets.answers: what a client reads of the master's own answers, and how it ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.http.cases import DEFAULTS
from tests.http.served import answers
from tests.master.stage import Desk, tcp
from twistcorn.master.sockets import answers as module
from twistcorn.master.sockets.table import ConnectionRecord
from twistcorn.wire.closing import LINGER_BYTES, LINGER_SECONDS, MIN_REFUSED_BYTES

Make = Callable[[], tuple[socket.socket, socket.socket]]


def read(client: socket.socket) -> bytes:
    """Everything up to the end."""
    client.settimeout(5)
    data = b""
    while piece := client.recv(1000):
        data += piece
    return data


def send(desk: Desk, number: int, most: int) -> int:
    """A client sends for as long as it is let; returns how many bytes that was."""
    sent = 0
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while sent < most:
            sent += desk.client(number).send(bytes(1 << 16))
            desk.clock.turn()
    return sent


def asked(desk: Desk, request: bytes = b"GET / HTTP/1.1\r\n\r\n", make: Make = tcp) -> ConnectionRecord:
    """A connection on which a request waits, and which no worker has."""
    (connection,) = desk.file(1, make)
    desk.client(0).sendall(request)
    return connection


class TestAnswer:
    @pytest.mark.parametrize("make", [tcp, socket.socketpair], ids=["tcp", "unix"])
    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_client_reads(self, desk: Desk, status: int, make: Make) -> None:
        """The status, a line about it, and that the connection ends: at once, with its request unread."""
        desk.dispatcher.answers.answer(asked(desk, make=make), status)
        (answer,) = answers(read(desk.client(0)))

        assert (answer.status, answer.body[:3]) == (status, str(status).encode())
        assert answer["Connection"] == ["close"]
        assert answer["Retry-After"] == (["1"] if status == 503 else [])

    @pytest.mark.parametrize("told", ["", "HEAD"])
    def test_head(self, desk: Desk, told: str) -> None:
        """The answer to HEAD has no body, whether a worker told the method or it waits in the kernel."""
        waits = b"" if told else b"\r\nHEAD / HTTP/1.1\r\n\r\n"
        desk.dispatcher.answers.answer(asked(desk, waits), 502, told)

        assert read(desk.client(0)).endswith(b"Content-Length: 16\r\nConnection: close\r\n\r\n")

    def test_client_is_gone(self, desk: Desk) -> None:
        """Nobody is waited for."""
        connection = asked(desk, make=socket.socketpair)
        desk.client(0).close()
        desk.dispatcher.answers.answer(connection, 502)
        desk.clock.turn()

        assert len(desk.table) == desk.dispatcher.answers.ending == 0

    def test_statuses_are_counted(self, desk: Desk) -> None:
        """For the metrics."""
        for status in (502, 502, 503):
            desk.dispatcher.answers.answer(desk.file(1)[0], status)

        assert desk.dispatcher.answers.sent == {502: 2, 503: 1}


class TestEnd:
    def test_client_closes(self, desk: Desk) -> None:
        """Its slot is free, and the listener is told."""
        desk.dispatcher.answers.answer(asked(desk), 502)
        assert len(desk.table) == 1
        rooms = desk.rooms
        read(desk.client(0))
        desk.client(0).close()
        desk.clock.turn()

        assert len(desk.table) == 0
        assert desk.rooms == rooms + 1
        assert desk.clock.getDelayedCalls() == []

    def test_client_still_sends(self, desk: Desk) -> None:
        """What was on its way is taken, so that no reset takes the answer away."""
        desk.dispatcher.answers.answer(asked(desk), 502)
        for _ in range(10):
            desk.client(0).sendall(b"more")
            desk.clock.turn()

        assert read(desk.client(0)).startswith(b"HTTP/1.1 502 ")

    def test_client_does_not_close(self, desk: Desk) -> None:
        """It has a while, and no longer."""
        desk.dispatcher.answers.answer(asked(desk), 502)
        desk.clock.advance(LINGER_SECONDS - 0.1)
        assert len(desk.table) == 1

        desk.clock.advance(0.1)
        assert len(desk.table) == 0

    def test_client_sends_without_end(self, desk: Desk) -> None:
        """So many bytes are taken, and no more: of an upload as many as a body may have."""
        desk.dispatcher.configure(replace(DEFAULTS, limit_request_body=80 << 20))
        desk.dispatcher.answers.answer(asked(desk), 502)

        assert 80 << 20 <= send(desk, 0, 100 << 20) < 90 << 20
        assert len(desk.table) == 0

    def test_small_bodies_are_allowed(self, desk: Desk) -> None:
        """Who sends much more is answered all the same."""
        desk.dispatcher.configure(replace(DEFAULTS, limit_request_body=100))
        desk.dispatcher.answers.answer(asked(desk), 503)

        assert MIN_REFUSED_BYTES <= send(desk, 0, 2 * MIN_REFUSED_BYTES) < MIN_REFUSED_BYTES + (10 << 20)

    def test_connection_is_ended_without_an_answer(self, desk: Desk) -> None:
        """What was on its way is taken."""
        desk.dispatcher.answers.end(asked(desk))

        assert LINGER_BYTES <= send(desk, 0, 10 * LINGER_BYTES) < 3 * LINGER_BYTES
        assert len(desk.table) == 0

    def test_slow_upload(self, desk: Desk) -> None:
        """It is waited for as long as something comes, up to the time for a body."""
        desk.dispatcher.configure(replace(DEFAULTS, body_timeout=30.0))
        desk.dispatcher.answers.answer(asked(desk, make=socket.socketpair), 502)
        for _ in range(29):
            desk.client(0).sendall(b"more")
            desk.clock.turn()
            desk.clock.advance(1)
        assert len(desk.table) == 1
        for _ in range(3):
            desk.clock.turn()
            desk.clock.advance(1)
        assert len(desk.table) == 0
        assert desk.clock.getDelayedCalls() == []

    def test_upload_that_stops(self, desk: Desk) -> None:
        """It is not waited for."""
        desk.dispatcher.answers.answer(asked(desk, make=socket.socketpair), 502)
        desk.client(0).sendall(b"more")
        desk.clock.turn()
        desk.clock.advance(LINGER_SECONDS)
        assert len(desk.table) == 1
        desk.clock.advance(LINGER_SECONDS)
        assert len(desk.table) == 0

    def test_many_uploads(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many are waited for at one time; the others have what was on its way. Who is done makes room."""
        monkeypatch.setattr(module, "MAX_PATIENT_CONNECTIONS", 1)
        first, second, third = desk.file(3)
        for each in (first, second):
            desk.dispatcher.answers.answer(each, 502)
        assert send(desk, 0, 3 * LINGER_BYTES) == 3 * LINGER_BYTES
        assert send(desk, 1, 10 * LINGER_BYTES) < 3 * LINGER_BYTES
        assert list(desk.table) == [first, third]
        desk.client(0).close()
        desk.clock.turn()
        desk.dispatcher.answers.answer(third, 502)
        assert send(desk, 2, 3 * LINGER_BYTES) == 3 * LINGER_BYTES

    def test_server_ends(self, desk: Desk) -> None:
        """Nobody is waited for."""
        desk.dispatcher.answers.answer(asked(desk), 502)
        desk.dispatcher.close_all()

        assert len(desk.table) == 0
        assert desk.clock.getDelayedCalls() == []
        assert not desk.clock.readers
