"""One connection in a worker: who it is, whose turn it is, and what belongs to its present request.

Law: the turn's holder alone uses a connection: the leader's thread while it waits, reads, lingers or sends what is left
of an answer, an app thread during a turn. Nobody closes it here; `poller` does. What is written for other processes is
`redo_log`'s, what comes and goes `stream`'s.
"""

from __future__ import annotations

from typing import Any

from ...logs.entries import Entry
from ...pristine import socket
from ...wire.scoreboard import Scoreboard
from ..http.request import Request
from .partial import Partial
from .phases import Phase
from .redo_log import RedoLog
from .stream import SCRATCH_BYTES, Stream


class Connection:
    """A connection that was lent to this worker.

    :ivar slot: its place on the scoreboard; `redo_log` writes there.
    :ivar stream: its socket, and how far its bytes have come.
    :ivar sequence: the number of the lend.
    :ivar listener: index of its listener.
    :ivar peer: address and port of the client.
    :ivar deadline: monotonic seconds after which the present phase is over.
    :ivar request: the present request.
    :ivar body: the body being read; `partial`: what is known of a head that was not whole at the first look.
    :ivar answer: a whole answer that is not sent yet; `code` is its status.
    :ivar cut: whether the present answer is not whole, and only a reset can show that.
    :ivar fresh: whether no request has run since it was lent.
    :ivar queued_since: when the present request began to wait for a thread, monotonic seconds; 0.0: it did not.
    :ivar waiting: whether it is among those that wait for a thread here; `hopped`: it has waited elsewhere before.
    :ivar missed: whether something may wait in the socket whose event was told already, and did not help.
    :ivar watched: whether the poller is told of bytes that come, and not of room for bytes that go.
    :ivar entry: of the access log, for the present answer.
    :ivar end_by: monotonic seconds at which a connection that lingers is closed, whatever still comes.
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
        """Whether no byte of the present request was taken, so that another worker can answer it."""
        return self.stream.consumed == self.redo_log.consumed_before

    def become_idle(self, deadline: float) -> None:
        """Nothing of a request was taken, nothing is owed: it waits for a request until then."""
        self.deadline = deadline
        self.redo_log.write_idle(deadline, self.stream.consumed, self.stream.written)

    def begin_response(self, length: int, chunked: bool = False) -> None:
        """The first byte is about to be sent; `length` of the whole response, 0 when it is not known."""
        stream = self.stream
        self.redo_log.write_responding(
            stream.written, length, stream.request_end, length > 0 or chunked, not stream.keep
        )

    def send_answer(self, scratch: bytearray) -> None:
        """Send the whole answer; what the client does not take now becomes `stream.unsent`."""
        answer, self.answer = self.answer, None
        assert answer is not None
        stream = self.stream
        sock, size = stream.sock, len(answer)
        self.redo_log.write_responding(stream.written, size, stream.request_end, True, not stream.keep)
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
        stream.written += sent
        if sent < size:
            stream.unsent = memoryview(answer)[sent:]
            if self.entry is not None:
                self.entry.base, self.entry.open = stream.written - sent + size - self.entry.sent, True
        try:
            # As `consume`, in short: nearly always all of it is taken at once.
            left = stream.request_end - stream.consumed
            if 0 < left <= SCRATCH_BYTES:
                stream.consumed += sock.recv_into(scratch, left)
            if stream.consumed != stream.request_end:
                stream.consume(scratch)
        except OSError:
            stream.keep = False
