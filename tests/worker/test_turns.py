"""Turns: how many threads run the application, and when another one is woken."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from twistcorn.wire.scoreboard import W_BUSY, W_REQUESTS, Scoreboard
from twistcorn.worker.turns import CLIP, TICK, WAITS, Seat, Turns, Waiting

#: How long anything may take that happens in another thread.
PATIENCE = 10.0


class Held:
    """A turn that says when it runs, and ends when it is let."""

    def __init__(self, act: Callable[[Seat], object] = lambda seat: None) -> None:
        self._act = act
        self.running = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()
        self.seat: Seat

    def __call__(self, seat: Seat) -> None:
        self.seat = seat
        self.running.set()
        assert self.go.wait(PATIENCE)
        try:
            self._act(seat)
        finally:
            self.ended.set()

    def runs(self) -> bool:
        return self.running.wait(PATIENCE)

    def end(self) -> None:
        self.go.set()
        assert self.ended.wait(PATIENCE)


class Pool:
    """Turns on a clock that is moved by hand."""

    def __init__(self, threads: int) -> None:
        self.board = Scoreboard.create(1, 1)
        self.clock = Clock()
        self.turns = Turns(self.clock, threads, self.board, self.board.worker_base(0))
        before = set(threading.enumerate())
        self.turns.start()
        self.threads = set(threading.enumerate()) - before
        self.until_parked(threads)

    def word(self, word: int) -> int:
        return int(self.board.words[self.board.worker_base(0) + word])

    def until_parked(self, count: int) -> None:
        """Wait until so many threads have nothing to do."""
        begun = time.monotonic()
        while len(self.turns._parked) != count:
            assert time.monotonic() - begun < PATIENCE, f"{len(self.turns._parked)} threads are parked"
            time.sleep(0)

    def close(self) -> None:
        """Let every thread end: they are daemons, and in a worker nobody does this."""
        with self.turns._lock:
            self.turns.threads = 0
            while self.turns._parked:
                self.turns._parked.pop().release()
        for thread in threading.enumerate():
            if thread.name.startswith("app-"):
                thread.join(PATIENCE)
        self.board.close()


def fill(sock: socket.socket) -> None:
    """Send until there is no more room."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


Make = Callable[[int], Pool]


@pytest.fixture
def pool() -> Iterator[Make]:
    made: list[Pool] = []

    def make(threads: int) -> Pool:
        made.append(Pool(threads))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("app-")] == []


class TestCounts:
    def test_turn_is_submitted(self, pool: Make) -> None:
        """It counts as running from then on, also while it waits for a thread, until it says that it has ended."""
        two = pool(1)
        first, second = Held(), Held()
        two.turns.submit(first)
        assert first.runs()
        two.turns.submit(second)
        assert (two.turns.running, two.word(W_BUSY), two.word(W_REQUESTS)) == (2, 2, 0)

        first.end()
        two.turns.ended()
        assert (two.turns.running, two.word(W_BUSY), two.word(W_REQUESTS)) == (1, 1, 1)
        assert second.runs()
        second.end()
        two.turns.ended()
        assert (two.turns.running, two.word(W_BUSY), two.word(W_REQUESTS)) == (0, 0, 2)


class TestThreads:
    def test_turn_raises(self, pool: Make) -> None:
        """Its thread goes on with the next one, whatever was raised, and the log is told."""
        one = pool(1)
        with capturedLogs() as events:
            for error in (KeyError("a"), SystemExit(1), KeyboardInterrupt()):

                def raises(seat: Seat, error: BaseException = error) -> None:
                    raise error

                one.turns.submit(raises)
                one.until_parked(1)
            held = Held()
            one.turns.submit(held)
            assert held.runs()
            held.end()

        assert [event["log_format"] for event in events] == ["internal error in a turn"] * 3
        assert {thread.name for thread in one.threads} == {"app-1"}

    def test_seat(self, pool: Make) -> None:
        """Each thread has one of its own, with its native id, for all its turns."""
        two = pool(2)
        held = [Held(), Held(), Held()]
        two.turns.submit(held[0])
        assert held[0].runs()
        two.turns.submit(held[1])
        two.clock.advance(TICK)
        assert held[1].runs()
        held[0].end()
        two.until_parked(1)
        two.turns.submit(held[2])
        two.clock.advance(TICK)
        assert held[2].runs()

        assert held[0].seat is held[2].seat
        assert held[0].seat.scratch is not held[1].seat.scratch
        assert {each.seat.thread for each in held} == {thread.native_id for thread in two.threads}
        held[1].end()
        held[2].end()

    def test_threads_are_daemons(self, pool: Make) -> None:
        """A stuck application does not keep a worker from leaving."""
        assert all(thread.daemon for thread in pool(3).threads)


