"""The claims about raising an exception in another thread: it hits the application, and nothing else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tests.http.cases import DEFAULTS
from tests.http.served import Served
from tests.worker.apps import Body, Start, app
from tests.worker.crew import PATIENCE
from twistcorn.errors import RequestTimeout
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.seats import AIMING, AT_EASE, FIRED, Seat
from twistcorn.worker.process.interrupt import set_exception
from twistcorn.worker.turns.deadlines import fire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Asleep:
    """A thread that waits where no exception can hit it, until it may continue.

    :ivar raised: what was raised in it then.
    """

    def __init__(self, then: Callable[[Asleep], object] = lambda thread: None) -> None:
        self.seats: set[Seat] = set()
        self.seat: Seat
        self.raised: list[BaseException] = []
        self._gate = threading.Lock()
        self._gate.acquire()
        self._then = then
        inside = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(inside,))
        self.thread.start()
        assert inside.wait(PATIENCE)

    def _run(self, inside: threading.Event) -> None:
        self.seat = Seat(self)  # type: ignore[arg-type]
        try:
            inside.set()
            self._gate.acquire()
            self._then(self)
        except BaseException as error:
            self.raised.append(error)

    def wake(self) -> None:
        self._gate.release()

    def join(self) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.seat.close()

    def end(self) -> list[type[BaseException]]:
        """It goes on to its end; returns what was raised."""
        self.wake()
        self.join()
        return [type(error) for error in self.raised]


class TestSetException:
    def test_thread_runs_python(self) -> None:
        """It comes at once."""

        def spin(thread: Asleep) -> None:
            begun = time.monotonic()
            while time.monotonic() - begun < PATIENCE:
                pass

        thread = Asleep(spin)
        thread.wake()
        assert set_exception(thread.seat.ident, RequestTimeout)
        thread.join()
        assert [type(error) for error in thread.raised] == [RequestTimeout]

    def test_thread_waits_outside_of_python(self) -> None:
        """It comes when the thread is back."""
        thread = Asleep(lambda thread: pytest.fail("it went on"))
        assert set_exception(thread.seat.ident, RequestTimeout)

        assert thread.end() == [RequestTimeout]

    def test_it_is_taken_back(self) -> None:
        """The thread continues undisturbed."""
        thread = Asleep()
        set_exception(thread.seat.ident, RequestTimeout)
        assert set_exception(thread.seat.ident, None)

        assert thread.end() == []

    def test_nothing_is_there_to_take_back(self) -> None:
        """That changes nothing."""
        thread = Asleep()
        set_exception(thread.seat.ident, None)

        assert thread.end() == []

    @pytest.mark.parametrize("kind", [RequestTimeout, None])
    def test_thread_has_ended(self, kind: type[BaseException] | None) -> None:
        """There is no such thread."""
        thread = Asleep()
        thread.end()

        assert not set_exception(thread.seat.ident, kind)


def connection() -> Connection:
    """Stands for a connection, of which only the identity counts."""
    return cast(Connection, object())


class TestAim:
    def test_thread_runs_the_request(self) -> None:
        """It is hit."""
        thread = Asleep()
        thread.seat.exposed = request = connection()
        assert fire(thread.seat, request)

        assert (thread.seat.aim, thread.end()) == (FIRED, [RequestTimeout])

    @pytest.mark.parametrize("exposed", [None, connection()])
    def test_request_has_just_ended(self, exposed: Connection | None) -> None:
        """Neither our own code nor the next request is hit."""
        thread = Asleep()
        thread.seat.exposed = exposed
        assert not fire(thread.seat, connection())

        assert (thread.seat.aim, thread.end()) == (AT_EASE, [])

    def test_application_is_left_before_it_comes(self) -> None:
        """The thread waits for the exception, and cancels it."""
        thread = Asleep(lambda thread: thread.seat.shield())
        seat = thread.seat
        seat.exposed, seat.aim = connection(), AIMING
        thread.wake()
        begun = time.monotonic()
        while seat.exposed is not None:
            assert time.monotonic() - begun < PATIENCE
        set_exception(seat.ident, RequestTimeout)
        seat.aim = FIRED
        thread.join()

        assert (thread.raised, seat.aim) == ([], AT_EASE)


    def test_application_is_left_as_it_is_on_its_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is cancelled: an interpreter may take any time to raise it."""
        told: list[tuple[int, object]] = []
        monkeypatch.setattr("twistcorn.worker.loop.seats.set_exception", lambda *arguments: told.append(arguments))
        thread = Asleep(lambda thread: thread.seat.shield())
        thread.seat.aim = FIRED

        assert thread.end() == []
        assert (told, thread.seat.aim) == ([(thread.seat.ident, None)], AT_EASE)


