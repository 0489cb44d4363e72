"""The scoreboard: a memory file that the master and every worker map, and its layout.

Law: all offsets are here and nowhere else. Each field has one writer at a time: a worker's region belongs to that
worker; a slot belongs to the worker that holds the connection, otherwise to the master. A word is eight aligned bytes,
which do not tear; text has a version that is odd while it is being written, so that a reader of a live worker's text
detects a torn read.
"""

from __future__ import annotations

import enum
import mmap
from typing import NamedTuple

from ..pristine import os

#: Worker regions. Draining workers keep theirs: room for the maximum of workers and fifteen generations of them.
REGIONS = 4096
#: Words (of 8 bytes) in a worker's region and in a connection's slot.
WORKER_WORDS = 640
SLOT_WORDS = 32
WORD = 8

#: Words before the regions, which the master writes for all workers: whether the server stops, how many requests wait
#: in the master for a thread, and the number of regions that can be in use.
HEADER_WORDS = 8
H_STOPPING, H_QUEUED, H_REGIONS = range(3)

# Words of a worker's region: first the gauges. W_BUSY: requests in the application or waiting for a thread.
# W_THREADS: app threads while it takes connections, else 0; W_INCOMING: lends on their way to it, counted by the
# master. Then those from `worker.heartbeat`: bytes, nanoseconds of processor time, threads and descriptors of the
# process; the loop's last lag, and its worst within a minute, in nanoseconds.
W_PID, W_GENERATION, W_HEARTBEAT, W_BUSY, W_CONNECTIONS, W_THREADS, W_INCOMING = range(7)
# Whether the application has its own prometheus_client metrics; bytes of stored request bodies.
W_RSS, W_PSS, W_CPU, W_OS_THREADS, W_FDS, W_LAG, W_WORST_LAG, W_EXPORTS, W_SPOOLED = range(7, 16)
#: From here on all words are counters: `master.workers.totals` adds them up beyond the life of a worker.
COUNTED_FROM = 16
# Requests answered by turns on their own threads, and by turns on the leader's: one writer each, here and below. Then
# requests refused; requests handed back because all threads were busy; bytes received and sent.
W_REQUESTS, W_LED_REQUESTS, W_ERRORS, W_HOPS, W_RECEIVED, W_SENT = range(16, 22)
#: Total nanoseconds of these requests, and total nanoseconds that requests waited for a thread.
W_LATENCY_SUM, W_LED_LATENCY_SUM, W_QUEUE_SUM = 22, 23, 24
#: Histograms. Bucket n counts times below 2**n * LATENCY_STEP nanoseconds; the last one counts the remainder.
LATENCY_BUCKETS, LATENCY_STEP = 24, 64_000
W_LATENCY, W_LED_LATENCY, W_QUEUE_TIME = 32, 56, 80
#: Tables of requests by method and status: see `statuses`.
W_STATUS, W_LED_STATUS = 112, 368

# Words of a slot.
S_STATE, S_ATTEMPT, S_SINCE, S_DEADLINE, S_WRITTEN0, S_WRITTEN_END, S_CONSUME_TO, S_THREAD = range(8)
#: S_THREAD is `threading.get_ident()` of the thread that runs the request, as faulthandler writes it; 0: none.
#: Room for a client address from PROXY protocol (48 bytes), then version, length and text of the head.
S_CLIENT = 8
S_HEAD_VERSION, S_HEAD_LENGTH = 14, 15
S_HEAD = 16
#: Offset of the current or next request in the stream from the client; since when it has waited for a thread (monotonic
#: nanoseconds, 0: it has not), kept on a hop to another worker.
S_CONSUMED0, S_QUEUED = 29, 30
#: From when on the current request's time counts, if later than S_SINCE: monotonic nanoseconds.
S_RESTART = 31
HEAD_ROOM = (S_CONSUMED0 - S_HEAD) * WORD
#: Attempts to read a text that is being written; a writer that died meanwhile never finishes.
READS = 4


class SlotState(enum.IntEnum):
    """The state of a connection; the low byte of a slot's first word."""

    FREE = 0
    IDLE = 1
    READING = 2
    IN_APP = 3
    RESPONDING = 4
    CLOSING = 5


#: Flag: bytes of the current request have been read from the kernel, so no other process can read them.
CONSUMED = 1 << 8
#: Flag: the connection ends after the response that is being sent.
ENDS = 1 << 9
#: Flag: the framing of the response that is being sent shows its end, so that the client can detect a truncated one.
FRAMED = 1 << 10
_SEQUENCE_SHIFT = 32


def pack_state(state: int, flags: int, sequence: int) -> int:
    """One word of state, flags and the lend's sequence."""
    return state | flags | sequence << _SEQUENCE_SHIFT


class Slot(NamedTuple):
    """The contents of a slot.

    `written0` and `written_end` are offsets in the stream to the client, before and after the response
    (`written_end` 0: length not known); `consumed0` and `consume_to` are offsets in the stream from the client, before
    and after the request. `attempt` counts the earlier workers that died with this request.
    """

    state: SlotState
    consumed: bool
    ends: bool
    framed: bool
    sequence: int
    attempt: int
    since: int
    deadline: int
    written0: int
    written_end: int
    consumed0: int
    consume_to: int
    thread: int
    head: str