class TestWaking:
    def test_application_does_not_wait(self, pool: Make) -> None:
        """One thread takes turn after turn, in their order."""
        four = pool(4)
        ran: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        first = Held()
        four.turns.submit(first)
        assert first.runs()
        for number in range(10):
            four.turns.submit(lambda seat, number=number: ran.put((number, seat.thread)))  # type: ignore[misc]
        first.end()

        assert [ran.get(timeout=PATIENCE) for _ in range(10)] == [(n, first.seat.thread) for n in range(10)]

    def test_application_waits(self, pool: Make) -> None:
        """A turn that waits for a thread gets another at the tick, and not before; then the next one does."""
        three = pool(3)
        held = [Held(), Held(), Held(), Held()]
        for each in held:
            three.turns.submit(each)
        assert held[0].runs()
        assert not held[1].running.is_set()

        three.clock.advance(TICK)
        assert held[1].runs()
        three.clock.advance(TICK)
        assert held[2].runs()
        three.clock.advance(TICK)
        assert not held[3].running.is_set()
        held[1].end()
        assert held[3].runs()
        for each in held:
            each.end()

    def test_ticks_end(self, pool: Make) -> None:
        """A worker with nothing to do is not woken."""
        two = pool(2)
        held = [Held(), Held()]
        for each in held:
            two.turns.submit(each)
        assert held[0].runs()
        held[0].end()
        assert held[1].runs()
        held[1].end()
        two.until_parked(2)
        two.clock.pump([TICK] * 5)

        assert two.clock.getDelayedCalls() == []

    def test_application_has_waited(self, pool: Make) -> None:
        """Another thread is woken at once where the last calls waited."""
        two = pool(2)
        for _ in range(8):
            two.turns._waiting.sample(CLIP, 0)
        held = [Held(), Held()]
        for each in held:
            two.turns.submit(each)

        assert all(each.runs() for each in held)
        assert two.clock.getDelayedCalls() == []
        for each in held:
            each.end()


class TestAside:
    def test_client_is_slow(self, pool: Make) -> None:
        """While a thread waits for its client another has its place in the application; then it is one too many."""
        one = pool(1)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with ours, theirs:
            fill(ours)
            slow = Held(lambda seat: seat.await_client(ours, PATIENCE))
            one.turns.submit(slow)
            assert slow.runs()
            slow.go.set()
            other = Held()
            one.turns.submit(other)
            assert other.runs()
            assert other.seat is not slow.seat
            other.end()
            while not slow.ended.wait(0.001):
                with contextlib.suppress(BlockingIOError):
                    theirs.recv(1 << 20)

        one.until_parked(1)
        again = Held()
        one.turns.submit(again)
        assert again.runs()
        again.end()

    @pytest.mark.parametrize("leaves", [True, False])
    def test_client_takes_nothing(self, pool: Make, leaves: bool) -> None:
        """The wait is over after its time; when the client is gone it is over at once, and the next send will tell."""
        one = pool(1)
        told: queue.SimpleQueue[bool] = queue.SimpleQueue()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            fill(ours)
            if leaves:
                theirs.close()
            one.turns.submit(lambda seat: told.put(seat.await_client(ours, PATIENCE if leaves else 0.01)))

            assert told.get(timeout=PATIENCE) is leaves


class TestWaiting:
    def test_calls_do_not_wait(self) -> None:
        """Calls that use the processor, however long, are not waiting."""
        waiting = Waiting()
        for _ in range(20):
            waiting.sample(5_000_000, 4_999_000)

        assert not waiting.likely

    def test_calls_wait(self) -> None:
        """A few calls that wait for something are enough."""
        waiting = Waiting()
        for _ in range(3):
            waiting.sample(1_000_000, 1_000)

        assert waiting.likely

    def test_one_call_waits_for_long(self) -> None:
        """It counts no more than the bound, and is forgotten."""
        waiting = Waiting()
        waiting.sample(10**12, 0)
        assert waiting.mean == CLIP / 8

        for _ in range(10):
            waiting.sample(1000, 1000)
        assert waiting.mean < WAITS

    def test_clocks_disagree(self) -> None:
        """More processor time than time is no waiting."""
        waiting = Waiting()
        waiting.sample(1000, 2000)

        assert waiting.mean == 0
