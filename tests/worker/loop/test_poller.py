"""Deadlines, ends and orders: what happens to connections while nothing arrives, or too much."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.http.cases import DEFAULTS, chunked, head, post
from tests.http.served import Client, Clock, Served
from tests.worker.apps import Body, Start, app
from twistcorn.wire.channel import Kind, Lend
from twistcorn.wire.closing import LINGER_BYTES, LINGER_SECONDS, MIN_REFUSED_BYTES
from twistcorn.wire.scoreboard import W_BUSY, W_CONNECTIONS, W_ERRORS, W_REQUESTS
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.sweeping import LAST_REQUEST_SECONDS

pytestmark = pytest.mark.usefixtures("mode")

LARGE = b"x" * (8 << 20)
PART = b"GET / HTTP/1.1\r\n"

Serve = Callable[..., tuple[Served, Client]]


def statuses(client: Client) -> list[int]:
    return [answer.status for answer in client.answers()]


class TestDeadlines:
    def test_nothing_comes(self, serve: Serve, clock: Clock) -> None:
        """A new connection has the time of a head, and is then closed without an answer."""
        served, client = serve()
        clock.pass_by(served, 9.9)
        assert (client.read(), client.closed) == (b"", False)

        clock.pass_by(served, 0.6)
        assert (client.read(), client.closed) == (b"", True)
        assert served.reports == [(Kind.CLOSED, 0, 1)]

    def test_head_comes_byte_by_byte(self, serve: Serve, clock: Clock) -> None:
        """Its time is counted from the first byte, whatever comes after: 408, then the end."""
        served, client = serve()
        clock.pass_by(served, 5)
        for byte in PART[:10]:
            served.send(client, bytes([byte]))
            clock.pass_by(served, 0.99)
        assert statuses(client) == []

        clock.pass_by(served, 0.6)
        assert statuses(client) == [408]
        assert client.closed
        assert served.count(W_ERRORS) == 1

    def test_head_of_the_second_request_is_late(self, serve: Serve, clock: Clock) -> None:
        """Its time begins with its own first byte."""
        served, client = serve()
        served.send(client, head())
        clock.pass_by(served, 70)
        served.send(client, PART)
        clock.pass_by(served, 9.5)
        assert statuses(client) == [200]

        clock.pass_by(served, 1)
        assert statuses(client) == [200, 408]

    def test_first_head_came_in_pieces(self, serve: Serve, clock: Clock) -> None:
        """Its time has nothing to do with the next one's, nor with the wait for that."""
        served, client = serve()
        served.send(client, PART)
        served.send(client, head()[len(PART) :])
        clock.pass_by(served, 74.5)
        served.send(client, PART)
        clock.pass_by(served, 9.5)
        served.send(client, head()[len(PART) :])
        assert statuses(client) == [200, 200]

        clock.pass_by(served, 75.5)
        assert (statuses(client), client.closed) == ([200, 200], True)

    @pytest.mark.parametrize("request_", [post(b"Content-Length: 9", body=b"a"), chunked(b"9\r\na")])
    def test_body_stops(self, serve: Serve, clock: Clock, request_: bytes) -> None:
        """Each byte of a body gives it its whole time again; without one it is 408."""
        served, client = serve()
        served.send(client, request_)
        for _ in range(4):
            clock.pass_by(served, 29.5)
            served.send(client, b"a")
        clock.pass_by(served, 29.5)
        assert statuses(client) == []

        clock.pass_by(served, 1)
        assert statuses(client) == [408]
        assert client.closed

    def test_connection_is_idle(self, serve: Serve, clock: Clock) -> None:
        """Between requests it has the time of --keep-alive, and is then closed without an answer."""
        served, client = serve()
        served.send(client, head())
        clock.pass_by(served, 74.5)
        served.send(client, head())
        clock.pass_by(served, 74.5)
        assert (statuses(client), client.closed) == ([200, 200], False)

        clock.pass_by(served, 1)
        assert (statuses(client), client.closed) == ([200, 200], True)

    def test_client_does_not_read(self, serve: Serve, clock: Clock) -> None:
        """Each byte that it takes gives an answer its whole time again; without one the connection ends."""
        served, client = serve(app([LARGE]))
        served.send(client, head())
        for _ in range(4):
            clock.pass_by(served, 59.5)
            client.received += client.sock.recv(1 << 18)
            served.run()
        clock.pass_by(served, 59.5)
        assert served.reports == []

        clock.pass_by(served, 1)
        assert served.reports == [(Kind.CLOSED, 0, 1)]
        assert len(client.read()) < len(LARGE)

    def test_connection_had_a_holder_before(self, serve: Serve, clock: Clock) -> None:
        """A lend does not give a client more time."""
        served, _ = serve()
        client, server = socket.socketpair()
        with client, socket.socket(fileno=server.detach()) as masters:
            masters.setblocking(False)
            served.lend(masters.dup(), 1)
            clock.pass_by(served, 6)
            served.poller.custody.drain()
            served.poller.holdings.draining = False
            served.reports.clear()
            served.lend(masters.dup(), 1)
            clock.pass_by(served, 3.9)
            assert served.reports == []

            clock.pass_by(served, 0.6)
            assert served.reports == [(Kind.CLOSED, 1, 3)]

    def test_closing_client_stays(self, serve: Serve, clock: Clock) -> None:
        """Time to read the last answer is given, and no more."""
        served, client = serve(app([b"hello"], [("Connection", "close")]))
        served.send(client, head())
        assert client.read()
        assert served.reports == []

        clock.pass_by(served, LINGER_SECONDS + 0.5)
        assert served.reports == [(Kind.CLOSED, 0, 1)]

    @pytest.mark.parametrize(("request_", "bound"), [(head(), LINGER_BYTES), (head(b"X : a"), MIN_REFUSED_BYTES)])
    def test_closing_client_sends_on(self, serve: Serve, request_: bytes, bound: int) -> None:
        """What it sends is dropped, up to a bound; the bound is larger if the request was refused while incomplete."""
        closes = app([b"hello"], [("Connection", "close")])
        served, client = serve(closes, replace(DEFAULTS, limit_request_body=10))
        served.send(client, request_)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 2 * bound:
                sent += client.sock.send(b"x" * 65536)
                served.run()

        assert bound <= sent < bound + (2 << 20)
        assert served.reports == [(Kind.CLOSED, 0, 1)]


