"""The redo log: what a worker writes about one connection into its slot on the scoreboard, for whoever comes after it.

Law: words in shared memory, and nothing else: no socket, no clock. The order is the law of each turn: offsets, then
RESPONDING, then the first bytes of the response are sent, then the bytes of the request are taken, then IDLE. A request
whose bytes were taken before the response began cannot be read by another worker, and would get 502.
"""

from __future__ import annotations

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
    WORD,
    Scoreboard,
    SlotState,
    pack_state,
)
from ..http.request import RequestLine

#: Seconds by which the deadline of an idle connection may be wrong in its slot.
DEADLINE_STEP_SECONDS = 0.5

# What an enumeration's members cost to look up is seen in each request.
_IDLE, _READING = int(SlotState.IDLE), int(SlotState.READING)
_IN_APP, _RESPONDING = int(SlotState.IN_APP), int(SlotState.RESPONDING)


class RedoLog:
    """The slot of one lent connection. Deadlines are monotonic seconds, all other times monotonic nanoseconds.

    :param slot: its number; `sequence` is that of the lend.
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
        """In a child that the application forks: write to memory of its own from here on; pass the result on."""
        if words is None:
            words = memoryview(bytearray(len(self._words) * WORD)).cast("Q")
        self._words = words
        return words

    # What the last holder has left

    @property
    def consumed_before(self) -> int:
        """Bytes that were taken of the stream from the client when the connection was idle last."""
        return self._words[self._base + S_CONSUMED0]

    @property
    def written_end(self) -> int:
        """Where the response ends that was begun last; 0 when that is not known, or there was none."""
        return self._words[self._base + S_WRITTEN_END]

    @property
    def deadline(self) -> float:
        """When what the connection waits for is too late; 0.0 for none."""
        return self._words[self._base + S_DEADLINE] / 1e9

    @property
    def queued_since(self) -> float:
        """Monotonic seconds at which its request began to wait for a thread."""
        return self._words[self._base + S_QUEUED] / 1e9

    def take_attempt(self) -> int:
        """How many workers died with the request that is about to run; asked once, by the first one after a lend."""
        words, attempt = self._words, self._base + S_ATTEMPT
        deaths: int = words[attempt]
        if deaths:
            words[attempt] = 0
        return deaths

    # Between requests

    def write_lent(self, deadline: float) -> None:
        """It has come with the first part of a head, which the master has as well: nothing is taken that it has not."""
        self.write_deadline(deadline)
        self._deadline = deadline
        self._words[self._base] = self._state | _IDLE

    def write_deadline(self, deadline: float) -> None:
        """When the rest of a head is too late, whose first part travels with the connection."""
        self._words[self._base + S_DEADLINE] = int(deadline * 1e9)

    def write_queued(self, since: float) -> None:
        """The request goes elsewhere; how long it has waited goes with it."""
        self._words[self._base + S_QUEUED] = int(since * 1e9)

    def write_reading(self, consumed: bool) -> None:
        """A request is coming in; `consumed`: bytes of it were taken, so nobody else can answer it."""
        self._flags = CONSUMED if consumed else 0
        self._words[self._base] = self._state | _READING | self._flags

    def write_idle(self, deadline: float, consumed: int, written: int) -> None:
        """Nothing of a request was taken, nothing is owed: the connection could be lent to anybody."""
        self._flags = 0
        words, base = self._words, self._base
        if not -DEADLINE_STEP_SECONDS < deadline - self._deadline < DEADLINE_STEP_SECONDS:
            words[base + S_DEADLINE] = int(deadline * 1e9)
            self._deadline = deadline
        words[base + S_CONSUMED0] = consumed
        words[base + S_WRITTEN_END] = written
        words[base] = self._state | _IDLE

    def write_closing(self) -> None:
        """The connection ends here; nobody must lend it again."""
        self._words[self._base] = self._state | SlotState.CLOSING

    # During a turn

    def write_in_app(self, line: RequestLine, thread: int, now: int) -> None:
        """The application is about to be called, on this thread (`get_ident`)."""
        words, base = self._words, self._base
        words[base + S_SINCE] = now
        words[base + S_RESTART] = 0
        words[base + S_THREAD] = thread
        if line is not self._line:
            self._board.write_head(base, line.name.encode("latin-1"))
            self._line = line
        words[base] = self._state | _IN_APP | self._flags

    def write_asked(self) -> None:
        """The application reads what its client was not yet told to send: from here on nobody else can answer."""
        self._flags = CONSUMED
        self._words[self._base] = self._state | _IN_APP | CONSUMED

    def write_answered(self) -> None:
        """The application has answered, and nothing of it was sent: no thread is at work on the request any more."""
        self._words[self._base + S_THREAD] = 0

    def write_thread(self, thread: int) -> None:
        """It is this thread's request after all that a death would be about."""
        self._words[self._base + S_THREAD] = thread

    def write_responding(self, written: int, length: int, consume_to: int, framed: bool, ends: bool) -> None:
        """The first byte of a response is about to be sent.

        :param written: where it begins in the stream to the client; `length` of all of it, 0 when that is not known.
        :param consume_to: where its request ends in the stream from the client.
        :param framed: whether the client can tell a response that is cut; `ends`: whether the connection ends with it.
        """
        words, base = self._words, self._base
        words[base + S_WRITTEN0] = written
        words[base + S_WRITTEN_END] = written + length if length else 0
        words[base + S_CONSUME_TO] = consume_to
        words[base] = self._state | _RESPONDING | self._flags | (FRAMED if framed else 0) | (ENDS if ends else 0)

    def write_end(self, end: int) -> None:
        """Where a response ends whose length was not known: the bytes up to there are still to be sent."""
        self._words[self._base + S_WRITTEN_END] = end

    @property
    def written_before(self) -> int:
        """Where the present response begins in the stream to the client."""
        return self._words[self._base + S_WRITTEN0]

    # Whose time goes by

    @property
    def since(self) -> int:
        """When the present request got its turn; its name, too, among those of this connection."""
        return self._words[self._base + S_SINCE]

    @property
    def thread(self) -> int:
        """The thread that has the present request."""
        return self._words[self._base + S_THREAD]

    @property
    def counted_from(self) -> int:
        """From when on the present request's time counts."""
        return max(self._words[self._base + S_SINCE], self._words[self._base + S_RESTART])

    def restart_clock(self, now: int) -> None:
        """The application has made a piece of its answer: its time begins anew, but for what it asked for longer."""
        restart = self._words[self._base + S_RESTART]
        self._words[self._base + S_RESTART] = max(restart, now)

    def extend_deadline(self, seconds: float) -> None:
        """`environ["twistcorn.extend_deadline"]`: the present request has so many seconds more."""
        self._words[self._base + S_RESTART] = self.counted_from + max(0, int(seconds * 1e9))
