"""The worker's reactor: a real one, led by one thread after the other."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import task, threads
from twisted.python import threadable

from twistcorn.worker.loop.reactor import WorkerReactor
from twistcorn.worker.loop.seats import Seat

from .test_seats import Journal

PATIENCE = 10.0


class Run:
    """A reactor that runs on its own thread; `crew` is what its main thread does once it is enlisted.

    :ivar polled: called in each round of the loop that a seat leads, where the application would be.
    """

    def __init__(self, crew: Callable[[Run], None]) -> None:
        self.reactor = WorkerReactor()
        self.polled: Callable[[Seat], None] = lambda seat: None
        self._epoll = select.epoll()
        self._epoll.register(self.reactor.own_descriptor(), select.EPOLLIN)
        self._crew = crew
        self.problems: list[BaseException] = []
        loop: Any = self.reactor
        self.loop = loop
        loop.callWhenRunning(self.reactor.enlist, self._poll, self._begin)
        self.thread = threading.Thread(target=loop.run, kwargs={"installSignalHandlers": False})

    def _begin(self) -> None:
        try:
            self._crew(self)
        except BaseException as problem:
            self.problems.append(problem)

    def _poll(self, timeout: float | None, seat: Seat) -> None:
        if self._epoll.poll(-1 if timeout is None else timeout):
            self.reactor.own_events()
        self.polled(seat)

    def __call__(self) -> None:
        """Run it to its end."""
        self.thread.start()
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self.loop.callFromThread(self.loop.stop)
            self.thread.join(PATIENCE)
            raise AssertionError("the reactor did not stop")
        if self.problems:
            raise self.problems[0]

    def lead(self, seat: Seat) -> None:
        """Lead on this thread, and leave."""
        self.reactor.lead(seat)
        self.reactor.left()

    def close(self) -> None:
        self._epoll.close()
        self.loop.removeAll()
        self.loop.waker.connectionLost(None)
        self.reactor._poller.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    monkeypatch.setattr(threadable, "ioThread", None)
    made: list[Run] = []

    def make(crew: Callable[[Run], None]) -> Run:
        made.append(Run(crew))
        return made[-1]

    yield make
    for each in made:
        each.close()


def in_turn(run: Run, times: int) -> list[int]:
    """Lead with one thread after the other until the loop stops; each that has lost the lead leaves."""
    led = []
    for _ in range(times):
        seats: list[Seat] = []

        def lead(seats: list[Seat] = seats) -> None:
            seats.append(Seat(Journal(), leads=True))
            run.polled = lambda seat: setattr(seat, "leads", False)
            run.lead(seats[0])
            seats[0].close()

        thread = threading.Thread(target=lead)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        led.append(seats[0].ident)
    return led


def alone(run: Run) -> None:
    """Lead on the main thread until the loop stops."""
    seat = Seat(Journal(), leads=True)
    run.lead(seat)
    seat.close()


class TestHands:
    def test_reactor_changes_hands(self, run: Callable[..., Run]) -> None:
        """Timers and calls from threads are served under any leader, in order, on the leader's thread."""
        served: list[tuple[int, int]] = []
        led: list[int] = []

        def note(number: int) -> None:
            assert threadable.isInIOThread()
            served.append((number, threading.get_ident()))
            # The next leader, perhaps another thread, must run this one.
            if number < 40:
                (one.loop.callLater if number % 2 else _soon(one.loop))(0, note, number + 1)
            else:
                one.loop.stop()

        def crew(one: Run) -> None:
            one.loop.callLater(0, note, 0)
            while one.loop.running:
                led.extend(in_turn(one, 1))

        one = run(crew)
        one()
        assert [number for number, _ in served] == list(range(41))
        assert {thread for _, thread in served} <= set(led)
        assert len(led) > 10

    def test_two_at_once(self, run: Callable[..., Run]) -> None:
        """The second one gets an AssertionError."""
        refused: list[str] = []

        def crew(one: Run) -> None:
            one.loop.callLater(0, second)
            alone(one)

        def second() -> None:
            with pytest.raises(AssertionError, match="two threads in the reactor") as caught:
                one.reactor.lead(Seat(Journal(), leads=True))
            refused.append(str(caught.value))
            one.loop.stop()

        one = run(crew)
        one()
        assert refused == ["two threads in the reactor"]

    def test_lead_is_lost_before_it_begins(self, run: Callable[..., Run]) -> None:
        """Nothing is done on that thread."""
        polls: list[Seat] = []

        def crew(one: Run) -> None:
            one.polled = polls.append
            one.lead(Seat(Journal(), leads=False))
            assert polls == []
            one.loop.callLater(0, one.loop.stop)
            alone(one)

        run(crew)()

    def test_reactor_stops(self, run: Callable[..., Run]) -> None:
        """The leader returns, still leading, and so does the main thread's crew; shutdown triggers run."""
        ends: list[str] = []

        def crew(one: Run) -> None:
            one.loop.addSystemEventTrigger("during", "shutdown", ends.append, "shutdown")
            one.loop.callLater(0, one.loop.stop)
            seat = Seat(Journal(), leads=True)
            one.lead(seat)
            assert seat.leads
            seat.close()
            ends.append("left")

        run(crew)()
        assert ends == ["shutdown", "left"]


