"""The claims of twistcorn.worker.wsgi.slow: a slow request is logged once, while it runs, with its stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.worker.turns.test_deadlines import LINE, SECOND, START
from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import Scoreboard
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.wsgi.call import Call
from twistcorn.worker.wsgi.slow import CHECK_SECONDS, LINES_PER_SECOND, SlowRequests

PATIENCE = 10.0


class Out:
    """Where no response goes."""

    name = "GET / [id-1]"
    ident = "id-1"
    is_head = False

    def begin(self, *rest: object) -> None: ...

    def end(self) -> None: ...


class Runner:
    """A thread in the application, which waits until released; also serves as its seat."""

    def __init__(self, connection: Connection) -> None:
        self.exposed: Connection | None = connection
        self._inside, self._go = threading.Event(), threading.Event()
        out: Any = Out()
        self._thread = threading.Thread(target=Call(out).run, args=(self._app, {}))
        self._thread.start()
        self.ident = self._thread.ident
        assert self._inside.wait(PATIENCE)

    def _app(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        self._deep_in_the_application()
        start("200 OK", [])
        return [b""]

    def _deep_in_the_application(self) -> None:
        self._inside.set()
        assert self._go.wait(PATIENCE)

    def end(self) -> None:
        self._go.set()
        self._thread.join(PATIENCE)
        self.exposed = None


class Room:
    """Threads with requests; requests of more than 1 s are slow."""

    def __init__(self) -> None:
        self.now = START
        self.clock = Clock()
        self.board = Scoreboard.create(1, 16)
        self.runners: list[Runner] = []
        seats: Any = lambda: self.runners  # noqa: E731
        self.slow = SlowRequests(self.clock, seats, lambda: self.now)
        self.slow.configure(replace(Settings(), slow=1.0))

    def runs(self) -> Runner:
        connection = Connection(self.board, None, len(self.runners), 1, 0, ("", ""))  # type: ignore[arg-type]
        request: Any = SimpleNamespace(line=LINE)
        connection.request = request
        connection.redo_log.write_in_app(LINE, 0, self.now)
        self.runners.append(Runner(connection))
        return self.runners[-1]

    def told(self, seconds: float) -> list[dict[str, Any]]:
        """The events logged after this number of seconds."""
        self.now += int(seconds * SECOND)
        with capturedLogs() as told:
            self.slow.check()
        return list(told)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    for runner in made.runners:
        runner.end()
    made.board.close()


def test_slow_request_is_logged_once(room: Room) -> None:
    """Not before its time, and not again; with its name and its running time."""
    room.runs()
    assert room.told(0.9) == []
    (event,) = room.told(0.2)
    assert room.told(5) == []
    assert (event["method"], event["path"], event["request_id"]) == ("GET", "/", "id-1")
    assert formatEvent(event).startswith("slow: GET / [id-1] running for 1.1 s, at:\n  File ")


def test_stack_is_that_of_the_application(room: Room) -> None:
    """From our call on: no frame of ours, the innermost last."""
    room.runs()
    (event,) = room.told(2)
    lines = event["stack"].splitlines()
    assert lines[0].endswith("in _app")
    assert any(line.endswith("in _deep_in_the_application") for line in lines)
    assert "twistcorn/worker" not in event["stack"]


def test_quick_request_is_not_logged(room: Room) -> None:
    """It is over before the next check."""
    room.runs().end()
    assert room.told(5) == []


def test_next_request_of_the_thread_is_another_one(room: Room) -> None:
    """The line about the previous request does not count for it."""
    runner = room.runs()
    assert len(room.told(2)) == 1
    assert runner.exposed is not None
    runner.exposed.redo_log.write_in_app(LINE, 0, room.now)
    assert room.told(0.5) == []
    assert len(room.told(1)) == 1


def test_request_that_was_briefly_outside_the_application(room: Room) -> None:
    """Between two pieces of a body it is not exposed; it is the same request afterwards."""
    runner = room.runs()
    assert len(room.told(2)) == 1
    connection, runner.exposed = runner.exposed, None
    assert room.told(0.1) == []
    runner.exposed = connection
    assert room.told(0.1) == []


def test_many_are_counted(room: Room) -> None:
    """A few stacks show why; the number of further ones is logged in the next second."""
    for _ in range(LINES_PER_SECOND + 3):
        room.runs()
    assert len(room.told(2)) == LINES_PER_SECOND
    (event,) = room.told(1)
    assert formatEvent(event) == "slow: 3 more requests"


def test_nothing_runs_while_nothing_is_asked_for(room: Room) -> None:
    """Off, there is no timer; on again, it checks."""
    room.slow.configure(Settings(slow=0.0))
    assert not room.clock.getDelayedCalls()
    room.slow.configure(replace(Settings(), slow=0.5))
    room.runs()
    room.now += SECOND
    with capturedLogs() as told:
        room.clock.advance(CHECK_SECONDS)
    assert len(told) == 1
