"""One connection in a worker: its socket, its place in its streams, and the redo log that it keeps in its slot.

Law: the turn's holder alone uses a connection: the reactor thread while it waits, reads, lingers or writes a rest, an
app thread during a turn. Nobody closes it here; `poller` does. The redo log, in this order: offsets, then
RESPONDING, then the response's first bytes are sent, then the request's are consumed, then IDLE. Bytes that were
consumed before the response began could not be read by another worker, and the request would get 502.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...logs.entries import Entry
from ...pristine import socket, threading
from ...wire.scoreboard import (
    CONSUMED,
    ENDS,
    FRAMED,
    S_ATTEMPT,
    S_CONSUME_TO,
    S_CONSUMED0,
    S_DEADLINE,
    S_QUEUED,
    S_RESTART,
    S_SINCE,
    S_THREAD,
    S_WRITTEN0,
    S_WRITTEN_END,
    Scoreboard,
    SlotState,
    pack_state,
)
from ..http.request import Request, RequestLine
from ..process import failing
from .partial import Partial
from .phases import Phase as Phase

#: One send: the kernel takes what its buffer has room for.
SEND_BYTES = 1 << 18
#: A body up to here is put behind its head in memory: one copy costs less than a second piece for the kernel.
MAX_COPIED_BYTES = 65536
#: Bytes of the buffers that `consume` is given.
SCRATCH_BYTES = 65536
#: Seconds by which the deadline of an idle connection may be wrong in its slot.
DEADLINE_STEP_SECONDS = 0.5

# What an enumeration's members cost to look up is seen in each request.
_IDLE, _READING = int(SlotState.IDLE), int(SlotState.READING)
_IN_APP, _RESPONDING = int(SlotState.IN_APP), int(SlotState.RESPONDING)

#: Waits until a socket takes more; false when time is over.
Wait = Callable[[socket.socket], bool]


class ClientGone(ConnectionError):
    """The client closed the connection, or took nothing for too long; there is nobody to answer."""


class Connection:
    """A connection that was lent to this worker.

    :ivar sock: this worker's copy, non-blocking.
    :ivar slot: its place on the scoreboard; `base` is its first word.
    :ivar sequence: the number of the lend.
    :ivar listener: index of its listener.
    :ivar peer: address and port of the client.
    :ivar deadline: monotonic seconds after which the present phase is over.
    :ivar request: the present request.
    :ivar body: the body being read; `partial`: what is known of a head that was not whole at the first look.
    :ivar request_end: where the present request ends in the stream from the client; while it closes: how much of that
        is taken at most.
    :ivar consumed: bytes taken from the kernel so far; `written` bytes given to it.
    :ivar seen_consumed: how many of those bytes `traffic` has counted; `seen_written` likewise.
    :ivar made: a whole answer that is not sent yet; `code` is its status.
    :ivar rest: what the client has not taken of an answer that is made.
    :ivar keep: whether the connection goes on after the present answer.
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
        "_board", "_flags", "_line", "_logged_deadline", "_words", "base", "body", "code", "consumed", "cut",
        "deadline", "end_by", "entry", "fresh", "header_since", "hopped", "keep", "listener", "made", "missed",
        "partial", "peer", "phase", "queued_since", "request", "request_end", "rest", "seen_consumed",
        "seen_written", "sequence", "slot", "sock", "waiting", "watched", "word", "written",
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
        self.fresh = True
        self._board = board
        self._words = board.words
        self._flags = 0
        self._logged_deadline = 0.0
        self.made: bytes | None = None
        self.code = 0
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
        self.partial: Partial | None = Partial(carried) if carried else None
        self.end_by = 0.0
        self.keep = self.cut = False
        self.queued_since = 0.0
        self.waiting = False
        self.hopped = False
        self.missed = False
        self.watched = True
        self.entry: Entry | None = None
        self._line: RequestLine | None = None
        # Where the last holder left off; zero on a connection that was lent for the first time.
        self.consumed = self.request_end = self.seen_consumed = board.words[base + S_CONSUMED0] + len(carried)
        self.written = self.seen_written = board.words[base + S_WRITTEN_END]
        self.rest: memoryview | None = None

    @property
    def untouched(self) -> bool:
        """Whether no byte of the present request was taken, so that another worker can answer it."""
        return self.consumed == self._words[self.base + S_CONSUMED0]

    def log_queued(self) -> None:
        """The request goes elsewhere; how long it has waited goes with it."""
        self._words[self.base + S_QUEUED] = int(self.queued_since * 1e9)

    def log_made(self) -> None:
        """The application has answered, and nothing of it was sent: no thread is at work on the request any more."""
        self._words[self.base + S_THREAD] = 0

    def log_idle(self, deadline: float) -> None:
        """Nothing of a request was taken, nothing is owed: the connection could be lent to anybody."""
        self.deadline = deadline
        self._flags = 0
        words, base = self._words, self.base
        if not -DEADLINE_STEP_SECONDS < deadline - self._logged_deadline < DEADLINE_STEP_SECONDS:
            words[base + S_DEADLINE] = int(deadline * 1e9)
            self._logged_deadline = deadline
        words[base + S_CONSUMED0] = self.consumed
        words[base + S_WRITTEN_END] = self.written
        words[base] = self.word | _IDLE

    def log_lent(self, deadline: float, now: float) -> None:
        """It has come with the first part of a head, which the master has as well: nothing is taken that it has not."""
        self.deadline, self.header_since = deadline, now
        self._words[self.base + S_DEADLINE] = int(deadline * 1e9)
        self._logged_deadline = deadline
        self._words[self.base] = self.word | _IDLE

    def log_reading(self, consumed: bool) -> None:
        """A request is coming in; `consumed`: bytes of it were taken, so nobody else can answer it."""
        self._flags = CONSUMED if consumed else 0
        self._words[self.base] = self.word | _READING | self._flags

    def take_attempt(self) -> int:
        """How many workers died with the request that is about to run; it is the first one after a lend, if any."""
        self.fresh = False
        words, attempt = self._words, self.base + S_ATTEMPT
        deaths: int = words[attempt]
        if deaths:
            words[attempt] = 0
        return deaths

    def log_in_app(self, line: RequestLine, thread: int, now: int) -> None:
        """The application is about to be called, on this thread (`get_ident`); monotonic nanoseconds."""
        words, base = self._words, self.base
        words[base + S_SINCE] = now
        words[base + S_RESTART] = 0
        words[base + S_THREAD] = thread
        if line is not self._line:
            self._board.write_head(base, line.name.encode("latin-1"))
            self._line = line
        words[base] = self.word | _IN_APP | self._flags

    def log_asked(self) -> None:
        """The application reads what its client was not yet told to send: from here on nobody else can answer."""
        self._flags = CONSUMED
        self._words[self.base] = self.word | _IN_APP | CONSUMED

    @property
    def since(self) -> int:
        """When the present request got its turn; its name, too, among those of this connection."""
        return self._words[self.base + S_SINCE]

    @property
    def thread(self) -> int:
        """The thread that has the present request, as its slot names it."""
        return self._words[self.base + S_THREAD]

    @property
    def counted_from(self) -> int:
        """From when on the present request's time counts, in monotonic nanoseconds."""
        return max(self._words[self.base + S_SINCE], self._words[self.base + S_RESTART])

    def restart_clock(self, now: int) -> None:
        """The application has made a piece of its answer: its time begins anew, but for what it asked for longer."""
        restart = self._words[self.base + S_RESTART]
        self._words[self.base + S_RESTART] = max(restart, now)

    def extend_deadline(self, seconds: float) -> None:
        """`environ["twistcorn.extend_deadline"]`: the present request has so many seconds more."""
        self._words[self.base + S_RESTART] = self.counted_from + max(0, int(seconds * 1e9))

    def log_responding(self, length: int, chunked: bool = False) -> None:
        """The first byte is about to be sent; `length` of the whole response, 0 when it is not known."""
        words, base, written = self._words, self.base, self.written
        words[base + S_WRITTEN0] = written
        words[base + S_WRITTEN_END] = written + length if length else 0
        words[base + S_CONSUME_TO] = self.request_end
        flags = self._flags | (FRAMED if length or chunked else 0) | (0 if self.keep else ENDS)
        words[base] = self.word | _RESPONDING | flags

    @property
    def written_before(self) -> int:
        """Where the present response begins in the stream to the client."""
        return self._words[self.base + S_WRITTEN0]

    def log_last(self, length: int) -> None:
        """The end of a response whose length was not known: these bytes are still to be sent."""
        self._words[self.base + S_WRITTEN_END] = self.written + length

    def log_closing(self) -> None:
        """The connection ends here; nobody must lend it again."""
        self._words[self.base] = self.word | SlotState.CLOSING

    def consume(self, scratch: bytearray) -> None:
        """Take the present request's bytes, all of which were seen, from the kernel."""
        left = self.request_end - self.consumed
        while left > 0:
            try:
                taken = self.sock.recv_into(scratch, min(left, len(scratch)))
            except OSError:
                # A client that has read its answer may have reset the connection.
                taken = 0
            if taken == 0:
                self.keep = False
                raise ClientGone
            left -= taken
        self.consumed = self.request_end

    def send(self, head: bytes, data: bytes, wait: Wait, last: bool) -> None:
        """Send, waiting in this thread for the client as far as that must be.

        :param head: goes before the data, in the same segment where that fits; a large body is not copied for it.
        :param wait: waits until the socket takes more; false when the client's time is over.
        :param last: the answer is made with this: what the client does not take now becomes the `rest`, which is
            in memory anyway and needs no thread.
        :raises ClientGone: the client is gone, or took nothing for too long.
        """
        if len(data) <= MAX_COPIED_BYTES:
            head, data = b"", head + data
        try:
            sent = self.sock.sendmsg((head, data)) if head else self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._doubt(error)
            self.keep = False
            raise ClientGone from error
        self.written += sent
        if sent < len(head):
            self._send_rest(memoryview(head)[sent:], wait, False)
            sent = len(head)
        if sent < len(head) + len(data):
            self._send_rest(memoryview(data)[sent - len(head) :], wait, last)

    def _send_rest(self, left: memoryview, wait: Wait, last: bool) -> None:
        if last:
            self.rest = left
            return
        while left:
            self.await_client(wait)
            left = left[self.send_some(left) :]

    def send_made(self, scratch: bytearray) -> None:
        """Send the answer that is made; what the client does not take now becomes the `rest`."""
        made, self.made = self.made, None
        assert made is not None
        self.log_responding(len(made))
        sock = self.sock
        try:
            sent = sock.send(made)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._doubt(error)
            self.keep = False
            if self.entry is not None:
                self.entry.sent, self.entry.whole = 0, False
            return
        self.written += sent
        if sent < len(made):
            self.rest = memoryview(made)[sent:]
            if self.entry is not None:
                self.entry.base, self.entry.open = self.written - sent + len(made) - self.entry.sent, True
        try:
            # As `consume`, in short: nearly always all of it is taken at once.
            left = self.request_end - self.consumed
            if 0 < left <= SCRATCH_BYTES:
                self.consumed += sock.recv_into(scratch, left)
            if self.consumed != self.request_end:
                self.consume(scratch)
        except OSError:
            self.keep = False

    def send_some(self, data: memoryview) -> int:
        """Send what the kernel takes now; returns how many bytes that was."""
        try:
            sent = self.sock.send(data[:SEND_BYTES])
        except BlockingIOError:
            return 0
        except OSError as error:
            self._doubt(error)
            self.keep = False
            raise ClientGone from error
        self.written += sent
        return sent

    def _doubt(self, problem: OSError) -> None:
        """Nothing could be sent: where the application has closed the descriptor, ours may be gone, too."""
        if failing.is_lost(problem):
            # It is this request that is to be told of, whatever has become of its answer.
            self._words[self.base + S_THREAD] = threading.get_ident()
            failing.doubt()

    def await_client(self, wait: Wait) -> None:
        """Wait until the client takes more.

        :raises ClientGone: it does not.
        """
        if not wait(self.sock):
            self.keep = False
            raise ClientGone
