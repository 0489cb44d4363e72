"""A worker but for its process: poller, service, replies and scoreboard are real, the reactor is moved by hand.

Law: the application runs at once, on the thread of the test; time stands still unless a test moves it. Connections
are UNIX stream pairs, on which what was sent is there.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from twistcorn.master.workers.totals import Tally, Totals
from twistcorn.settings import Settings
from twistcorn.wire.channel import Kind, Lend
from twistcorn.wire.scoreboard import (
    W_LED_REQUESTS,
    W_REQUESTS,
    Scoreboard,
    Slot,
)
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.local_queue import LocalQueue
from twistcorn.worker.loop.poller import Poller
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.loop.sweeping import SWEEP_SECONDS
from twistcorn.worker.turns.roles import Server
from twistcorn.worker.turns.routes import Route
from twistcorn.worker.turns.turns import Turns
from twistcorn.worker.wsgi.app_server import AppServer
from twistcorn.worker.wsgi.call import Application

from .cases import DEFAULTS

UNIX = Address(socket.AF_UNIX, "/run/test.sock", 0)
#: Where the application runs: `inline` or `pool`; a fixture changes it.
MODE = "inline"
#: What the clock says when a test begins.
START = 1000.0


class AtOnce(Turns):
    """Turns that run as soon as there is a request, on the thread of the test.

    :ivar aside: called in place of waiting when the application's thread waits for its client.
    """

    def __init__(self, reactor: Any, board: Scoreboard, region: int, server: Server) -> None:
        super().__init__(reactor, 2, MODE, board, region, server)
        self.aside: Callable[[], object] = lambda: None
        self.leader = Seat(self, leads=True)
        self._other = Seat(self)
        # As many as there are to be: none is ever started.
        self.threads.active, self.threads.alive = 1, 3

    def take(self, connection: Connection, seat: Seat) -> None:
        if self._mode == "pool":
            self._running += 1
            self.counts.set_busy(self._running)
            self._run_pooled(connection, self._other)
        else:
            self.run_inline(connection, seat, Route())

    def stand_aside(self, seat: Seat) -> None:
        self.aside()

    def come_back(self, seat: Seat) -> None:
        """The test did what there was to wait for."""

    def close(self) -> None:
        """Leave nothing open."""
        self.leader.close()
        self._other.close()


@dataclass(frozen=True)
class Answer:
    """One response as the client read it."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each.lower() == name.lower()]


class Client:
    """The other end of a connection.

    :ivar received: all bytes that came; `closed`: and their end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.closed = False

    def read(self) -> bytes:
        """Everything that has come so far."""
        with contextlib.suppress(BlockingIOError):
            while not self.closed:
                data = self.sock.recv(1 << 20)
                self.received += data
                self.closed = not data
        return self.received

    def answers(self, *methods: str) -> list[Answer]:
        """The responses that have come, to requests of these methods; GET where they are not told."""
        return list(answers(self.read(), methods))


def answers(data: bytes, methods: Iterable[str] = ()) -> Iterator[Answer]:
    """The responses in a stream; what does not end is an error."""
    told = iter(methods)
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) .*", lines[0])
        assert found is not None, lines[0]
        fields = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines[1:]))
        answer = Answer(int(found[1]), fields, b"")
        body = b""
        if (answer.status != 100 and next(told, "GET") == "HEAD") or answer.status in (100, 204, 304):
            pass
        elif "chunked" in answer["Transfer-Encoding"]:
            body, data = unchunked(data)
        else:
            size = int((answer["Content-Length"] or ["0"])[0])
            body, data = data[:size], data[size:]
            assert len(body) == size
        yield Answer(answer.status, fields, body)


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body, and what is behind it."""
    body = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        piece, end, data = data[:size], data[size : size + 2], data[size + 2 :]
        assert (len(piece), end) == (size, b"\r\n")
        if not size:
            return body, data
        body += piece


class Reactor(MemoryReactorClock):
    """A reactor that does nothing by itself."""

    def getThreadPool(self) -> Any:
        """None: nothing here runs in the reactor's threads."""

    def wakeUp(self) -> None:
        """It does not sleep."""


