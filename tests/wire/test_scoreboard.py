"""The claims of twistcorn.wire.scoreboard: the layout, and what one mapping writes and another reads."""

from __future__ import annotations

import fcntl
import itertools
import os
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.wire import scoreboard, statuses
from twistcorn.wire.scoreboard import (
    CONSUMED,
    ENDS,
    FRAMED,
    HEAD_ROOM,
    Scoreboard,
    Slot,
    SlotState,
    pack_state,
    required,
)

WORD = scoreboard.WORD

#: Words that a field has, where that is not one.
SPANS = {
    "W_STATUS": statuses.SIZE,
    "W_LED_STATUS": statuses.SIZE,
    "W_LATENCY": scoreboard.LATENCY_BUCKETS,
    "W_LED_LATENCY": scoreboard.LATENCY_BUCKETS,
    "W_QUEUE_TIME": scoreboard.LATENCY_BUCKETS,
    "S_CLIENT": 48 // WORD,
    "S_HEAD": HEAD_ROOM // WORD,
}

WORKERS, SLOTS = 4, 6


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    """A small scoreboard, as the master creates it."""
    created = Scoreboard.create(WORKERS, SLOTS)
    yield created
    created.close()


@pytest.fixture
def other(board: Scoreboard) -> Iterator[Scoreboard]:
    """The same memory, as a worker maps it."""
    mapped = Scoreboard(os.dup(board.fd), WORKERS, SLOTS)
    yield mapped
    mapped.close()


def fields(prefix: str) -> dict[str, range]:
    """The words of each field of the header (`H_`), of a worker's region (`W_`) or of a slot (`S_`)."""
    starts = {name: start for name, start in vars(scoreboard).items() if name.startswith(prefix)}
    return {name: range(start, start + SPANS.get(name, 1)) for name, start in starts.items()}


def _write_by_turns(board: Scoreboard, base: int, texts: Sequence[bytes], done: threading.Event) -> None:
    """A worker that writes one text after the other."""
    for text in itertools.cycle(texts):
        board.write_head(base, text)
        if done.is_set():
            return


class TestLayout:
    @pytest.mark.parametrize(
        ("prefix", "size"),
        [("H_", scoreboard.HEADER_WORDS), ("W_", scoreboard.WORKER_WORDS), ("S_", scoreboard.SLOT_WORDS)],
    )
    def test_fields_lie_side_by_side(self, prefix: str, size: int) -> None:
        """No field overlaps another one, or exceeds its region."""
        used = [word for span in fields(prefix).values() for word in span]

        assert len(used) == len(set(used))
        assert set(used) <= set(range(size))

    def test_sizes(self) -> None:
        """A slot is four cache lines; no line is shared by two regions, or with the header."""
        assert scoreboard.SLOT_WORDS * WORD == 256
        assert scoreboard.WORKER_WORDS * WORD % 64 == scoreboard.HEADER_WORDS * WORD % 64 == 0

    def test_every_place_is_its_own(self, board: Scoreboard) -> None:
        """Header, regions and slots do not overlap, and together they are the whole memory."""
        header = [(0, scoreboard.HEADER_WORDS)]
        regions = [(board.worker_base(index), scoreboard.WORKER_WORDS) for index in range(WORKERS)]
        slots = [(board.slot_base(slot), scoreboard.SLOT_WORDS) for slot in range(SLOTS)]
        words = [word for start, size in header + regions + slots for word in range(start, start + size)]

        assert sorted(words) == list(range(len(board.words)))
        assert required(WORKERS, SLOTS) == len(words) * WORD == len(board.data)

    def test_flags_are_in_their_bits(self) -> None:
        """State, flags and sequence do not touch one another in their word."""
        assert max(SlotState) <= 0xFF
        assert pack_state(0xFF, 0, 0) & CONSUMED == 0
        assert pack_state(0, 0xFF00, 0) >> 32 == 0
        assert pack_state(0xFF, 0xFF00, (1 << 32) - 1) < 1 << 64


