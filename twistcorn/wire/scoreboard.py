"""The scoreboard: a memory file that the master and every worker map, and its layout in one place.

Law: all offsets stand here and nowhere else. Each field has one writer at a time: a worker's region belongs to that
worker, a slot belongs to the master while nobody holds the connection and to the holder while it is lent. A word is
eight aligned bytes, which do not tear; text has a version that is odd while it is written, so that a reader of a living
worker's text sees whether it was all of one piece.
"""

from __future__ import annotations

import enum
import mmap
from typing import NamedTuple

from ..pristine import os

#: Worker regions. Workers that drain still have theirs: room for the most workers and fifteen generations of them.
REGIONS = 4096
#: Words (of 8 bytes) in a worker's region and in a connection's slot.
WORKER_WORDS = 640
SLOT_WORDS = 32
WORD = 8

#: Words before the regions, for what the master tells everybody: whether the server stops, how many requests wait with
#: the master for a thread, and the number of regions that can be in use.
HEADER_WORDS = 8
H_STOPPING, H_QUEUED, H_REGIONS = range(3)

# Words of a worker's region: first what is so now. W_BUSY: requests in the application or waiting for a thread.
# W_THREADS: app threads while it takes connections, else 0; W_INCOMING: lends on their way to it, which the master
# counts. Then what `worker.vitals` notes: bytes, nanoseconds of processor time, threads and descriptors of the process;
# by how many nanoseconds the loop was late last, and at most within a minute.
W_PID, W_GENERATION, W_HEARTBEAT, W_BUSY, W_CONNECTIONS, W_THREADS, W_INCOMING = range(7)
# Whether the application counts something of its own, with prometheus_client; bytes of request bodies that are kept.
W_RSS, W_PSS, W_CPU, W_OS_THREADS, W_FDS, W_LAG, W_WORST_LAG, W_EXPORTS, W_SPOOLED = range(7, 16)
#: From here on all words count, and only grow: `master.totals` adds them up, beyond the life of a worker.
COUNTED_FROM = 16
# Requests answered by turns in threads of their own, and by turns on the leader's: one writer each, here and below.
# Then requests that were refused; that were given back because all threads were busy; bytes received and sent.
W_REQUESTS, W_LED_REQUESTS, W_ERRORS, W_HOPS, W_RECEIVED, W_SENT = range(16, 22)
#: Nanoseconds that these requests took, and that requests waited for a thread.
W_LATENCY_SUM, W_LED_LATENCY_SUM, W_QUEUE_SUM = 22, 23, 24
#: How many took how long. Bucket n counts what took less than 2**n * LATENCY_STEP nanoseconds; the last takes the rest.
LATENCY_BUCKETS, LATENCY_STEP = 24, 64_000
W_LATENCY, W_LED_LATENCY, W_QUEUE_TIME = 32, 56, 80
#: Tables of requests by method and status: see `statuses`.
W_STATUS, W_LED_STATUS = 112, 368

# Words of a slot.
S_STATE, S_ATTEMPT, S_SINCE, S_DEADLINE, S_WRITTEN0, S_WRITTEN_END, S_CONSUME_TO, S_THREAD = range(8)
#: S_THREAD is `threading.get_ident()` of the thread that runs the request, which is what faulthandler writes; 0: none.
#: Room for the client address that PROXY protocol told (48 bytes), then the version of the head's text, its length, and
#: the text itself.
S_CLIENT = 8
S_HEAD_VERSION, S_HEAD_LENGTH = 14, 15
S_HEAD = 16
#: Where the present or next request begins in the stream from the client; since when it waited for a thread (monotonic
#: nanoseconds, 0: it did not), which survives a hop to another worker.
S_CONSUMED0, S_QUEUED = 29, 30
#: From when on the present request's time counts, where that is later than S_SINCE: monotonic nanoseconds.
S_RESTART = 31
HEAD_ROOM = (S_CONSUMED0 - S_HEAD) * WORD
#: How often a text is read again that was just being written; a writer that died at it would never be done.
READS = 4


class SlotState(enum.IntEnum):
    """What is being done with a connection; the low byte of a slot's first word."""

    FREE = 0
    IDLE = 1
    READING = 2
    IN_APP = 3
    RESPONDING = 4
    CLOSING = 5


#: Flag: bytes of the current request have been taken from the kernel, so nobody else can read it.
CONSUMED = 1 << 8
#: Flag: the connection ends behind the response that is being sent.
ENDS = 1 << 9
#: Flag: the response that is being sent tells its client where it ends, so that a part of it looks like one.
FRAMED = 1 << 10
_SEQUENCE_SHIFT = 32


def pack_state(state: int, flags: int, sequence: int) -> int:
    """One word of state, flags and the lend's sequence."""
    return state | flags | sequence << _SEQUENCE_SHIFT


class Slot(NamedTuple):
    """What a slot says of its connection.

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
    """The mapped memory: word access for the hot paths, named access for the rest.

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
        """A new one in a memory file (memfd_create(2)); untouched pages cost nothing."""
        fd = os.memfd_create("twistcorn-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(fd, required(workers, slots))
        return cls(fd, workers, slots)

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self.data.close()
        os.close(self.fd)

    def announce_stop(self) -> None:
        """The server stops: no order is as fast as this word, which every response looks at."""
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
        """The region that begins with this word."""
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
        """Note the method and path of the current request, cut to the room there is."""
        text = head[:HEAD_ROOM]
        start = (base + S_HEAD) * WORD
        words, version = self.words, self.words[base + S_HEAD_VERSION]
        words[base + S_HEAD_VERSION] = version + 1
        words[base + S_HEAD_LENGTH] = len(text)
        self.data[start : start + len(text)] = text
        words[base + S_HEAD_VERSION] = version + 2

    def read_live(self, slot: int) -> Slot | None:
        """What the slot says while its writer lives; None where that was writing all the while."""
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
        """What the slot says; true once its writer is dead or has released it."""
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
    """A state, whatever a crashing worker left there: nothing that could be relied on means an end."""
    try:
        return SlotState(value)
    except ValueError:
        return SlotState.CLOSING


def required(workers: int, slots: int) -> int:
    """Bytes of memory for so many workers and slots."""
    return (HEADER_WORDS + workers * WORKER_WORDS + slots * SLOT_WORDS) * WORD
