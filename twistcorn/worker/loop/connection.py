"""One connection in a worker: its identity, its phase, and the state of its present request.

Law: one thread at a time uses a connection: the leader while it waits, reads, lingers or sends the remainder of an
answer; during a turn the thread that has the turn. `custody` closes it. `redo_log` writes what other processes read;
`stream` reads and writes the socket.
"""

from __future__ import annotations

from typing import Any

from ...logs.entries import Entry
from ...pristine import socket
from ...wire.scoreboard import ENDS, FRAMED, Scoreboard
from ..http.request import Request
from .partial import Partial
from .phases import Phase
from .redo_log import RedoLog
from .stream import SCRATCH_BYTES, Stream

_FRAMED_LAST = FRAMED | ENDS


class Connection:
    """A connection that was lent to this worker.

    :ivar slot: its place on the scoreboard, where `redo_log` writes.
    :ivar stream: its socket, with the offsets in both directions.
    :ivar sequence: the number of the lend.
    :ivar listener: index of its listener.
    :ivar peer: address and port of the client.
    :ivar deadline: monotonic seconds after which the present phase is over.
    :ivar request: the present request.
    :ivar body: the body being read; `partial`: the state of an incomplete head.
    :ivar header_since: monotonic seconds at which the incomplete head began; 0.0 without one.
    :ivar answer: a complete answer that is not sent yet; `code` is its status.
    :ivar cut: whether the present answer is incomplete, and only a reset can show that.
    :ivar fresh: whether no request has run since it was lent.
    :ivar queued_since: monotonic seconds at which the present request began to wait for a thread; 0.0 if it did not.
    :ivar waiting: whether it waits for a thread here; `hopped`: whether it came from another worker's queue.
    :ivar missed: whether the socket may hold bytes, or an end, whose event was already used up.
    :ivar watched: whether epoll reports incoming bytes; otherwise it reports room for outgoing ones.
    :ivar entry: the access log entry of the present answer.
    :ivar end_by: monotonic seconds at which a lingering connection is closed, whatever still arrives.
    """

    __slots__ = (
        "answer", "body", "code", "cut", "deadline", "end_by", "entry", "fresh", "header_since", "hopped", "listener",
        "missed", "partial", "peer", "phase", "queued_since", "redo_log", "request", "sequence", "slot", "stream",
        "waiting", "watched",
    )  # fmt: skip

    def __init__(
        self,
        board: Scoreboard,
        sock: socket.socket,
        slot: int,
        sequence: int,
        listener: int,
        peer: tuple[str, str],
        carried: bytes = b"",
    ) -> None:
        self.slot = slot
        self.sequence = sequence
        self.redo_log = log = RedoLog(board, slot, sequence)
        self.stream = Stream(sock, log, log.consumed_before + len(carried), log.written_end)
        self.listener = listener
        self.peer = peer
        self.phase = Phase.READING
        self.deadline = self.header_since = self.end_by = 0.0
        self.fresh = True
        self.request: Request | None = None
        self.partial: Partial | None = Partial(carried) if carried else None
        self.body: Any = None
        self.answer: bytes | None = None
        self.code = 0
        self.cut = False
        self.queued_since = 0.0
        self.waiting = self.hopped = False
        self.missed = False
        self.watched = True
        self.entry: Entry | None = None

    @property
    def untouched(self) -> bool:
        """Whether no byte of the present request is taken, so that another worker can answer it."""
        return self.stream.consumed == self.redo_log.consumed_before

    def become_idle(self, deadline: float) -> None:
        """Wait for the next request until the deadline; nothing is taken, nothing is owed."""
        self.deadline = deadline
        self.redo_log.write_idle(deadline, self.stream.consumed, self.stream.written)

    def begin_response(self, length: int, chunked: bool = False) -> None:
        """Note in the redo log that the first byte is about to be sent.

        :param length: the length of the whole response, 0 when unknown.
        """
        stream = self.stream
        flags = (FRAMED if length or chunked else 0) | (0 if stream.keep else ENDS)
        end = stream.written + length if length else 0
        self.redo_log.write_responding(stream.written, end, stream.request_end, flags)

    def send_answer(self, scratch: bytearray) -> None:
        """Send the complete answer; bytes that the kernel does not take now become `stream.unsent`."""
        answer, self.answer = self.answer, None
        assert answer is not None
        stream = self.stream
        sock, size = stream.sock, len(answer)
        written = stream.written
        flags = FRAMED if stream.keep else _FRAMED_LAST
        self.redo_log.write_responding(written, written + size, stream.request_end, flags)
        try:
            sent = sock.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            stream.doubt(error)
            stream.keep = False
            if self.entry is not None:
                self.entry.sent, self.entry.whole = 0, False
            return
        stream.written = written + sent
        if sent < size:
            stream.unsent = memoryview(answer)[sent:]
            if self.entry is not None:
                self.entry.base, self.entry.open = stream.written - sent + size - self.entry.sent, True
        try:
            # The common case of `consume`, inlined: one call takes all bytes.
            left = stream.request_end - stream.consumed
            if 0 < left <= SCRATCH_BYTES:
                stream.consumed += sock.recv_into(scratch, left)
            if stream.consumed != stream.request_end:
                stream.consume(scratch)
        except OSError:
            stream.keep = False
