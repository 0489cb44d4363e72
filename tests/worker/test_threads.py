"""The claims of twistcorn.worker.threads: their number changes while requests run, and none is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest
from twisted.logger import capturedLogs

from tests.worker.crew import Crew, Held, Job
from twistcorn.wire.scoreboard import W_BUSY
from twistcorn.worker.turns import Turns


@pytest.fixture
def crew() -> Iterator[Callable[[int], Crew]]:
    """Makes a crew whose calls run in threads of their own."""
    made: list[Crew] = []

    def make(threads: int, mode: str = "pool") -> Crew:
        made.append(Crew(threads, mode))
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
        crew.turns.resize(threads)
        done.set()

    crew.loop.tell(change)
    assert done.wait(10)


def busy(crew: Crew, count: int) -> list[Held]:
    """So many requests that end when they are let; as many of them as can run do."""
    held = [Held(f"/{number}") for number in range(count)]
    for each in held:
        crew.take(each)
        # Each wakes a thread of its own.
        crew.loop.tell(lambda seat: crew.turns._tick())
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
        """They park beside the others."""
        some = crew(2)
        resize(some, 5)
        some.until(lambda: len(some.turns._parked) == 5)

    def test_no_thread_is_to_be_had(self, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch) -> None:
        """The log says so, and those that are there go on."""
        some = crew(2)

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched, capturedLogs() as logged:
            patched.setattr(threading.Thread, "start", refuse)
            resize(some, 5)
        assert [event["why"] for event in logged] == ["can't start new thread"]
        job = Job()
        some.take(job)
        job.wait()
        assert (some.turns._alive, some.turns._aside) == (3, 0)

    def test_before_the_main_thread_joins(
        self, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An order that came while the application was loaded: they start with the others, none is left over."""
        join, begun = Turns.join, []

        def resized(turns: Turns) -> None:
            turns.resize(4)
            begun.append(turns._alive)
            join(turns)

        monkeypatch.setattr(Turns, "join", resized)
        crew(4)
        assert begun == [0]
        assert len(app_threads()) == 5


class TestFewer:
    def test_nothing_to_do(self, crew: Callable[[int], Crew]) -> None:
        """Those that are too many leave, but for the one more that can lead."""
        some = crew(8)
        resize(some, 2)
        some.until(lambda: len(app_threads()) == 3)
        some.until(lambda: len(some.turns._parked) == 2)
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
        jobs = [Job(path=f"/{number % 7}") for number in range(3000)]
        for number, job in enumerate(jobs):
            some.take(job)
            if number % 50 == 0:
                threads = rand.randint(2, 12)
                some.loop.tell(lambda seat, threads=threads: some.turns.resize(threads))  # type: ignore[misc]
                some.loop.tick()
        resize(some, 3)
        while not all(job.ended.is_set() for job in jobs):
            some.loop.tick()
        assert all(len(job.runs) == 1 for job in jobs)
        some.until(lambda: len(some.turns._parked) == 3 and len(app_threads()) == 4)
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
        some.until(lambda: len(app_threads()) == 3)
        some.until(lambda: len(some.turns._parked) == 2)