class TestStop:
    def test_connection_is_idle(self, serve: Serve, clock: Clock) -> None:
        """It may bring one more request for a short time; the answer to that says close."""
        served, client = serve()
        served.send(client, head())
        served.poller.stop()
        assert not client.closed
        served.send(client, head())

        assert [answer["Connection"] for answer in client.answers()] == [[], ["close"]]
        assert client.closed

    def test_connection_stays_idle(self, serve: Serve, clock: Clock) -> None:
        """Then it ends, and the worker says that it is empty."""
        served, client = serve()
        served.send(client, head())
        served.poller.stop()
        assert served.emptied == 0
        clock.pass_by(served, LAST_REQUEST_SECONDS + 0.5)

        client.read()
        assert client.closed
        assert served.emptied == 1

    def test_worker_drained(self, serve: Serve, clock: Clock) -> None:
        """The master takes back no connection: after its turn each may bring one more request, then it closes."""
        served, client = serve()
        served.send(client, head())
        served.poller.holdings.draining = True
        served.poller.stop()
        served.send(client, head())

        assert [answer["Connection"] for answer in client.answers()] == [[], ["close"]]
        assert client.closed
        assert served.reports == []

    def test_nothing_is_open(self, serve: Serve) -> None:
        """A worker without connections is empty at once."""
        served, client = serve()
        client.sock.close()
        served.run()
        served.poller.stop()

        assert served.emptied == 1


