"""The claims of twistcorn.worker.turns.threads: their number changes while requests run, and none is lost."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.worker.crew import Crew, Held, Job
from twistcorn import pristine
from twistcorn.wire.scoreboard import W_BUSY
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.turns.leading import Lead


@pytest.fixture
def crew() -> Iterator[Callable[..., Crew]]:
    """Makes a crew whose calls run in the pool."""
    made: list[Crew] = []

    def make(threads: int, mode: str = "pool", **more: Any) -> Crew:
        made.append(Crew(threads, mode, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.loop.most == 1
    assert app_threads() == []


def app_threads() -> list[threading.Thread]:
    """The threads of all crews."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("app-")]


def resize(crew: Crew, threads: int) -> None:
    """The leader changes the number, and has done so."""
    done = threading.Event()

    def change(seat: object) -> None:
        crew.turns.threads.resize(threads)
        done.set()

    crew.loop.tell(change)
    assert done.wait(10)


def busy(crew: Crew, count: int) -> list[Held]:
    """Submit requests that end when the test says so; as many of them as can run do."""
    held = [Held(f"/at-{number}") for number in range(count)]
    for each in held:
        crew.take(each)
        # Each wakes its own thread.
        crew.loop.tell(lambda seat: crew.turns._staffing.tick())
    return held


