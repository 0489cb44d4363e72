"""Bodies larger than the kernel's buffers, both ways: what waits, in which thread, and what is closed at the end."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, NEXT, chunked, head, post
from tests.http.served import Answer, Client, Clock, Served
from tests.worker.apps import Body, Start, app
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import W_BUSY, W_REQUESTS, SlotState

pytestmark = pytest.mark.usefixtures("mode")

LARGE = b"x" * (8 << 20)

Serve = Callable[..., tuple[Served, Client]]


def echo(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def descriptors() -> set[str]:
    """What this process has open."""
    return {number for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")}


def upload(served: Served, client: Client, data: bytes) -> None:
    """Send more than the kernel holds."""
    left = memoryview(data)
    while left:
        with contextlib.suppress(BlockingIOError):
            left = left[client.sock.send(left) :]
        served.run()


def gather(served: Served, client: Client) -> Answer:
    """The one answer, which is more than the kernel holds."""
    while served.slot().state is not SlotState.IDLE:
        client.read()
        served.run()
    (answer,) = client.answers()
    return answer


class TestSlowClients:
    def test_answer_is_made(self, serve: Serve) -> None:
        """It waits in memory, the application is done, and the connection continues when the client has read it all."""
        body = Body(LARGE)
        served, client = serve(app(body, [("Content-Length", str(len(LARGE)))]))
        served.send(client, head() + NEXT)
        assert (body.closed, served.count(W_BUSY), served.count(W_REQUESTS)) == (1, 0, 1)

        while len(client.read()) < 2 * len(LARGE):
            served.run()
        assert [answer.body for answer in client.answers()] == [LARGE, LARGE]
        assert not client.closed

    def test_answer_is_being_made(self, serve: Serve) -> None:
        """The application's thread waits for the client at each piece that finds no room."""
        pieces = [b"x" * (1 << 18)] * 16
        served, client = serve(app(Body(*pieces)))
        waits: list[bytes] = []
        served.turns.aside = lambda: waits.append(client.read())
        served.send(client, head())

        assert waits
        assert [answer.body for answer in client.answers()] == [b"".join(pieces)]
        assert served.slot().state is SlotState.IDLE

    def test_client_never_reads(self, serve: Serve) -> None:
        """The application is stopped after the write time-out, and its iterable is closed."""
        body = Body(*[b"x" * (1 << 18)] * 16)
        served, client = serve(app(body), replace(DEFAULTS, write_timeout=0.05))
        served.send(client, head())

        assert body.asked < 16
        assert body.closed == 1
        client.read()
        assert client.closed

    def test_client_leaves(self, serve: Serve) -> None:
        """The application is stopped at the next piece, and its iterable is closed."""
        clients: list[Client] = []

        class Leaves(Body):
            def __iter__(self) -> Iterator[Any]:
                for chunk in super().__iter__():
                    if self.asked == 3:
                        clients[0].sock.close()
                    yield chunk

        body = Leaves(*[b"x"] * 10)
        served, client = serve(app(body))
        clients.append(client)
        served.send(client, head())

        assert (body.asked, body.closed) == (3, 1)
        assert served.reports == [(Kind.CLOSED, 0, 1)]


class TestBodies:
    @pytest.mark.parametrize(
        "request_",
        [
            post(b"Content-Length: 1000", body=b"x" * 1000),
            chunked(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n"),
        ],
    )
    def test_body_is_taken_in_several_turns(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, request_: bytes
    ) -> None:
        """Data that is already there is read again, though no event announces it."""
        monkeypatch.setattr("twistcorn.worker.loop.intake._PIECE_BYTES", 20)
        monkeypatch.setattr("twistcorn.worker.loop.intake.PEEK_BYTES", 100)
        served, client = serve(echo)
        served.send(client, request_ + NEXT)

        assert [answer.body for answer in client.answers()] == [b"x" * 1000, b""]

    @pytest.mark.parametrize("reads", [True, False])
    def test_body_in_a_file(self, serve: Serve, reads: bool) -> None:
        """The application reads all of it, or not, and the file is closed with the answer."""
        served, client = serve(echo if reads else None)
        before = descriptors()
        upload(served, client, post(b"Content-Length: %d" % len(LARGE), body=LARGE))
        answer = gather(served, client)

        assert answer.body == (LARGE if reads else b"hello")
        assert descriptors() - before == set()

    @pytest.mark.parametrize("end", ["left", "late", "bad"])
    def test_body_in_a_file_is_not_whole(self, serve: Serve, clock: Clock, end: str) -> None:
        """The file is closed, however the request comes to nothing."""
        served, client = serve()
        before = descriptors()
        upload(served, client, chunked(b"%x\r\n" % len(LARGE) + LARGE))
        assert len(descriptors() - before) == 1
        if end == "late":
            clock.pass_by(served, 31)
        elif end == "bad":
            served.send(client, b"bad")
        else:
            client.sock.shutdown(socket.SHUT_WR)
            served.run()

        assert [answer.status for answer in client.answers()] == {"late": [408], "bad": [400], "left": []}[
            end
        ]
        assert descriptors() - before == set()
