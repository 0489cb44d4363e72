"""The claims of twistcorn.worker.turns.deadlines: which requests time out, which are reported as stuck, and that no
other is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.worker.process.test_interrupt import Asleep
from twistcorn.errors import RequestTimeout
from twistcorn.wire.scoreboard import Scoreboard
from twistcorn.worker.http.request import RequestLine
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.seats import AT_EASE, FIRED
from twistcorn.worker.turns.deadlines import CHECK_SECONDS, GRACE_NANOSECONDS, Deadlines

SECOND = 1_000_000_000
START = 1000 * SECOND
LINE = RequestLine("GET", b"/", b"/", b"", (1, 1))


class Room:
    """Threads with requests, and the check of their time-outs; requests may take 3 s.

    :ivar told: the connections with stuck requests, one entry for each report.
    """

    def __init__(self, timeout: float = 3.0) -> None:
        self.now = START
        self.clock = Clock()
        self.board = Scoreboard.create(1, 4)
        self.threads: list[Asleep] = []
        self.told: list[list[int]] = []
        self._slots = iter(range(4))
        self.deadlines = Deadlines(
            self.clock, timeout, lambda: [thread.seat for thread in self.threads],
            lambda stuck: self.told.append([connection.slot for connection in stuck]), lambda: self.now,
        )  # fmt: skip

    def connection(self) -> Connection:
        made = Connection(self.board, None, next(self._slots), 1, 0, ("", ""))  # type: ignore[arg-type]
        made.redo_log.write_in_app(LINE, threading.get_ident(), self.now)
        return made

    def runs(self) -> tuple[Asleep, Connection]:
        """A thread runs a request, from now on."""
        thread, connection = Asleep(), self.connection()
        self.threads.append(thread)
        thread.seat.exposed = connection
        return thread, connection

    def passes(self, seconds: float) -> None:
        """Time passes, and the seats are checked once."""
        self.now += int(seconds * SECOND)
        self.deadlines.check()

    def raised(self) -> list[list[type[BaseException]]]:
        """All threads go on; what was raised in each."""
        threads, self.threads = self.threads, []
        return [thread.end() for thread in threads]

    def close(self) -> None:
        self.raised()
        self.board.close()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.close()


HIT, SPARED = [RequestTimeout], list[type[BaseException]]()


class TestTime:
    def test_it_is_not_over(self, room: Room) -> None:
        """Nothing happens until the time-out."""
        room.runs()
        room.passes(3.0)

        assert room.raised() == [SPARED]

    def test_it_is_over(self, room: Room) -> None:
        """The thread is hit; the thread of a younger request is not."""
        room.runs()
        room.now += SECOND
        room.runs()
        room.passes(2.1)

        assert room.raised() == [HIT, SPARED]

    def test_thread_runs_no_application(self, room: Room) -> None:
        """It is spared, whatever it ran before: it waits for a client, or for the next request."""
        thread, _ = room.runs()
        thread.seat.exposed = None
        room.passes(60)

        assert room.raised() == [SPARED]

    def test_next_request_of_the_connection(self, room: Room) -> None:
        """Its time is its own."""
        _, connection = room.runs()
        room.passes(2.9)
        connection.redo_log.write_in_app(LINE, 1, room.now)
        room.passes(2.9)

        assert room.raised() == [SPARED]

    def test_piece_of_the_answer_was_made(self, room: Room) -> None:
        """Time begins anew at each."""
        _, connection = room.runs()
        for _ in range(5):
            room.passes(2.9)
            connection.redo_log.restart_clock(room.now)
        assert room.told == []

        room.passes(3.1)
        assert room.raised() == [HIT]

    def test_hit_request_is_hit_once(self, room: Room) -> None:
        """A second exception would come in what handles the first."""
        thread, _ = room.runs()
        room.passes(3.1)
        thread.seat.aim = AT_EASE
        room.passes(0.5)

        assert thread.seat.aim == AT_EASE
        assert room.raised() == [HIT]


class TestExtended:
    def test_application_asked_for_longer(self, room: Room) -> None:
        """It has these seconds more, and no others."""
        _, connection = room.runs()
        connection.redo_log.extend_deadline(10)
        room.passes(12.9)
        assert connection.redo_log.since == START, "its name stays"

        room.passes(0.2)
        assert room.raised() == [HIT]

    def test_application_asked_twice(self, room: Room) -> None:
        """Both count."""
        _, connection = room.runs()
        connection.redo_log.extend_deadline(10)
        connection.redo_log.extend_deadline(5)
        room.passes(17.9)

        assert room.raised() == [SPARED]

    @pytest.mark.parametrize("seconds", [0, -10])
    def test_application_asked_for_nothing(self, room: Room, seconds: float) -> None:
        """Nothing is taken from what it has."""
        _, connection = room.runs()
        connection.redo_log.extend_deadline(seconds)
        room.passes(2.9)

        assert room.raised() == [SPARED]

    def test_piece_of_the_answer_was_made_then(self, room: Room) -> None:
        """What it asked for stays: a piece never shortens it."""
        _, connection = room.runs()
        connection.redo_log.extend_deadline(60)
        connection.redo_log.restart_clock(room.now)
        room.passes(62)

        assert room.raised() == [SPARED]

    def test_hit_request_asks_for_longer(self, room: Room) -> None:
        """It may have handled the exception: it is not stuck, and hit again when that time is over."""
        thread, connection = room.runs()
        room.passes(3.1)
        connection.redo_log.extend_deadline(10)
        room.passes(2)
        assert room.told == []
        thread.seat.aim = AT_EASE

        room.passes(9)
        assert thread.seat.aim == FIRED

    def test_next_request(self, room: Room) -> None:
        """It has no more time than any other."""
        _, connection = room.runs()
        connection.redo_log.extend_deadline(60)
        connection.redo_log.write_in_app(LINE, 1, room.now)
        room.passes(3.1)

        assert room.raised() == [HIT]


class TestStuck:
    def test_it_has_a_second(self, room: Room) -> None:
        """Nothing is reported before."""
        room.runs()
        room.passes(3.1)
        room.passes(GRACE_NANOSECONDS / SECOND)

        assert room.told == []

    def test_it_outlives_that(self, room: Room) -> None:
        """It is reported, once, and the log shows where all threads are."""
        thread, _ = room.runs()
        with capturedLogs() as logged:
            room.passes(3.1)
            for _ in range(5):
                room.passes(1.1)

        (text,) = map(formatEvent, logged)
        assert text.startswith("a request: 4.2 s, over --request-timeout 3 s, still running after RequestTimeout;")
        stacks = text.split("\nthread ")
        (its,) = [stack for stack in stacks if f"({thread.thread.native_id})" in stack.partition("\n")[0]]
        assert "in _run\n" in its, "the stack of its thread"
        assert room.told == [[0]]

    def test_it_ends_after_all(self, room: Room) -> None:
        """That no request is stuck any more is reported, too."""
        thread, _ = room.runs()
        room.passes(3.1)
        room.passes(1.1)
        thread.seat.exposed = None
        room.passes(0.1)

        assert room.told == [[0], []]

    def test_another_one_gets_stuck(self, room: Room) -> None:
        """Both are reported, and the stacks are logged again."""
        room.runs()
        room.passes(1)
        room.runs()
        with capturedLogs() as logged:
            room.passes(2.1)
            for _ in range(5):
                room.passes(1.1)

        assert (room.told, len(logged)) == ([[0], [0, 1]], 2)

    def test_one_ends_as_another_one_gets_stuck(self, room: Room) -> None:
        """The other one is reported now, though it is one as before."""
        first, _ = room.runs()
        room.passes(1)
        room.runs()
        room.passes(2.1)
        room.passes(1.1)
        first.seat.exposed = None
        room.passes(1.1)

        assert room.told == [[0], [1]]

    def test_stuck_thread_goes_on_to_another_request(self, room: Room) -> None:
        """That one has its own time, also on the same connection."""
        _, connection = room.runs()
        room.passes(3.1)
        room.passes(1.1)
        connection.redo_log.write_in_app(LINE, 1, room.now)
        room.passes(2)

        assert room.told == [[0], []]


class TestLooking:
    def test_it_begins(self, room: Room) -> None:
        """It checks again and again."""
        room.runs()
        room.deadlines.start()
        room.now += 4 * SECOND
        room.clock.advance(CHECK_SECONDS)

        assert room.raised() == [HIT]

    def test_no_request_has_too_much(self) -> None:
        """With a time-out of 0 nothing is checked."""
        room = Room(timeout=0.0)
        room.deadlines.start()

        assert room.clock.getDelayedCalls() == []
        room.close()