class TestLends:
    def test_client_was_faster(self, serve: Serve) -> None:
        """A connection that was reset on its way is reported closed."""
        served, _ = serve()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        served.poller.custody.adopt(server.detach(), Lend(2, 9, 0))

        assert served.reports == [(Kind.CLOSED, 2, 9)]
        assert served.count(W_CONNECTIONS) == 1

    def test_worker_drains(self, serve: Serve) -> None:
        """Lends that still arrive go back untouched."""
        served, _ = serve()
        served.poller.custody.drain()
        served.reports.clear()
        ours, server = socket.socketpair()
        with ours:
            served.lend(server, 2)
            assert served.reports == [(Kind.RELEASED, 2, 2)]
            assert served.count(W_CONNECTIONS) == 0

    @pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
    def test_peer(self, family: socket.AddressFamily) -> None:
        """The application sees the client's address and port."""
        host = "127.0.0.1" if family is socket.AF_INET else "::1"
        seen: list[tuple[str, str]] = []

        def sees(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            seen.append((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]))
            start_response("200 OK", [])
            return [b""]

        try:
            listener = socket.create_server((host, 0), family=family)
        except OSError:
            pytest.skip(f"no {host} here")
        with listener:
            client = socket.create_connection(listener.getsockname()[:2])
            server, _ = listener.accept()
        client.settimeout(5)
        served = Served(sees, DEFAULTS, Address(family, host, 8000))
        with client:
            served.lend(server)
            client.sendall(head(b"Connection: close"))
            port = client.getsockname()[1]
            while not seen:
                served.run()
        served.close()

        assert seen == [(host, str(port))]


class TestCounters:
    def test_words_of_the_worker(self, serve: Serve) -> None:
        """Connections, requests, refusals and statuses are counted."""
        served, client = serve(app(Body(b"a")))
        served.connect(1)
        assert served.count(W_CONNECTIONS) == 2
        served.send(client, head() + head())
        served.send(client, head(b"X : a"))
        client.sock.close()
        served.run()

        assert served.count(W_CONNECTIONS) == 1
        assert (served.count(W_REQUESTS), served.count(W_ERRORS), served.count(W_BUSY)) == (2, 1, 0)
        assert served.totals.statuses == (0, 2, 0, 0, 0)


class TestThreads:
    def test_thread_lingers_at_the_end_of_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The leader may have the next request, and its answer under way, by then: nothing of that is undone."""
        monkeypatch.setattr("tests.http.served.MODE", "pool")
        served = Served(app([b"x" * (4 << 20)]))
        client = served.connect()
        ends = served.poller._end_turn
        late = [head()]

        def preempted(connection: Connection) -> bool:
            wants = ends(connection)
            if late and connection.stream.unsent is None:
                # Not before now: the client asks again, and the leader answers, while this thread stands still.
                served.send(client, late.pop())
            return wants

        monkeypatch.setattr(served.poller, "_end_turn", preempted)
        served.send(client, post(b"Content-Length: 5", body=b"hello"))
        while len(client.read()) < 8 << 20:
            before = len(client.received)
            served.run()
            assert len(client.read()) > before, "it stands still"
        served.close()
        assert not late


class TestErrors:
    def test_error_of_ours(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends the connection in which it happens, is logged, and no other connection notices."""
        served, client = serve()
        other = served.connect(1)
        broken = served.connections()[0]
        handle = served.poller.handle

        def fail(connection: Any, mask: int) -> None:
            if connection is broken:
                raise LookupError("ours")
            handle(connection, mask)

        monkeypatch.setattr(served.poller, "handle", fail)
        with capturedLogs() as events:
            served.send(client, head())
        served.send(other, head())

        with pytest.raises(ConnectionResetError):
            # Its request was not read.
            client.read()
        assert served.reports == [(Kind.CLOSED, 0, 1)]
        assert [event["log_format"] for event in events] == ["internal error in a connection; closing it"]
        assert other.answers()[0].status == 200