class Laps:
    """A thread that enters and leaves the application, as `channel` does, until it was fired at often enough.

    :ivar fired: how often that was.
    :ivar hits: how often an exception came in the application; `strays`: elsewhere.
    """

    def __init__(self, shots: int) -> None:
        self.fired = self.hits = self.strays = 0
        self._shots = shots
        self.thread = Asleep(lambda thread: self._run(thread.seat))

    def _run(self, seat: Seat) -> None:
        begun = time.monotonic()
        while self.fired < self._shots and time.monotonic() - begun < PATIENCE:
            try:
                self._lap(seat, connection())
            except RequestTimeout:
                self.strays += 1

    def _lap(self, seat: Seat, request: Connection) -> None:
        seat.exposed = request
        try:
            try:
                self._work()
            finally:
                seat.shield()
        except RequestTimeout:
            seat.shield()
            self.hits += 1
        self._work()

    def _work(self) -> int:
        return sum(number for number in range(50))

    def shoot(self) -> None:
        """Fire once at each request that is seen."""
        seat, last = self.thread.seat, None
        self.thread.wake()
        while self.thread.thread.is_alive():
            request = seat.exposed
            if request is not None and request is not last:
                last = request
                self.fired += fire(seat, request)
        self.thread.join()


@pytest.fixture
def restless() -> Iterator[None]:
    """The threads change places every 100 us."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_many_shots_at_a_thread_that_comes_and_goes() -> None:
    """None ever hits outside the application, none is left for later, and the thread is at ease again."""
    laps = Laps(shots=50)
    laps.shoot()

    assert laps.strays == 0
    assert 0 < laps.hits <= laps.fired
    assert (laps.thread.seat.aim, laps.thread.raised) == (AT_EASE, [])


@pytest.fixture
def served() -> Iterator[Callable[[Any], Served]]:
    """Makes a worker that runs an application."""
    made: list[Served] = []

    def make(application: Any) -> Served:
        made.append(Served(application, DEFAULTS))
        return made[-1]

    yield make
    for each in made:
        each.close()


def seat_of(served: Served, mode: str) -> Seat:
    """The seat on which the application runs."""
    return served.turns.leader if mode == "inline" else served.turns._other


class TestOnTheWire:
    def test_where_it_may_come(self, served: Callable[[Any], Served], mode: str) -> None:
        """In the application, from its call to its close(); not while the client is slow, nor before or after it."""
        seen: list[bool] = []

        def look() -> None:
            seen.append(seat_of(worker, mode).exposed is not None)

        class Watched(Body):
            def __iter__(self) -> Iterator[bytes]:
                for piece in (b"he", b"llo"):
                    look()
                    yield piece
                look()

            def close(self) -> None:
                look()

        def application(environ: dict[str, Any], start_response: Start) -> Any:
            look()
            start_response("200 OK", [("Content-Length", "5")])
            return Watched()

        worker = served(application)
        client = worker.connect()
        look()
        worker.send(client, GET)
        look()

        assert client.answers()[0].body == b"hello"
        assert seen == [False, *[True] * 5, False]

    def test_generator_continues_after_its_last_piece(self, served: Callable[[Any], Served], mode: str) -> None:
        """What it does there has its time, too, also where the answer is whole and waits to be sent."""
        seen: list[bool] = []

        def pieces() -> Iterator[bytes]:
            yield b"hello"
            seen.append(seat_of(worker, mode).exposed is not None)

        worker = served(app(pieces(), [("Content-Length", "5")]))
        client = worker.connect()
        worker.send(client, GET)

        assert (client.answers()[0].body, seen) == (b"hello", [True])

    @pytest.mark.parametrize("pieces", [[b"hello"], [b"he", b"llo"], []])
    @pytest.mark.parametrize("number", range(6))
    def test_it_comes_as_the_application_is_left(
        self,
        served: Callable[[Any], Served],
        mode: str,
        monkeypatch: pytest.MonkeyPatch,
        pieces: list[bytes],
        number: int,
    ) -> None:
        """Whenever it does, the client gets an answer: 504 where nothing was sent, else the whole one or a cut."""
        shields = iter(range(1000))
        shield = Seat.shield

        def interrupted(seat: Seat) -> None:
            if next(shields) == number:
                raise RequestTimeout
            shield(seat)
            seat.aim = FIRED

        monkeypatch.setattr(Seat, "shield", interrupted)
        worker = served(app(iter(pieces)))
        for seat in (worker.turns.leader, worker.turns._other):
            seat.aim = FIRED
        client = worker.connect()
        worker.send(client, GET)

        status = client.read()[:12]
        assert status == b"HTTP/1.1 504" if number == 0 else status in (b"HTTP/1.1 200", b"HTTP/1.1 504")
        assert worker.turns.leader.exposed is worker.turns._other.exposed is None
