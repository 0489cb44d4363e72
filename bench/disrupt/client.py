"""One well-behaved keep-alive client: it asks at its pace, retries nothing, and leaves when it is told to.

Law: one connection at a time, non-blocking; what happened goes to the tally, never into an exception.
"""

from __future__ import annotations

import enum
import errno
import random
import socket
from dataclasses import dataclass
from typing import Protocol

from bench.disrupt.answers import Answer, Broken, read_answer
from bench.disrupt.tally import Failure, Tally

PIECE = 65536
# A server that is not there is asked again at the client's pace, but by no client more often than this.
LEAST_PAUSE = 0.05


class State(enum.Enum):
    """Where a client stands."""

    AWAY = "no connection"
    CONNECTING = "waits for its connection"
    IDLE = "has a connection and nothing to ask"
    ASKING = "waits for an answer"
    GONE = "asks no more"


@dataclass(frozen=True)
class Orders:
    """What each client of a crowd does.

    :ivar pace: seconds from when a request was due to when the next one is, on average; 0: as soon as it is answered.
    :ivar work: milliseconds that the application takes for each.
    :ivar patience: seconds after which an answer is too late.
    """

    port: int
    clients: int
    methods: tuple[str, ...] = ("GET",)
    pace: float = 0.06
    work: int = 10
    patience: float = 15.0
    name: str = "crowd"


class Place(Protocol):
    """What a client needs of the crowd around it."""

    tally: Tally
    random: random.Random

    def watch(self, client: Client, sock: socket.socket, to_write: bool) -> None:
        """Call `happened` when the socket is ready."""

    def wake(self, client: Client, when: float) -> None:
        """Call `due` then."""


class Client:
    """One client; the crowd calls `due`, `happened` and `overdue`."""

    def __init__(self, number: int, orders: Orders, place: Place) -> None:
        self.number = number
        self.orders = orders
        self.place = place
        self.state = State.AWAY
        self.leaving = False
        self.sock: socket.socket | None = None
        self.count = 0
        #: When the request that is asked now, or the next one, was or is due.
        self.when = 0.0
        self.received = b""

    def due(self, now: float) -> None:
        """It is time for the next request."""
        if self.state is State.IDLE and self._still_open():
            self._ask(now)
        elif self.state in (State.AWAY, State.IDLE):
            self._connect(now)

    def happened(self, now: float) -> None:
        """The socket is ready."""
        if self.state is State.CONNECTING:
            self._connected(now)
        elif self.state is State.ASKING:
            self._read(now)
        elif self.state is State.IDLE:
            self._still_open()

    def overdue(self, now: float) -> None:
        """Give up waiting when the time is over."""
        if self.state in (State.CONNECTING, State.ASKING) and now - self.when > self.orders.patience:
            self._failed(Failure.LATE, now)

    def leave(self) -> None:
        """Ask no more; what is asked is waited for."""
        self.leaving = True
        if self.state in (State.AWAY, State.IDLE):
            self._gone()

    def cut(self) -> None:
        """Go at once, whatever is outstanding."""
        self.leaving = True
        self._gone()

    def _connect(self, now: float) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.state = State.CONNECTING
        code = self.sock.connect_ex(("127.0.0.1", self.orders.port))
        if code == errno.EINPROGRESS:
            self.place.watch(self, self.sock, to_write=True)
        elif code:
            self._failed(Failure.REFUSED, now)
        else:
            self._open(now)

    def _connected(self, now: float) -> None:
        assert self.sock is not None
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._failed(Failure.REFUSED, now)
        else:
            self._open(now)

    def _open(self, now: float) -> None:
        assert self.sock is not None
        self.place.watch(self, self.sock, to_write=False)
        self._ask(now)

    def _still_open(self) -> bool:
        """Look, as a good client does before it uses a connection again, whether the server has closed it."""
        assert self.sock is not None
        try:
            received = self.sock.recv(PIECE)
        except BlockingIOError:
            return True
        except OSError:
            received = b""
        if announces_close(received):
            self.place.tally.planned += 1
        else:
            self.place.tally.cut_idle += 1
        self._close()
        return False

    def _ask(self, now: float) -> None:
        assert self.sock is not None
        self.state, self.received = State.ASKING, b""
        method = self.orders.methods[self.count % len(self.orders.methods)]
        self.count += 1
        try:
            self.sock.send(request(method, self.token, self.orders.work))
        except OSError:
            self._cut_off(now)

    @property
    def token(self) -> str:
        """What names the request, here and in the application's notes."""
        return f"{self.orders.name}-{self.number}-{self.count}"

    def _read(self, now: float) -> None:
        assert self.sock is not None
        try:
            piece = self.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self.received += piece
        try:
            answer = read_answer(self.received, ended=not piece)
        except Broken:
            self._failed(Failure.BROKEN, now)
            return
        if answer is not None:
            self._answered(answer, now)
        elif not piece:
            self._cut_off(now)

    def _answered(self, answer: Answer, now: float) -> None:
        tally, words = self.place.tally, answer.body.decode("latin-1").split()
        if answer.status != 200:
            tally.failures[f"status {answer.status}"] += 1
        elif len(words) != 3 or words[0] != self.token:
            tally.failures[Failure.WRONG.value] += 1
        else:
            tally.answer(now - self.when, words[1], words[2])
        if answer.closes:
            tally.planned += 1
            self._close()
        else:
            self.state = State.IDLE
        self._next(now, 0.0)

    def _cut_off(self, now: float) -> None:
        """The connection ended without an answer, or in the middle of one."""
        self.place.tally.cut += 1
        self._failed(Failure.BROKEN if self.received else Failure.NO_ANSWER, now)

    def _failed(self, failure: Failure, now: float) -> None:
        self.place.tally.failures[failure.value] += 1
        self._close()
        self._next(now, LEAST_PAUSE)

    def _next(self, now: float, least: float) -> None:
        if self.leaving:
            self._gone()
            return
        pause = self.orders.pace * self.place.random.uniform(0.5, 1.5)
        self.when = max(self.when + pause, now + least)
        self.place.wake(self, self.when)

    def _close(self) -> None:
        self.state = State.AWAY
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _gone(self) -> None:
        self._close()
        self.state = State.GONE


def announces_close(received: bytes) -> bool:
    """Whether what came unasked, as a 408 does, says that the connection closes."""
    try:
        answer = read_answer(received, ended=True)
    except Broken:
        return False
    return answer is not None and answer.closes


def request(method: str, token: str, work: int) -> bytes:
    """The bytes of one request."""
    body = b"body" if method == "POST" else b""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} /work?id={token}&ms={work} HTTP/1.1\r\nHost: bench\r\n{length}\r\n".encode() + body
