"""How a worker applies new settings: limits, time-outs of waiting connections, caches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from tests.http.cases import DEFAULTS, head
from tests.http.served import Served
from tests.worker.turns.test_deadlines import SECOND, Room
from twistcorn.errors import HTTPError
from twistcorn.settings import Settings
from twistcorn.syntax import Span
from twistcorn.wire.scoreboard import W_THREADS, Scoreboard
from twistcorn.worker.http.head_cache import Heads
from twistcorn.worker.lifecycle import Lifecycle
from twistcorn.worker.loop.phases import Phase
from twistcorn.worker.loop.retiming import EXPIRED_SECONDS
from twistcorn.worker.turns.deadlines import CHECK_SECONDS, GRACE_NANOSECONDS

ENVIRONS: list[dict[str, Any]] = []


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    ENVIRONS.append(environ)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(app)
    ENVIRONS.clear()
    yield made
    made.close()


class TestDeadlines:
    @pytest.mark.parametrize(
        ("option", "phase", "header_since", "consumed"),
        [
            ("keep_alive", Phase.READING, 0.0, 9),
            ("header_timeout", Phase.READING, 0.0, 0),
            ("header_timeout", Phase.READING, 50.0, 9),
            ("body_timeout", Phase.BODY, 0.0, 9),
            ("write_timeout", Phase.WRITING, 0.0, 9),
        ],
    )
    @pytest.mark.parametrize("difference", [-3.0, 3.0])
    def test_move(
        self, served: Served, option: str, phase: Phase, header_since: float, consumed: int, difference: float
    ) -> None:
        """As far as the time-out did, of what the connection waits for; of nothing else."""
        served.connect()
        (connection,) = served.connections()
        connection.phase, connection.header_since, connection.stream.consumed = phase, header_since, consumed
        connection.deadline = 1000.0
        for name in ("keep_alive", "header_timeout", "body_timeout", "write_timeout"):
            changed = replace(served.poller._settings, **{name: getattr(DEFAULTS, name) + difference})
            served.poller.configure(changed)
            served.poller.configure(replace(changed, **{name: getattr(DEFAULTS, name)})) if name != option else None
        assert connection.deadline == 1000.0 + difference
        connection.phase = Phase.READING

    @pytest.mark.parametrize("phase", [Phase.TURN, Phase.LINGERING])
    def test_stay(self, served: Served, phase: Phase) -> None:
        """Where no time-out of an option runs."""
        served.connect()
        (connection,) = served.connections()
        connection.phase, connection.deadline = phase, 1000.0
        served.poller.configure(Settings(keep_alive=1, header_timeout=1, body_timeout=1, write_timeout=1))
        assert connection.deadline == 1000.0
        connection.phase = Phase.READING

    def test_idle_connection_that_is_over(self, served: Served) -> None:
        """It is closed at the next check, however early after the machine's boot; its slot says when it ended."""
        client = served.connect()
        served.send(client, head())
        (connection,) = served.connections()
        connection.deadline = 5.0
        served.poller.configure(replace(DEFAULTS, keep_alive=0.0))
        assert connection.deadline == EXPIRED_SECONDS
        assert connection.redo_log.deadline == EXPIRED_SECONDS
        served.reactor.advance(1)
        assert served.connections() == []

    def test_request_that_runs(self) -> None:
        """The time that it has already had counts; without a limit, nothing is checked."""
        room = Room(timeout=0.0)
        thread, connection = room.runs()
        thread.seat.exposed = connection
        room.now += 10 * SECOND
        room.clock.advance(CHECK_SECONDS)
        assert not thread.seat.aim
        room.deadlines.configure(Settings(request_timeout=3.0))
        room.clock.advance(CHECK_SECONDS)
        assert thread.seat.aim
        room.now += GRACE_NANOSECONDS + 1
        room.clock.advance(CHECK_SECONDS)
        assert room.told == [[connection.slot]]
        room.deadlines.configure(Settings(request_timeout=0.0))
        assert room.told == [[connection.slot], []]
        room.clock.advance(CHECK_SECONDS)
        room.close()


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "status"),
        [
            ({"limit_request_line": 64}, 414),
            ({"limit_request_fields": 1}, 431),
            ({"limit_request_field_size": 64}, 431),
        ],
    )
    def test_head_that_was_remembered(self, limits: dict[str, int], status: int) -> None:
        """Whole, line or block: it is read anew, and refused."""
        heads = Heads(Settings())
        data = b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: a\r\nX-Long: " + b"y" * 100 + b"\r\n\r\n"
        for _ in range(3):
            assert heads.read(data)
        heads.configure(Settings(**limits))  # type: ignore[arg-type]
        with pytest.raises(HTTPError) as raised:
            heads.read(data)
        assert raised.value.status == status

    def test_queue(self, served: Served) -> None:
        """A smaller one counts at once, however much room there was before."""
        served.waiting._room, served.waiting._looked = 1000, time.monotonic()
        served.waiting.configure(Settings(queue_size=1))
        assert served.waiting._room == 0


class TestEnviron:
    @pytest.mark.parametrize(
        ("settings", "threads", "processes"),
        [
            (Settings(threads=1), False, False),
            (Settings(threads=4), True, False),
            (Settings(threads=1, workers=2), False, True),
            (Settings(threads=1, workers_bounds=Span(1, 2)), False, True),
        ],
    )
    def test_several(self, served: Served, settings: Settings, threads: bool, processes: bool) -> None:
        """The environ has the current threads and processes, even for a cached request."""
        client = served.connect()
        served.send(client, head())
        served.turns._server.configure(settings)  # type: ignore[attr-defined]
        served.send(client, head())
        told = [(environ["wsgi.multithread"], environ["wsgi.multiprocess"]) for environ in ENVIRONS]
        assert told[-1] == (threads, processes)
        assert len(told) == 2


def _nothing() -> None:
    """It is not about to leave."""


def _late(name: str, age: float) -> None:
    """No request is."""


class TestLifecycle:
    @pytest.fixture
    def life(self) -> Iterator[Lifecycle]:
        board = Scoreboard.create(1, 1)
        settings = Settings(threads=4)
        yield Lifecycle(Clock(), board, 0, settings, _nothing, _nothing, _nothing, lambda stuck: succeed(None), _late)
        board.close()

    def test_before_it_serves(self, life: Lifecycle) -> None:
        """It boots with the latest settings."""
        life.configure(Settings(threads=1))
        assert life._settings.threads == 1

    @pytest.mark.parametrize(("wanted", "threads"), [(9, 9), (1, 4)])
    def test_threads(self, life: Lifecycle, wanted: int, threads: int) -> None:
        """One is another way of working, which it does not change to; everything else it takes."""
        life._poller = cast(Any, object())
        heard: list[Settings] = []
        life.on_configured.append(heard.append)
        life.configure(Settings(threads=wanted, slow=1.0))
        assert [(settings.threads, settings.slow) for settings in heard] == [(threads, 1.0)]

    @pytest.mark.parametrize("leaves", [False, True])
    def test_threads_are_announced(self, life: Lifecycle, leaves: bool) -> None:
        """On the scoreboard, unless it no longer takes connections."""
        resized: list[int] = []
        life._poller = cast(Any, SimpleNamespace(holdings=SimpleNamespace(draining=leaves, stopping=False)))
        turns = SimpleNamespace(threads=SimpleNamespace(limit=4, resize=resized.append))
        life._set_threads(cast(Any, turns), 9)
        assert resized == [9]
        assert life._board.words[life._region + W_THREADS] == (0 if leaves else 9)