class Served:
    """One worker and its connections.

    :ivar reports: what it told the master.
    :ivar emptied: how often it said that it has no connection left; `credits`: that a thread is free.
    """

    def __init__(
        self,
        app: Application,
        settings: Settings = DEFAULTS,
        address: Address = UNIX,
        board: Scoreboard | None = None,
        turns: type[AtOnce] = AtOnce,
    ) -> None:
        self.board = Scoreboard.create(1, 4) if board is None else board
        self.region = self.board.worker_base(0)
        self.reactor = Reactor()
        self.reports: list[tuple[Kind, int, int]] = []
        self.emptied = self.credits = 0
        service = AppServer(self.reactor, app, settings, [address], 0, self.board)
        self.turns = turns(self.reactor, self.board, self.region, service)
        self.poller = Poller(
            self.reactor,
            self.board,
            self.region,
            settings,
            [address],
            self.turns,
            self._report,
            self._empty,
        )
        self.waiting = LocalQueue(
            self.reactor, self.board, self.region, settings, self.poller.custody.give_back,
            lambda: self.poller.holdings.draining,
            withdraw=self.turns.withdraw, abandon=self.poller.abandon,
        )  # fmt: skip
        service.attach(self.poller, self.waiting, self.turns.answered, self._credit, self.turns.counts.count_queued)
        self.poller.start()
        self._open: list[socket.socket] = []
        self._lends = 0

    def _report(self, kind: Kind, slot: int, sequence: int) -> None:
        self.reports.append((kind, slot, sequence))

    def _credit(self) -> None:
        self.credits += 1

    def _empty(self) -> None:
        self.emptied += 1

    def connect(self, slot: int = 0, flags: int = 0) -> Client:
        """A client connects; the master lends the connection."""
        client, server = socket.socketpair()
        client.setblocking(False)
        self._open.append(client)
        self.lend(server, slot, flags=flags)
        return Client(client)

    def lend(self, server: socket.socket, slot: int = 0, sequence: int = 0, flags: int = 0) -> None:
        """The worker gets a connection; without a sequence, it is counted here."""
        server.setblocking(False)
        self._lends = sequence or self._lends + 1
        self.poller.custody.adopt(server.detach(), Lend(slot, self._lends, 0, flags))

    def run(self) -> None:
        """Handle events until there are none."""
        for _ in range(10_000):
            rounds, events = self.poller.rounds, select.select([self.poller.holdings.epoll], [], [], 0)[0]
            if not (events or rounds.ready or rounds.returned):
                return
            self.poller.rounds.poll(0, self.turns.leader)
        raise AssertionError("the poller spins")

    def send(self, client: Client, data: bytes) -> None:
        """The client sends, and the worker does what there is to do."""
        client.sock.sendall(data)
        self.run()

    def connections(self) -> list[Connection]:
        """What the worker holds."""
        return list(self.poller.holdings.connections.values())

    def slot(self, number: int = 0) -> Slot:
        return self.board.read_slot(number)

    def count(self, word: int) -> int:
        """A word of the worker's region; a counter of requests with what the leader counts."""
        words = self.board.words
        led = words[self.region + W_LED_REQUESTS] if word == W_REQUESTS else 0
        return int(words[self.region + word]) + int(led)

    @property
    def totals(self) -> Totals:
        """What it has counted, as the master adds it up."""
        return Tally(self.board, lambda: [0]).totals()

    def close(self) -> None:
        """Leave nothing open."""
        for client in self._open:
            client.close()
        # Whatever holds a connection longer than its client gives it up by and by.
        self.poller.stop()
        self.run()
        for connection in self.connections():
            connection.stream.sock.close()
        self.poller.holdings.epoll.close()
        self.turns.close()
        self.board.close()


class Clock:
    """The poller's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        clock = types.SimpleNamespace(monotonic=lambda: self.now, monotonic_ns=time.monotonic_ns)
        for module in ("poller", "sweeping", "arrivals", "rounds", "intake"):
            monkeypatch.setattr(f"twistcorn.worker.loop.{module}.time", clock)

    def pass_by(self, served: Served, seconds: float) -> None:
        """Time passes, and the poller looks at its deadlines at the end of it."""
        self.now += seconds
        served.reactor.advance(SWEEP_SECONDS)
        served.run()
