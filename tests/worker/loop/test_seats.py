"""Seats: what a thread notes about itself, and how it waits for a client."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from twistcorn.syntax import MAX_SECONDS
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.loop.stream import SCRATCH_BYTES


class Journal:
    """Records when a seat waits for its client (`seats.Aside`)."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.seats: set[Seat] = set()

    def stand_aside(self, seat: Seat) -> None:
        self.told.append("aside")

    def come_back(self, seat: Seat) -> None:
        self.told.append("back")


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def seat(journal: Journal) -> Iterator[Seat]:
    made = Seat(journal)
    yield made
    made.close()


class TestThread:
    def test_names(self, seat: Seat) -> None:
        """They are those of the thread that makes it, and its buffer holds what `consume` takes at once."""
        assert (seat.thread, seat.ident) == (threading.get_native_id(), threading.get_ident())
        assert len(seat.scratch) == SCRATCH_BYTES

    def test_gate_is_shut(self, seat: Seat) -> None:
        """An idle thread waits there until another one releases it."""
        assert not seat.gate.acquire(blocking=False)
        seat.gate.release()
        assert seat.gate.acquire(blocking=False)


class TestDelay:
    def test_time_passes(self, seat: Seat) -> None:
        """It is some nanoseconds, and never becomes less."""
        first = seat.delay()
        os.sched_yield()

        assert 0 <= first <= seat.delay()

    def test_other_threads(self, seat: Seat) -> None:
        """It returns its own thread's delay, on any thread."""
        with open(f"/proc/self/task/{seat.thread}/schedstat") as file:
            before = int(file.read().split()[1])
        told: list[int] = []
        asking = threading.Thread(target=lambda: told.append(seat.delay()))
        asking.start()
        asking.join()

        assert told[0] >= before

    def test_kernel_does_not_tell(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then no call has an excuse."""

        def refuse(*args: Any) -> int:
            raise FileNotFoundError

        monkeypatch.setattr("twistcorn.worker.loop.seats.os.open", refuse)
        seat = Seat(journal)
        assert seat.delay() == 0
        seat.close()

    def test_thread_has_ended(self, journal: Journal) -> None:
        """Its descriptor is closed once, and the delay is 0 from then on."""
        seat = Seat(journal)
        seat.close()
        seat.close()

        assert seat.delay() == 0


class TestClient:
    @pytest.fixture
    def sock(self) -> Iterator[socket.socket]:
        """A socket whose other end reads nothing."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            yield ours

    def test_takes_more(self, seat: Seat, journal: Journal, sock: socket.socket) -> None:
        """The thread stood aside meanwhile, and is back."""
        assert seat.await_client(sock, 10.0)
        assert journal.told == ["aside", "back"]

    def test_may_take_years(self, seat: Seat, sock: socket.socket) -> None:
        """A write time-out beyond the bound of poll(2) is cut to that."""
        assert seat.await_client(sock, MAX_SECONDS)

    def test_takes_nothing(self, seat: Seat, journal: Journal, sock: socket.socket) -> None:
        """It waits no longer than its time-out."""
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(65536))

        assert not seat.await_client(sock, 0.01)
        assert journal.told == ["aside", "back"]

    def test_is_gone(self, seat: Seat, journal: Journal) -> None:
        """The wait returns at once; the next send raises the error."""
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            assert seat.await_client(ours, 10.0)

    def test_wait_fails(
        self, seat: Seat, journal: Journal, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The thread comes back all the same: its place is never lost."""

        class Broken:
            def register(self, *args: Any) -> None: ...

            def poll(self, timeout: float) -> Any:
                raise KeyboardInterrupt

        monkeypatch.setattr("twistcorn.worker.loop.seats.select.poll", Broken)
        with pytest.raises(KeyboardInterrupt):
            seat.await_client(sock, 10.0)
        assert journal.told == ["aside", "back"]
