"""Clients that mean no good: some send a byte a second, some ask for much and never read.

Law: one thread, non-blocking sockets, loopback; every socket is closed when the ``with`` block ends.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

#: What a dribbler sends, byte by byte: half of them a head, half of them a body, neither of which ever ends.
HEAD = b"GET / HTTP/1.1\r\nHost: siege\r\nX-Slow: " + b"a" * 4096
BODY = b"POST / HTTP/1.1\r\nHost: siege\r\nContent-Length: 1000000\r\n\r\n"
ASK = (
    b"GET /stream HTTP/1.1\r\nHost: siege\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: siege\r\n\r\n",
)
ROUND = 1.0


@dataclass
class Dribbler:
    """One slow sender."""

    sock: socket.socket
    text: bytes
    sent: int = 0

    def send_one(self) -> bool:
        """One byte more; false when the server has had enough."""
        try:
            self.sock.send(self.text[self.sent : self.sent + 1] or b"z")
        except OSError:
            return False
        self.sent += 1
        return True


@dataclass
class Siege:
    """All the clients, and how often a dribbler had to begin again."""

    port: int
    dribblers: list[Dribbler] = field(default_factory=list)
    readers: list[socket.socket] = field(default_factory=list)
    begun_again: int = 0

    def begin(self, dribblers: int, readers: int) -> None:
        """Connect everybody."""
        for _, text in zip(range(dribblers), itertools.cycle((HEAD, BODY))):
            self.dribblers.append(self._dribbler(text))
        for _, ask in zip(range(readers), itertools.cycle(ASK)):
            sock = socket.create_connection(("127.0.0.1", self.port))
            # A small window: the server's buffers fill at once.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(ask)
            self.readers.append(sock)

    def _dribbler(self, text: bytes) -> Dribbler:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setblocking(False)
        # A body is dribbled behind a head that came at once.
        sent = sock.send(text) if text is BODY else 0
        return Dribbler(sock, text, sent)

    def send_round(self) -> None:
        """One byte from each dribbler; who was thrown out comes back."""
        for number, dribbler in enumerate(self.dribblers):
            if not dribbler.send_one():
                dribbler.sock.close()
                self.begun_again += 1
                self.dribblers[number] = self._dribbler(dribbler.text)

    def end(self) -> None:
        """Close everything."""
        for sock in [*self.readers, *(dribbler.sock for dribbler in self.dribblers)]:
            sock.close()


@contextlib.contextmanager
def besieged(port: int, dribblers: int, readers: int) -> Iterator[Siege]:
    """A siege goes on in a thread of its own while the block runs."""
    siege = Siege(port)
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(ROUND):
            siege.send_round()

    try:
        siege.begin(dribblers, readers)
        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        yield siege
        over.set()
        thread.join()
    finally:
        over.set()
        siege.end()


@dataclass(frozen=True)
class Latencies:
    """Seconds that requests took, sorted."""

    seconds: tuple[float, ...]

    def at(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def ask_steadily(port: int, rate: float, duration: float) -> Latencies:
    """Ask for the greeting at a constant rate on one connection; a late answer delays no start.

    The time counts from when a request was due, so that an answer that holds up the next ones is counted in each.
    """
    taken: list[float] = []
    begin = time.monotonic()
    with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.settimeout(30)
        for number in range(int(rate * duration)):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: siege\r\n\r\n")
            received = b""
            while not received.endswith(b"Hello, World!\n"):
                piece = sock.recv(65536)
                if not piece:
                    raise ConnectionError("the server closed a well-behaved connection")
                received += piece
            taken.append(time.monotonic() - due)
    return Latencies(tuple(sorted(taken)))
