"""One connection in a worker: its socket, its place in its streams, and the redo log that it keeps in its slot.

Law: the turn's holder alone uses a connection: the reactor thread while it waits, reads, lingers or writes a rest, an
app thread during a turn. Nobody closes it here; `poller` does. The redo log, in this order: offsets, then
RESPONDING, then the request's bytes are consumed, then the response is sent, then IDLE.
"""

from __future__ import annotations

import enum
import select
import socket
import time
from typing import Any

from ..wire.scoreboard import (
    CONSUMED,
    S_CONSUME_TO,
    S_DEADLINE,
    S_SINCE,
    S_THREAD,
    S_WRITTEN0,
    S_WRITTEN_END,
    Scoreboard,
    State,
    pack_state,
)
from .http import Request
from .wsgi import ClientGone

#: Bytes of an answer that is made which wait in the reactor for a slow client, instead of in an app thread.
REST_LIMIT = 1 << 20
#: One send; the kernel takes what its buffer has room for.
SEND_SIZE = 1 << 18


class Phase(enum.Enum):
    """Who uses a connection, and for what."""

    READING = "waiting for a request, or for the rest of its head"
    BODY = "reading a body"
    TURN = "an app thread has it"
    WRITING = "the reactor sends the rest of an answer"
    LINGERING = "closing: waiting for the client to have read"
    CLOSED = "closed"


class Connection:
    """A connection that was lent to this worker.

    :ivar sock: this worker's copy, non-blocking.
    :ivar slot: its place on the scoreboard; `base` is its first word.
    :ivar sequence: the number of the lend.
    :ivar listener: index of its listener.
    :ivar peer: address and port of the client.
    :ivar deadline: monotonic seconds after which the present phase is over.
    :ivar request: the present request.
    :ivar body: the body being read.
    :ivar request_end: where the present request ends in the stream from the client.
    :ivar consumed: bytes taken from the kernel so far; `written` bytes given to it.
    :ivar rest: what the client has not taken of an answer that is made.
    :ivar keep: whether the connection goes on after the present answer.
    :ivar watched: whether every event is told (while a request is incomplete), instead of one.
    :ivar served: requests answered in this worker.
    """

    __slots__ = (
        "_board", "_poll", "base", "body", "consumed", "deadline", "header_since", "keep", "listener", "peer", "phase",
        "request", "request_end", "rest", "sequence", "served", "slot", "sock", "watched", "word", "written",
    )  # fmt: skip

    def __init__(
        self, board: Scoreboard, sock: socket.socket, slot: int, sequence: int, listener: int, peer: tuple[str, str]
    ) -> None:
        self._board = board
        self._poll: Any = None
        self.sock = sock
        self.slot = slot
        self.base = base = board.slot_base(slot)
        self.sequence = sequence
        self.word = pack_state(0, 0, sequence)
        self.listener = listener
        self.peer = peer
        self.phase = Phase.READING
        self.deadline = 0.0
        self.header_since = 0.0
        self.request: Request | None = None
        self.body: Any = None
        self.keep = False
        self.watched = False
        self.served = 0
        # Where the last holder left off; zero on a connection that was lent for the first time.
        self.consumed = self.request_end = board.words[base + S_CONSUME_TO]
        self.written = board.words[base + S_WRITTEN_END]
        self.rest: memoryview | None = None

    def log_idle(self, deadline: float) -> None:
        """Nothing of a request was taken, nothing is owed: the connection could be lent to anybody."""
        self.deadline = deadline
        words, base = self._board.words, self.base
        words[base + S_DEADLINE] = int(deadline * 1e9)
        words[base + S_CONSUME_TO] = self.consumed
        words[base + S_WRITTEN_END] = self.written
        words[base] = self.word | State.IDLE

    def log_reading(self, consumed: bool) -> None:
        """A request is coming in; `consumed`: bytes of it were taken, so nobody else can answer it."""
        self._board.words[self.base] = self.word | State.READING | (CONSUMED if consumed else 0)

    def log_in_app(self, name: bytes, thread: int) -> None:
        """The application is about to be called, on the thread with this native id."""
        words, base = self._board.words, self.base
        words[base + S_SINCE] = time.monotonic_ns()
        words[base + S_THREAD] = thread
        self._board.write_head(base, name)
        words[base] = self.word | State.IN_APP | (words[base] & CONSUMED)

    def log_responding(self, length: int) -> None:
        """The first byte is about to be sent; `length` of the whole response, 0 when it is not known."""
        words, base = self._board.words, self.base
        words[base + S_WRITTEN0] = self.written
        words[base + S_WRITTEN_END] = self.written + length if length else 0
        words[base + S_CONSUME_TO] = self.request_end
        words[base] = self.word | State.RESPONDING | (words[base] & CONSUMED)

    def log_closing(self) -> None:
        """The connection ends here; nobody must lend it again."""
        self._board.words[self.base] = self.word | State.CLOSING

    def consume(self, scratch: bytearray) -> None:
        """Take the present request's bytes, all of which were seen, from the kernel."""
        left = self.request_end - self.consumed
        while left > 0:
            taken = self.sock.recv_into(scratch, min(left, len(scratch)))
            if taken == 0:
                self.keep = False
                raise ClientGone
            left -= taken
        self.consumed = self.request_end

    def send(self, data: bytes, timeout: float, last: bool) -> None:
        """Send, waiting in this thread for the client, as far as that must be.

        :param last: the answer is made with this; up to `REST_LIMIT` bytes of it become the `rest`.
        :raises ClientGone: the client is gone, or took nothing for `timeout` seconds.
        """
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.keep = False
            raise ClientGone from error
        self.written += sent
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], timeout, last)

    def _send_rest(self, left: memoryview, timeout: float, last: bool) -> None:
        while left:
            if last and len(left) <= REST_LIMIT:
                self.rest = left
                return
            self._wait_for_client(timeout)
            left = left[self.send_some(left) :]

    def send_some(self, data: memoryview) -> int:
        """Send what the kernel takes now; returns how many bytes that was."""
        try:
            sent = self.sock.send(data[:SEND_SIZE])
        except BlockingIOError:
            return 0
        except OSError as error:
            self.keep = False
            raise ClientGone from error
        self.written += sent
        return sent

    def _wait_for_client(self, timeout: float) -> None:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.sock, select.POLLOUT)
        if not self._poll.poll(timeout * 1000):
            self.keep = False
            raise ClientGone
