"""Feeds bytes through a real socket to the real intake, and plays the part of the poller and the reply.

Law: no reactor, no thread, no clock: after each piece the intake is asked until it has nothing to say. Like the
poller it never asks again behind a refusal or a request that ends the connection.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import re
import select
import socket
import struct
import termios
import time
from collections.abc import Iterable, Iterator

from twistcorn.errors import HTTPError
from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import Scoreboard
from twistcorn.worker.http.head_cache import Heads
from twistcorn.worker.http.request import Request
from twistcorn.worker.http.spool import Spool
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.intake import Found, advance, drop_body
from twistcorn.worker.loop.phases import Phase
from twistcorn.worker.loop.stream import ClientGone

from .cases import Seen

#: A UNIX stream socket and TCP over loopback: the two kinds of connection that there are.
KINDS = ("unix", "tcp")
#: How long bytes may take through the loopback, in milliseconds, before a test fails instead of hanging.
PATIENCE = 5000
#: Bytes fed one by one at each end of data that is longer: a UNIX socket holds some 270 writes that nobody takes.
SINGLE = 100


class Stuck(AssertionError):
    """The intake asks for more turns than any bytes can give it."""


@contextlib.contextmanager
def connected(kind: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end, and the server's end, which does not block."""
    if kind == "unix":
        client, server = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        # Not settimeout: that asks poll(2), which calls a UNIX socket writable only below a quarter of its buffer.
        client.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE // 1000, 0))
    server.setblocking(False)
    with client, server:
        yield client, server


def unread(sock: socket.socket) -> int:
    """Bytes that wait in the kernel."""
    found: tuple[int] = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
    return found[0]


def until(sock: socket.socket, amount: int) -> None:
    """Wait until so many bytes are there."""
    begun = time.monotonic()
    while unread(sock) < amount:
        assert time.monotonic() - begun < PATIENCE / 1000, f"{amount - unread(sock)} bytes got lost"
        time.sleep(0)


def until_end(sock: socket.socket) -> None:
    """Wait until the other side's end is there."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    assert poll.poll(PATIENCE), "the end got lost"


@functools.cache
def heads_of(settings: Settings) -> Heads:
    """One for all the connections with these settings, as in a worker: whatever one of them sent, others repeat."""
    return Heads(settings)


class Feed:
    """One connection, fed by hand.

    :ivar seen: the requests that came of it.
    :ivar targets: what each of them asked for, as sent; `ends`: where each of them ends in the stream.
    :ivar refused: the status of the refusal, 0 without one.
    :ivar ended: the intake found the end of the stream.
    :ivar over: no further byte is looked at.
    """

    def __init__(
        self,
        board: Scoreboard,
        client: socket.socket,
        server: socket.socket,
        settings: Settings,
    ) -> None:
        board.clear_slot(0)
        self.connection = Connection(board, server, 0, 1, 0, ("", ""))
        self.client = client
        self.seen: list[Seen] = []
        self.targets: list[bytes] = []
        self.ends: list[int] = []
        self.refused = 0
        self.ended = False
        self._settings = settings
        self._heads = heads_of(settings)
        self._spool = Spool(board, 0, settings)
        self._sent = 0

    @property
    def over(self) -> bool:
        return self.ended or bool(self.refused) or bool(self.seen and not self.seen[-1].keep)

    def send(self, piece: bytes) -> None:
        """The client sends, and the intake looks at what came."""
        self.client.sendall(piece)
        self._sent += len(piece)
        until(self.connection.stream.sock, self._sent - self.connection.stream.consumed)
        self.pump(ended=False)

    def end(self) -> None:
        """The client has nothing more to send."""
        self.client.shutdown(socket.SHUT_WR)
        until_end(self.connection.stream.sock)
        self.pump(ended=True)

    def pump(self, *, ended: bool) -> None:
        """What the poller does with an event: ask until there is nothing to say."""
        for _ in range(10_000):
            if self.over:
                break
            try:
                found = advance(self.connection, self._heads, self._settings, ended, self._spool)
            except HTTPError as error:
                self.refused = error.status
                break
            except BlockingIOError:
                return
            except ClientGone:
                found = Found.END
            if found is Found.MORE:
                return
            if found is Found.END:
                self.ended = True
            elif found is Found.REQUEST:
                self._reply()
        else:
            raise Stuck(self.seen)
        drop_body(self.connection)

    def _reply(self) -> None:
        """What the reply does: the redo log's order, without an answer."""
        connection = self.connection
        request = connection.request
        assert request is not None
        connection.begin_response(0)
        connection.stream.consume(bytearray(4096))
        self.seen.append(_seen(request))
        self.targets.append(request.line.target)
        self.ends.append(connection.stream.consumed)
        connection.request = None
        connection.become_idle(0.0)
        connection.phase = Phase.READING


def _seen(request: Request) -> Seen:
    body = request.body
    if not isinstance(body, bytes):
        kept, body = body, body.file.read()
        kept.drop()
    return Seen(
        request.line.method,
        request.line.path,
        request.line.query,
        request.line.version,
        request.block.keep_alive,
        body,
        tuple(request.block.headers),
    )


# The ways of cutting bytes into pieces


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    """Byte by byte; of data that is long, at both ends."""
    first, last = data[:SINGLE], data[SINGLE:][-SINGLE:]
    between = data[len(first) : len(data) - len(last)]
    return [*_single(first), *([between] if between else []), *_single(last)]


def _single(data: bytes) -> Iterable[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def linewise(data: bytes) -> list[bytes]:
    """Cut behind every CRLF."""
    return [piece for piece in re.split(rb"(?<=\r\n)", data) if piece]


def feed(
    board: Scoreboard, kind: str, pieces: Iterable[bytes], settings: Settings, *, end: bool = False
) -> Feed:
    """Feed pieces to a new connection, then, if wanted, the end of the stream."""
    with connected(kind) as (client, server):
        fed = Feed(board, client, server, settings)
        for piece in pieces:
            if fed.over:
                break
            fed.send(piece)
        if end and not fed.over:
            fed.end()
    return fed
