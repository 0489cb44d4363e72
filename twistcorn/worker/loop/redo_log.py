"""The redo log: a worker's record of one connection in its slot on the scoreboard, for the master and later workers.

Law: words in shared memory, and nothing else: no socket, no clock. Each turn keeps this order: write the offsets, write
RESPONDING, send the first bytes of the response, take the bytes of the request from the kernel, write IDLE. A request
whose bytes are taken before the response begins cannot be read by another worker, and would get 502.
"""

from __future__ import annotations

from ...wire.scoreboard import (
    CONSUMED,
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
    WORD,
    Scoreboard,
    SlotState,
    pack_state,
)
from ..http.request import RequestLine

#: Seconds by which an idle connection's deadline in its slot may be off: saves a write per request.
DEADLINE_STEP_SECONDS = 0.5

# Looking up members of an enumeration costs measurable time in each request.
_IDLE, _READING = int(SlotState.IDLE), int(SlotState.READING)
_IN_APP, _RESPONDING = int(SlotState.IN_APP), int(SlotState.RESPONDING)


class RedoLog:
    """The slot of one lent connection. Deadlines are monotonic seconds, all other times monotonic nanoseconds.

    :param slot: its number; `sequence` is the number of the lend.
    """

    __slots__ = ("_base", "_board", "_deadline", "_flags", "_line", "_state", "_words")

    def __init__(self, board: Scoreboard, slot: int, sequence: int) -> None:
        self._board = board
        self._words = board.words
        self._base = board.slot_base(slot)
        self._state = pack_state(0, 0, sequence)
        self._flags = 0
        self._deadline = 0.0
        self._line: RequestLine | None = None

    def divert(self, words: memoryview | None) -> memoryview:
        """In a child that the application forks: write to private memory from now on.

        :param words: what an earlier call returned, None at the first one.
        """
        if words is None:
            words = memoryview(bytearray(len(self._words) * WORD)).cast("Q")
        self._words = words
        return words

    # What the previous worker left

    @property
    def consumed_before(self) -> int:
        """Bytes taken from the client's stream when the connection was last idle."""
        return self._words[self._base + S_CONSUMED0]

    @property
    def written_end(self) -> int:
        """Where the latest response ends in the stream to the client; 0 when unknown, or before the first one."""
        return self._words[self._base + S_WRITTEN_END]

    @property
    def deadline(self) -> float:
        """When the connection's present wait times out; 0.0 for never."""
        return self._words[self._base + S_DEADLINE] / 1e9

    @property
    def queued_since(self) -> float:
        """Monotonic seconds at which the request began to wait for a thread."""
        return self._words[self._base + S_QUEUED] / 1e9

    def take_attempt(self) -> int:
        """Return how many workers died with the request that is about to run, and reset that number.

        For the first request after a lend only.
        """
        words, attempt = self._words, self._base + S_ATTEMPT
        deaths: int = words[attempt]
        if deaths:
            words[attempt] = 0
        return deaths

    # Between requests

    def write_lent(self, deadline: float) -> None:
        """The connection came with the first bytes of a head; the master has these, too, and can lend it again."""
        self.write_deadline(deadline)
        self._deadline = deadline
        self._words[self._base] = self._state | _IDLE

    def write_deadline(self, deadline: float) -> None:
        """When the remainder of a head times out whose first bytes travel with the connection."""
        self._words[self._base + S_DEADLINE] = int(deadline * 1e9)

    def write_queued(self, since: float) -> None:
        """The request goes to another worker; the time that it has waited goes with it."""
        self._words[self._base + S_QUEUED] = int(since * 1e9)

    def write_reading(self, consumed: bool) -> None:
        """A request is arriving.

        :param consumed: bytes of it were taken from the kernel, so no other worker can answer it.
        """
        self._flags = CONSUMED if consumed else 0
        self._words[self._base] = self._state | _READING | self._flags

    def write_idle(self, deadline: float, consumed: int, written: int) -> None:
        """No byte of a request is taken, no byte of a response is owed: any worker could take the connection."""
        self._flags = 0
        words, base = self._words, self._base
        if not -DEADLINE_STEP_SECONDS < deadline - self._deadline < DEADLINE_STEP_SECONDS:
            words[base + S_DEADLINE] = int(deadline * 1e9)
            self._deadline = deadline
        words[base + S_CONSUMED0] = consumed
        words[base + S_WRITTEN_END] = written
        words[base] = self._state | _IDLE

    def write_closing(self) -> None:
        """The connection ends here; the master must not lend it again."""
        self._words[self._base] = self._state | SlotState.CLOSING

    # During a turn

    def write_in_app(self, line: RequestLine, thread: int, now: int) -> None:
        """The application is about to be called on this thread (`get_ident`)."""
        words, base = self._words, self._base
        words[base + S_SINCE] = now
        words[base + S_RESTART] = 0
        words[base + S_THREAD] = thread
        if line is not self._line:
            self._board.write_head(base, line.name.encode("latin-1"))
            self._line = line
        words[base] = self._state | _IN_APP | self._flags

    def write_asked(self) -> None:
        """The application reads a body that its client holds back for 100 Continue: no other worker can answer now."""
        self._flags = CONSUMED
        self._words[self._base] = self._state | _IN_APP | CONSUMED

    def write_answered(self) -> None:
        """The answer is complete, and no byte of it is sent: no thread works on the request any more."""
        self._words[self._base + S_THREAD] = 0

    def write_thread(self, thread: int) -> None:
        """Attribute a death of the worker to this request again: its thread is at work on it."""
        self._words[self._base + S_THREAD] = thread

    def write_responding(self, written: int, end: int, consume_to: int, flags: int) -> None:
        """The first byte of a response is about to be sent.

        :param written: where it begins in the stream to the client.
        :param end: where it ends there, 0 when unknown.
        :param consume_to: where its request ends in the stream from the client.
        :param flags: FRAMED, if the client can see that a response is cut; ENDS, if the connection ends with it.
        """
        words, base = self._words, self._base
        words[base + S_WRITTEN0] = written
        words[base + S_WRITTEN_END] = end
        words[base + S_CONSUME_TO] = consume_to
        words[base] = self._state | _RESPONDING | self._flags | flags

    def write_end(self, end: int) -> None:
        """Where a response of unknown length ends, once that is known; bytes up to there may still be unsent."""
        self._words[self._base + S_WRITTEN_END] = end

    @property
    def written_before(self) -> int:
        """Where the present response begins in the stream to the client."""
        return self._words[self._base + S_WRITTEN0]

    # The request's time

    @property
    def since(self) -> int:
        """When the present request got its turn; identifies it among the requests of this connection."""
        return self._words[self._base + S_SINCE]

    @property
    def thread(self) -> int:
        """The thread that has the present request."""
        return self._words[self._base + S_THREAD]

    @property
    def counted_from(self) -> int:
        """The time from which the request time-out of the present request counts."""
        return max(self._words[self._base + S_SINCE], self._words[self._base + S_RESTART])

    def restart_clock(self, now: int) -> None:
        """The application produced a piece of its answer: restart its time-out, unless it asked for a later end."""
        restart = self._words[self._base + S_RESTART]
        self._words[self._base + S_RESTART] = max(restart, now)

    def extend_deadline(self, seconds: float) -> None:
        """`environ["twistcorn.extend_deadline"]`: give the present request more seconds."""
        self._words[self._base + S_RESTART] = self.counted_from + max(0, int(seconds * 1e9))