class Scoreboard:
    """The mapped memory: word access for the hot paths, named access for everything else.

    :ivar words: the whole memory as 64-bit words.
    :ivar data: the same memory as bytes.
    """

    def __init__(self, fd: int, workers: int, slots: int) -> None:
        self.fd = fd
        self.workers = workers
        self.slots = slots
        self.data = mmap.mmap(fd, required(workers, slots))
        self.words = memoryview(self.data).cast("Q")
        self._first_slot = HEADER_WORDS + workers * WORKER_WORDS

    @classmethod
    def create(cls, workers: int, slots: int) -> Scoreboard:
        """Create a scoreboard in a memory file (memfd_create(2)); untouched pages cost nothing."""
        fd = os.memfd_create("twistcorn-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(fd, required(workers, slots))
        return cls(fd, workers, slots)

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self.data.close()
        os.close(self.fd)

    def announce_stop(self) -> None:
        """Announce that the server stops: every response reads this word, which is faster than any order."""
        self.words[H_STOPPING] = 1

    @property
    def stopping(self) -> bool:
        """Whether the server stops."""
        return bool(self.words[H_STOPPING])

    def worker_base(self, index: int) -> int:
        """The first word of worker region `index`."""
        return HEADER_WORDS + index * WORKER_WORDS

    def slot_base(self, slot: int) -> int:
        """The first word of connection slot `slot`."""
        return self._first_slot + slot * SLOT_WORDS

    def worker_number(self, base: int) -> int:
        """The number of the region that starts at this word."""
        return (base - HEADER_WORDS) // WORKER_WORDS

    def column(self, word: int) -> list[int]:
        """One word of every region that can be in use."""
        end = self.worker_base(self.words[H_REGIONS])
        return self.words[HEADER_WORDS + word : end : WORKER_WORDS].tolist()

    def clear_worker(self, index: int) -> None:
        """Zero a worker's region before a new worker gets it."""
        start = self.worker_base(index) * WORD
        self.data[start : start + WORKER_WORDS * WORD] = bytes(WORKER_WORDS * WORD)

    def clear_slot(self, slot: int) -> None:
        """Zero a slot before a new connection gets it."""
        start = self.slot_base(slot) * WORD
        self.data[start : start + SLOT_WORDS * WORD] = bytes(SLOT_WORDS * WORD)

    def write_head(self, base: int, head: bytes) -> None:
        """Write the method and path of the current request, cut to HEAD_ROOM."""
        text = head[:HEAD_ROOM]
        start = (base + S_HEAD) * WORD
        words, version = self.words, self.words[base + S_HEAD_VERSION]
        words[base + S_HEAD_VERSION] = version + 1
        words[base + S_HEAD_LENGTH] = len(text)
        self.data[start : start + len(text)] = text
        words[base + S_HEAD_VERSION] = version + 2

    def read_live(self, slot: int) -> Slot | None:
        """Read a slot whose writer is alive; None if it was being written at every attempt."""
        version = self.slot_base(slot) + S_HEAD_VERSION
        for _ in range(READS):
            before = self.words[version]
            found = self.read_slot(slot)
            if before % 2 == 0 and before == self.words[version]:
                return found
        return None

    def slot_state(self, slot: int) -> int:
        """The low byte of a slot's first word: see `SlotState`."""
        return int(self.words[self.slot_base(slot)]) & 0xFF

    def slot_states(self, end: int) -> list[int]:
        """The low byte of each slot's first word, for the slots before `end`: see `SlotState`."""
        first = self._first_slot
        return [word & 0xFF for word in self.words[first : first + end * SLOT_WORDS : SLOT_WORDS].tolist()]

    def read_slot(self, slot: int) -> Slot:
        """Read a slot; reliable once its writer is dead or has released it."""
        base = self.slot_base(slot)
        word = self.words[base]
        length = min(self.words[base + S_HEAD_LENGTH], HEAD_ROOM)
        start = (base + S_HEAD) * WORD
        return Slot(
            state=_state(word & 0xFF),
            consumed=bool(word & CONSUMED),
            ends=bool(word & ENDS),
            framed=bool(word & FRAMED),
            sequence=word >> _SEQUENCE_SHIFT,
            attempt=self.words[base + S_ATTEMPT],
            since=self.words[base + S_SINCE],
            deadline=self.words[base + S_DEADLINE],
            written0=self.words[base + S_WRITTEN0],
            written_end=self.words[base + S_WRITTEN_END],
            consumed0=self.words[base + S_CONSUMED0],
            consume_to=self.words[base + S_CONSUME_TO],
            thread=self.words[base + S_THREAD],
            head=self.data[start : start + length].decode("latin-1"),
        )


def _state(value: int) -> SlotState:
    """A state, whatever a crashing worker left there: an invalid value counts as CLOSING."""
    try:
        return SlotState(value)
    except ValueError:
        return SlotState.CLOSING


def required(workers: int, slots: int) -> int:
    """Bytes of memory for these numbers of workers and slots."""
    return (HEADER_WORDS + workers * WORKER_WORDS + slots * SLOT_WORDS) * WORD
