"""One client, driven by hand against a socket of the test: what it counts, and what it does next."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Iterator

import pytest

from bench.disrupt.client import Client, Orders, State
from bench.disrupt.tally import Tally


class Place:
    """What the client asks of a crowd, written down."""

    def __init__(self) -> None:
        self.tally = Tally("test", 0.0)
        self.random = random.Random(0)
        self.woken: list[float] = []
        self.to_write = False

    def watch(self, client: Client, sock: socket.socket, to_write: bool) -> None:
        self.to_write = to_write

    def wake(self, client: Client, when: float) -> None:
        self.woken.append(when)


class Scene:
    """A client, and the server's end of its connection."""

    def __init__(self, listener: socket.socket, method: str = "GET") -> None:
        self.listener = listener
        self.place = Place()
        orders = Orders(listener.getsockname()[1], 1, (method,), pace=0.5, patience=5.0, name="t")
        self.client = Client(0, orders, self.place)
        self.peer: socket.socket | None = None

    def ask(self, now: float) -> bytes:
        """It is time for a request; what the server reads of it."""
        self.client.when = now
        self.client.due(now)
        if self.client.state is State.CONNECTING:
            self.ready(now)
        if self.peer is None:
            self.peer = self.listener.accept()[0]
        return self.peer.recv(65536)

    def ready(self, now: float) -> None:
        """Wait until the client's socket is ready, and tell the client."""
        assert self.client.sock is not None
        ours = [self.client.sock]
        assert any(
            select.select([] if self.place.to_write else ours, ours if self.place.to_write else [], [], 5)
        )
        self.client.happened(now)

    def send(self, text: bytes, now: float) -> None:
        """The server sends something, and the client reads it."""
        assert self.peer is not None
        self.peer.sendall(text)
        self.ready(now)

    def hang_up(self, now: float) -> None:
        """The server closes, and the client sees it."""
        assert self.peer is not None
        self.peer.close()
        self.peer = None
        self.ready(now)

    def close(self) -> None:
        """Both ends go."""
        self.client.cut()
        if self.peer is not None:
            self.peer.close()


def answer(body: str, status: str = "200 OK", close: bool = False) -> bytes:
    """The bytes of one answer."""
    said = "Connection: close\r\n" if close else ""
    return f"HTTP/1.1 {status}\r\n{said}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where the clients connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


@pytest.fixture
def scene(listener: socket.socket) -> Iterator[Scene]:
    """A client that has not begun."""
    made = Scene(listener)
    yield made
    made.close()


def test_right_answer(scene: Scene) -> None:
    """It counts from when the request was due; the connection is kept for the next, at the client's pace."""
    assert scene.ask(1.0) == b"GET /work?id=t-0-1&ms=10 HTTP/1.1\r\nHost: bench\r\n\r\n"
    scene.send(answer("t-0-1 77 2\n"), 1.25)
    tally = scene.place.tally
    assert (tally.latencies, dict(tally.by_worker), dict(tally.by_version)) == ([0.25], {"77": 1}, {"2": 1})
    assert scene.client.state is State.IDLE
    assert 1.25 <= scene.place.woken[0] <= 1.75
    assert b"id=t-0-2" in scene.ask(2.0)


def test_answer_in_pieces(scene: Scene) -> None:
    """A piece is not yet an answer."""
    scene.ask(0.0)
    whole = answer("t-0-1 77 2\n")
    scene.send(whole[:9], 0.1)
    assert scene.client.state is State.ASKING
    scene.send(whole[9:], 0.2)
    assert scene.place.tally.latencies == [0.2]


def test_post_has_a_body(listener: socket.socket) -> None:
    """The identity is in the address, so that the application can note it."""
    scene = Scene(listener, "POST")
    asked = scene.ask(0.0)
    assert asked.startswith(b"POST /work?id=t-0-1&")
    assert asked.endswith(b"Content-Length: 4\r\n\r\nbody")
    scene.close()