class TestSlot:
    def test_new_slot(self, board: Scoreboard) -> None:
        """It is free, and says nothing."""
        assert board.read_slot(0) == Slot(SlotState.FREE, False, False, False, 0, 0, 0, 0, 0, 0, 0, 0, 0, "")

    def test_worker_writes(self, board: Scoreboard, other: Scoreboard) -> None:
        """What one process writes into each field, another one reads by its name."""
        base = other.slot_base(3)
        other.words[base] = pack_state(SlotState.IN_APP, CONSUMED | ENDS | FRAMED, 77)
        for number, word in enumerate(
            (
                scoreboard.S_ATTEMPT,
                scoreboard.S_SINCE,
                scoreboard.S_DEADLINE,
                scoreboard.S_WRITTEN0,
                scoreboard.S_WRITTEN_END,
                scoreboard.S_CONSUMED0,
                scoreboard.S_CONSUME_TO,
                scoreboard.S_THREAD,
            ),
            1,
        ):
            other.words[base + word] = number
        other.write_head(base, b"GET /caf\xe9")

        assert board.read_slot(3) == Slot(SlotState.IN_APP, True, True, True, 77, 1, 2, 3, 4, 5, 6, 7, 8, "GET /café")
        assert board.read_slot(2) == board.read_slot(4) == board.read_slot(0)

    @given(st.sampled_from(SlotState), st.booleans(), st.integers(0, (1 << 32) - 1))
    def test_any_first_word(self, state: SlotState, consumed: bool, sequence: int) -> None:
        """State, flag and sequence come out of the word as they went in."""
        board = Scoreboard.create(1, 1)
        board.words[board.slot_base(0)] = pack_state(state, CONSUMED if consumed else 0, sequence)
        slot = board.read_slot(0)
        board.close()

        assert (slot.state, slot.consumed, slot.sequence) == (state, consumed, sequence)

    def test_path_is_long(self, board: Scoreboard) -> None:
        """The text is cut to its room, and the next slot stays as it was."""
        before = board.read_slot(1)
        board.write_head(board.slot_base(0), b"GET /" + b"x" * 9000)

        assert board.read_slot(0).head == "GET /" + "x" * (HEAD_ROOM - 5)
        assert board.read_slot(1) == before

    def test_shorter_path_follows(self, board: Scoreboard) -> None:
        """Nothing of the request before it is read."""
        board.write_head(board.slot_base(0), b"POST /a/long/path")
        board.write_head(board.slot_base(0), b"GET /")

        assert board.read_slot(0).head == "GET /"

    def test_dead_worker_left_a_wrong_length(self, board: Scoreboard) -> None:
        """A length beyond the room reads no further than the room."""
        board.words[board.slot_base(0) + scoreboard.S_HEAD_LENGTH] = (1 << 64) - 1

        assert len(board.read_slot(0).head) == HEAD_ROOM

    def test_text_of_a_living_worker(self, board: Scoreboard, other: Scoreboard) -> None:
        """What is read while another writes is one of the texts, never a part of one and a part of the other."""
        base, texts = board.slot_base(0), (b"GET /" + b"a" * 90, b"PUT /" + b"b" * 50)
        board.write_head(base, texts[0])
        done = threading.Event()
        writer = threading.Thread(target=_write_by_turns, args=(other, base, texts, done))
        sys.setswitchinterval(1e-6)
        try:
            writer.start()
            seen = {found.head for _ in range(2000) if (found := board.read_live(0)) is not None}
        finally:
            done.set()
            writer.join()
            sys.setswitchinterval(0.005)

        assert seen <= {text.decode() for text in texts}
        assert seen

    def test_writer_died_at_it(self, board: Scoreboard) -> None:
        """A text that will never be complete is not returned."""
        board.write_head(board.slot_base(0), b"GET /")
        board.words[board.slot_base(0) + scoreboard.S_HEAD_VERSION] += 1

        assert board.read_live(0) is None

    def test_states_of_many(self, board: Scoreboard) -> None:
        """The states of the first slots, without their flags."""
        board.words[board.slot_base(1)] = pack_state(SlotState.IN_APP, CONSUMED | ENDS | FRAMED, 77)

        assert board.slot_states(3) == [SlotState.FREE, SlotState.IN_APP, SlotState.FREE]
        assert board.slot_state(1) == SlotState.IN_APP

    @pytest.mark.parametrize("value", [max(SlotState) + 1, 0xEF, 0xFF])
    def test_dead_worker_left_a_state_that_is_none(self, board: Scoreboard, value: int) -> None:
        """It is read as CLOSING: nothing there is reliable."""
        board.words[board.slot_base(0)] = value

        assert board.read_slot(0).state is SlotState.CLOSING

    @pytest.mark.parametrize("slot", [0, 3, SLOTS - 1])
    def test_slot_is_cleared(self, board: Scoreboard, slot: int) -> None:
        """All of it is zero, and nothing else."""
        fill(board)
        board.clear_slot(slot)
        start = board.slot_base(slot)

        assert zeros(board) == set(range(start, start + scoreboard.SLOT_WORDS))


class TestRegion:
    @pytest.mark.parametrize("index", [0, 2, WORKERS - 1])
    def test_region_is_cleared(self, board: Scoreboard, index: int) -> None:
        """A new worker starts from zero; its neighbours keep what they count."""
        fill(board)
        board.clear_worker(index)
        start = board.worker_base(index)

        assert zeros(board) == set(range(start, start + scoreboard.WORKER_WORDS))

    def test_worker_counts(self, board: Scoreboard, other: Scoreboard) -> None:
        """The master reads what a worker counts, with no message sent."""
        other.words[other.worker_base(2) + scoreboard.W_BUSY] = 5

        assert [board.words[board.worker_base(index) + scoreboard.W_BUSY] for index in range(WORKERS)] == [0, 0, 5, 0]


class TestHeader:
    def test_server_stops(self, board: Scoreboard, other: Scoreboard) -> None:
        """Every worker sees it at once, with no message sent."""
        assert other.words[scoreboard.H_STOPPING] == 0
        board.words[scoreboard.H_STOPPING] = 1

        assert other.words[scoreboard.H_STOPPING] == 1


class TestMemory:
    def test_master_starts_a_program(self, board: Scoreboard) -> None:
        """The memory's descriptor is closed on exec; workers get theirs on purpose."""
        assert fcntl.fcntl(board.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

    def test_closed(self) -> None:
        """Nothing stays open."""
        board = Scoreboard.create(1, 1)
        board.close()

        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(board.fd)
        with pytest.raises(ValueError, match="closed"):
            board.data[0]


def fill(board: Scoreboard) -> None:
    """Set every word to a value other than zero."""
    for word in range(len(board.words)):
        board.words[word] = word + 1


def zeros(board: Scoreboard) -> set[int]:
    """The words that are zero."""
    return {word for word, value in enumerate(board.words) if not value}