class TestApplication:
    def test_is_in_no_reactor(self, run: Callable[..., Run]) -> None:
        """The application, called on the leader's thread, sees no reactor thread; a timer sees one."""
        told: dict[str, bool] = {}

        def polled(seat: Seat) -> None:
            told["call"] = threadable.isInIOThread()
            one.loop.callLater(0, timer)

        def timer() -> None:
            told["timer"] = threadable.isInIOThread()
            one.loop.stop()

        def crew(one: Run) -> None:
            one.polled = polled
            one.loop.callFromThread(lambda: told.setdefault("from a thread", threadable.isInIOThread()))
            alone(one)

        one = run(crew)
        one()
        assert told == {"call": False, "timer": True, "from a thread": True}

    def test_waits_for_a_deferred(self, run: Callable[..., Run]) -> None:
        """A call that left the loop waits for what the next leader does."""
        answers: list[str] = []

        def crew(one: Run) -> None:
            def wait() -> None:
                later: Any = task.deferLater
                answers.append(threads.blockingCallFromThread(one.loop, later, one.loop, 0.001, lambda: "fired"))
                one.loop.callFromThread(one.loop.stop)

            waiting = threading.Thread(target=wait)
            waiting.start()
            while one.loop.running:
                in_turn(one, 1)
            waiting.join(PATIENCE)

        run(crew)()
        assert answers == ["fired"]


class TestErrors:
    @pytest.mark.parametrize("problem", [OSError(9, "Bad file descriptor"), ValueError("a"), SystemExit("b")])
    def test_poll_fails(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, problem: BaseException
    ) -> None:
        """It ends the worker, and names the error: the loop never goes on as if nothing had happened."""
        failed: list[tuple[str, BaseException | None]] = []

        def fail(what: str, failure: Any = None) -> None:
            failed.append((what, failure.value))
            one.loop.callFromThread(one.loop.stop)

        def polled(seat: Seat) -> None:
            if not failed:
                raise problem

        def crew(one: Run) -> None:
            one.polled = polled
            # The loop ends in a round that a timer begins.
            one.loop.callLater(0, lambda: one.loop.callLater(0.01, lambda: None))
            alone(one)

        monkeypatch.setattr("twistcorn.worker.process.failing.fail", fail)
        one = run(crew)
        one()
        assert failed == [("its event loop failed", problem)]


def _soon(loop: Any) -> Callable[..., object]:
    """`callLater` by way of `callFromThread`."""

    def call(delay: float, function: Callable[..., object], *args: object) -> None:
        loop.callFromThread(function, *args)

    return call


class TestTime:
    def test_wall_clock_is_set(self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        """Timers come after their time, though the wall clock was set back by an hour."""
        fired: list[float] = []

        def fire(one: Run) -> None:
            fired.append(time.monotonic())
            one.loop.stop()

        def crew(one: Run) -> None:
            monkeypatch.setattr(time, "time", lambda real=time.time: real() - 3600)
            one.loop.callLater(0.05, fire, one)
            alone(one)

        began = time.monotonic()
        run(crew)()
        assert 0.04 < fired[0] - began < PATIENCE

    def test_loop_did_not_turn(self, run: Callable[..., Run]) -> None:
        """A gap is reported before any timer runs; a short wait is none."""
        said: list[Any] = []

        def crew(one: Run) -> None:
            one.reactor.on_gap.append(lambda gap: said.append(("gap", round(gap))))
            one.loop.callLater(0.01, stand_still, one)
            alone(one)

        def stand_still(one: Run) -> None:
            assert said == []
            one.reactor._turned -= 60
            one.loop.callLater(0, said.append, "timer")
            one.loop.callLater(0, one.loop.stop)

        run(crew)()
        assert said == [("gap", 60), "timer"]