def test_announced_close_is_planned(scene: Scene) -> None:
    """Nothing failed, nothing was dropped; the next request has a connection of its own."""
    scene.ask(0.0)
    scene.send(answer("t-0-1 77 2\n", close=True), 0.1)
    tally = scene.place.tally
    assert (tally.planned, tally.cut, tally.cut_idle, sum(tally.failures.values())) == (1, 0, 0, 0)
    assert scene.client.state is State.AWAY
    assert scene.peer is not None
    scene.peer.close()
    scene.peer = None
    assert b"id=t-0-2" in scene.ask(1.0)


def test_close_instead_of_an_answer(scene: Scene) -> None:
    """The request failed and the connection was dropped; the request is not tried again."""
    scene.ask(0.0)
    scene.hang_up(0.1)
    assert (dict(scene.place.tally.failures), scene.place.tally.cut) == ({"no answer": 1}, 1)
    assert b"id=t-0-2" in scene.ask(1.0)


def test_close_in_the_middle_of_an_answer(scene: Scene) -> None:
    """That is a broken answer."""
    scene.ask(0.0)
    scene.send(answer("t-0-1 77 2\n")[:-1], 0.1)
    scene.hang_up(0.2)
    assert (dict(scene.place.tally.failures), scene.place.tally.cut) == ({"broken answer": 1}, 1)


@pytest.mark.parametrize("seen", ["at once", "before the next request"])
def test_close_of_an_idle_connection(scene: Scene, seen: str) -> None:
    """The connection was dropped, but no request failed: it is asked on a new one."""
    scene.ask(0.0)
    scene.send(answer("t-0-1 77 2\n"), 0.1)
    if seen == "at once":
        scene.hang_up(0.2)
    else:
        assert scene.peer is not None
        assert scene.client.sock is not None
        scene.peer.close()
        scene.peer = None
        select.select([scene.client.sock], [], [], 5)
    assert b"id=t-0-2" in scene.ask(1.0)
    tally = scene.place.tally
    assert (tally.cut_idle, tally.cut, sum(tally.failures.values())) == (1, 0, 0)


def test_close_announced_to_an_idle_connection(scene: Scene) -> None:
    """A 408 that says so is a planned close."""
    scene.ask(0.0)
    scene.send(answer("t-0-1 77 2\n"), 0.1)
    scene.send(answer("", "408 Request Timeout", close=True), 0.2)
    assert (scene.place.tally.planned, scene.place.tally.cut_idle) == (1, 0)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (answer("sorry", "502 Bad Gateway"), "status 502"),
        (answer("t-9-9 77 2\n"), "wrong answer"),
        (answer("no"), "wrong answer"),
        (b"garbage\r\n\r\n", "broken answer"),
        (answer("t-0-1 77 2\n") * 2, "broken answer"),
    ],
)
def test_failure_by_its_kind(scene: Scene, text: bytes, kind: str) -> None:
    """A bad status has its number; an answer meant for somebody else is wrong; two are broken."""
    scene.ask(0.0)
    scene.send(text, 0.1)
    assert dict(scene.place.tally.failures) == {kind: 1}
    assert scene.place.tally.latencies == []


def test_nobody_listens(listener: socket.socket) -> None:
    """A refused connection is a failed request, and the next try comes at the client's pace."""
    scene = Scene(listener)
    listener.close()
    scene.client.due(0.0)
    if scene.client.state is State.CONNECTING:
        scene.ready(0.0)
    assert dict(scene.place.tally.failures) == {"refused": 1}
    assert scene.place.woken[0] >= 0.05


def test_no_answer_in_time(scene: Scene) -> None:
    """After its patience the client gives the request up, and its connection with it."""
    scene.ask(0.0)
    scene.client.overdue(5.0)
    assert scene.client.state is State.ASKING
    scene.client.overdue(5.1)
    assert (dict(scene.place.tally.failures), scene.client.state) == ({"too late": 1}, State.AWAY)


def test_leaving(scene: Scene) -> None:
    """Who waits for an answer gets it first."""
    scene.ask(0.0)
    scene.client.leave()
    assert scene.client.state is State.ASKING
    scene.send(answer("t-0-1 77 2\n"), 0.1)
    assert (scene.client.state, len(scene.place.tally.latencies), scene.place.woken) == (State.GONE, 1, [])