class TestMore:
    def test_requests_wait(self, crew: Callable[[int], Crew]) -> None:
        """The new threads take them at once."""
        some = crew(2)
        held = busy(some, 4)
        some.until(lambda: some.busy == 2)
        resize(some, 4)
        for each in held:
            each.until_runs()
        for each in held:
            each.end()
        assert some.most == 4

    def test_nothing_waits(self, crew: Callable[[int], Crew]) -> None:
        """They park with the others."""
        some = crew(2)
        resize(some, 5)
        some.until(lambda: len(some.turns.threads.parked) == 5)

    def test_no_thread_is_to_be_had(self, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch) -> None:
        """The log says so, and those that are there go on."""
        some = crew(2)

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched, capturedLogs() as logged:
            patched.setattr(pristine.threading.Thread, "start", refuse)
            resize(some, 5)
        assert [event["why"] for event in logged] == ["can't start new thread"]
        job = Job()
        some.take(job)
        job.wait()
        assert (some.turns.threads.alive, some.turns.threads.aside) == (3, 0)

    def test_before_the_main_thread_joins(
        self, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An order that came while the application was loaded: they start with the others, none is left over."""
        join, begun = Lead.join, []

        def resized(lead: Lead) -> None:
            lead._threads.resize(4)
            begun.append(lead._threads.alive)
            join(lead)

        monkeypatch.setattr(Lead, "join", resized)
        crew(4)
        assert begun == [0]
        assert len(app_threads()) == 5


class TestFewer:
    def test_nothing_to_do(self, crew: Callable[[int], Crew]) -> None:
        """Surplus threads end, except the deputy."""
        some = crew(8)
        resize(some, 2)
        some.until(lambda: len(app_threads()) == 3)
        some.until(lambda: len(some.turns.threads.parked) == 2)
        assert len(some.turns.seats) == 4, "the main thread has one, too"

    def test_all_are_busy(self, crew: Callable[[int], Crew]) -> None:
        """What runs ends as it would; no more than the new number runs from then on, and what waits is taken."""
        some = crew(4)
        held = busy(some, 4)
        for each in held:
            each.until_runs()
        resize(some, 2)
        waiting = busy(some, 3)
        held.pop().end()
        held.pop().end()
        some.until(lambda: len(app_threads()) == 3)
        assert not any(each.running.is_set() for each in waiting)
        some.most = 0
        held.pop().end()
        some.until(lambda: some.busy == 2)
        for each in [*held, *waiting]:
            each.go.set()
        for each in [*held, *waiting]:
            each.wait()
        assert some.most == 2

    @pytest.mark.parametrize("mode", ["pool", "inline", "adaptive"])
    def test_up_and_down_while_requests_come(self, crew: Callable[..., Crew], mode: str) -> None:
        """Every request is answered once, one thread leads, and in the end there are as many as were set last."""
        some, rand = crew(2, mode), random.Random(42)
        jobs = [Job(path=f"/at-{number % 7}") for number in range(3000)]
        for number, job in enumerate(jobs):
            some.take(job)
            if number % 50 == 0:
                threads = rand.randint(2, 12)
                some.loop.tell(lambda seat, threads=threads: some.turns.threads.resize(threads))  # type: ignore[misc]
                some.loop.tick()
        resize(some, 3)
        while not all(job.ended.is_set() for job in jobs):
            some.loop.tick()
        assert all(len(job.runs) == 1 for job in jobs)
        some.until(lambda: some.turns.threads.active == 0 and len(app_threads()) == 4)
        assert (some.word(W_BUSY), some.requests()) == (0, 3000)

    def test_one_stands_aside_meanwhile(self, crew: Callable[[int], Crew]) -> None:
        """It comes back to fewer than it left, and the number is right again."""
        some = crew(4)
        aside, back = threading.Event(), threading.Event()

        def wait_for_client(seat: object) -> None:
            some.turns.stand_aside(seat)  # type: ignore[arg-type]
            aside.set()
            assert back.wait(10)
            some.turns.come_back(seat)  # type: ignore[arg-type]

        job = Job(wait_for_client)
        some.take(job)
        assert aside.wait(10)
        resize(some, 2)
        back.set()
        job.wait()
        some.until(lambda: some.turns.threads.active == 0)
        some.forget()
        some.until(lambda: len(app_threads()) == 3)
        some.until(lambda: len(some.turns.threads.parked) == 2)


class TestNoThread:
    """No thread can be started any more, as when pids.max is reached."""

    @pytest.fixture
    def refused(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Every start of a thread fails."""

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(pristine.threading.Thread, "start", refuse)
            yield

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("mode", ["inline", "pool", "adaptive"])
    def test_calls_keep_all_threads(
        self, crew: Callable[..., Crew], request: pytest.FixtureRequest, threads: int, mode: str
    ) -> None:
        """A thread leads all the same, and waiting requests are answered when a thread is free."""
        some = crew(threads, mode)
        some.until(lambda: len(some.turns.threads.parked) == threads)
        request.getfixturevalue("refused")
        held = busy(some, threads)
        for each in held:
            each.until_runs()
        last = Job()
        some.take(last)
        led = threading.Event()
        some.loop.tell(lambda seat: led.set())
        assert led.wait(10), "no thread leads"
        for each in held:
            each.end()
        last.wait()

    def test_clients_are_slow(self, crew: Callable[..., Crew], request: pytest.FixtureRequest) -> None:
        """There is no stand-in: requests wait for the threads that are there, and the log says why, once."""
        some = crew(2)
        request.getfixturevalue("refused")
        back = threading.Event()

        def wait_for_client(seat: Seat) -> None:
            some.turns.stand_aside(seat)
            try:
                assert back.wait(10)
            finally:
                some.turns.come_back(seat)

        slow = [Job(wait_for_client) for _ in range(2)]
        for each in slow:
            some.take(each)
            some.loop.tell(lambda seat: some.turns._staffing.tick())
        some.until(lambda: some.turns.threads.aside == 2)
        waiting = Job()
        some.take(waiting)
        with capturedLogs() as logged:
            some.until(lambda: bool(some.turns.threads._refusal))
            some.turns.keep_up()
            some.turns.keep_up()
        assert [event["why"] for event in logged] == ["can't start new thread"]
        back.set()
        for job in (*slow, waiting):
            job.wait()
        assert (some.turns.threads.alive, some.turns.threads.aside) == (3, 0)

    def test_threads_are_to_be_had_again(self, crew: Callable[..., Crew], monkeypatch: pytest.MonkeyPatch) -> None:
        """The main thread runs requests meanwhile; those that were missing are started when more of them wait."""
        start = threading.Thread.start
        refused: list[bool] = [True]

        def sometimes(thread: threading.Thread) -> None:
            if refused and thread.name.startswith("app-") and thread.name != "app-1":
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(pristine.threading.Thread, "start", sometimes)
        some = crew(3, "adaptive", full=False)
        some.until(lambda: len(some.turns.threads.parked) == 1 and some.turns.threads.alive == 2)
        done = Job()
        some.take(done)
        done.wait()
        (held,) = busy(some, 1)
        held.until_runs()
        job = Job()
        some.take(job)
        refused.clear()
        some.turns.threads._again_at = 0.0
        some.loop.tell(lambda seat: some.turns._staffing.tick())
        job.wait()
        held.end()


class TestWhoRunsTheApplication:
    @pytest.mark.parametrize("mode", ["inline", "pool", "adaptive"])
    def test_fast_and_slow_calls_are_mixed(self, crew: Callable[..., Crew], mode: str) -> None:
        """As many threads as there may be, and not one more, however often the lead passes."""
        some, rand = crew(3, mode), random.Random(7)
        rests = [rand.choice((0.0, 0.0, 0.0, 0.001, 0.004)) for _ in range(600)]
        jobs = [Job(lambda seat, rest=rest: time.sleep(rest), f"/at-{n % 11}") for n, rest in enumerate(rests)]  # type: ignore[misc]
        for at in range(0, len(jobs), 6):
            some.take(*jobs[at : at + 6])
            jobs[at].wait()
            some.loop.tick()
        while not all(job.ended.is_set() for job in jobs):
            some.loop.tick()
            time.sleep(0)
        assert len({job.runs[0].ident for job in jobs}) <= 3
        assert some.most <= 3
        assert some.loop.most == 1


class TestStandIns:
    def wait_for_clients(self, crew: Crew, count: int) -> tuple[list[Job], threading.Event]:
        """Submit requests whose clients are slow, until the event is set."""
        back = threading.Event()

        def wait_for_client(seat: Seat) -> None:
            crew.turns.stand_aside(seat)
            try:
                assert back.wait(10)
            finally:
                crew.turns.come_back(seat)

        jobs = [Job(wait_for_client, f"/at-{number}") for number in range(count)]
        for job in jobs:
            crew.take(job)
            crew.loop.tell(lambda seat: crew.turns._staffing.tick())
        return jobs, back

    def test_more_slow_clients_than_stand_ins(self, crew: Callable[..., Crew]) -> None:
        """Threads stay within the bound; later requests wait for one; the log says both, once."""
        some = crew(2, "pool", stand_ins=3)
        jobs, back = self.wait_for_clients(some, 12)
        some.until(lambda: sum(bool(job.runs) for job in jobs) == 5)
        with capturedLogs() as logged:
            some.turns.keep_up()
            some.turns.keep_up()
        assert len(app_threads()) == 2 + 3 + 1
        assert [event["stand_ins"] for event in logged] == [3, 3]
        back.set()
        for job in jobs:
            job.wait()
        assert len({job.runs[0].ident for job in jobs}) == 5

    def test_nothing_else_waits(self, crew: Callable[..., Crew]) -> None:
        """No stand-in runs where no request needs a thread."""
        some = crew(4)
        _, back = self.wait_for_clients(some, 3)
        some.until(lambda: some.turns.threads.aside == 3)
        assert len(app_threads()) == 5
        back.set()
        some.until(lambda: some.turns.threads.active == 0)

    def test_slow_clients_come_again(self, crew: Callable[..., Crew]) -> None:
        """The threads of the first ones serve the next."""
        some = crew(2)
        seen = set()
        for _ in range(5):
            jobs, back = self.wait_for_clients(some, 6)
            some.until(lambda: some.turns.threads.aside == 6)
            back.set()
            for job in jobs:
                seen.add(job.wait().runs[0].ident)
            some.until(lambda: some.turns.threads.active == 0)
        assert len(seen) == 6

    def test_their_state_is_collected(self, crew: Callable[..., Crew]) -> None:
        """What they kept per thread, in a cycle, is gone soon after them, without any request."""
        some, gone = crew(1 + 1), threading.Event()
        local = threading.local()

        class Resource:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                gone.set()

        back = threading.Event()

        def keep(seat: Seat) -> None:
            local.resource = Resource()
            some.turns.stand_aside(seat)
            assert back.wait(10)
            some.turns.come_back(seat)

        jobs = [Job(keep) for _ in range(4)]
        gc.disable()
        try:
            for job in jobs:
                some.take(job)
                some.loop.tell(lambda seat: some.turns._staffing.tick())
            some.until(lambda: some.turns.threads.aside == 4)
            back.set()
            for job in jobs:
                job.wait()
            some.until(lambda: some.turns.threads.active == 0)
            some.forget()
            some.until(lambda: some.turns.threads._ended == 2)
            some.turns.threads._ended_since -= 5
            some.turns.keep_up()
            assert gone.wait(10)
        finally:
            gc.enable()
