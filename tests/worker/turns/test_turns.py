"""Turns: which thread runs a request, and which one leads meanwhile."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from twisted.logger import capturedLogs

from tests.worker.crew import PATIENCE, Crew, Held, Job
from twistcorn.policy.histogram import bucket
from twistcorn.wire.scoreboard import W_BUSY, W_LED_REQUESTS, W_REQUESTS
from twistcorn.worker.loop.seats import Seat

Make = Callable[..., Crew]


@pytest.fixture
def crew() -> Iterator[Make]:
    made: list[Crew] = []

    def make(threads: int, mode: str = "adaptive", makes: bool = True) -> Crew:
        made.append(Crew(threads, mode, makes))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.loop.most == 1
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("app-")] == []


class TestInline:
    def test_calls_do_not_wait(self, crew: Make) -> None:
        """They all run on the thread that leads, and no other is woken."""
        one = crew(4, "inline")
        # Where the machine is busy a call may last without waiting, and would be replaced.
        one.turns._watchdog.close()
        jobs = [Job() for _ in range(100)]
        one.take(*jobs)

        assert len({job.wait().runs[0] for job in jobs}) == 1
        assert all(job.led == [True] for job in jobs)
        assert (one.loop.leads, one.word(W_LED_REQUESTS), one.word(W_BUSY)) == (2, 100, 0), "the deputy led first"

    def test_call_is_long(self, crew: Make) -> None:
        """The reactor goes to another thread; the call ends where it began, and its answer waits for no other."""
        two = crew(2)
        held, other = Held("/held"), Job(path="/other")
        two.take(held)
        held.until_runs()
        two.take(other)
        other.wait()
        assert two.word(W_BUSY) == 1

        held.end()
        assert held.runs[0] is not other.runs[0]
        assert (held.led, other.led) == ([], [True])
        two.until(lambda: two.requests() == 2)
        assert (two.word(W_REQUESTS), two.word(W_LED_REQUESTS), two.word(W_BUSY)) == (1, 1, 0)

    def test_route_is_put_off(self, crew: Make) -> None:
        """The next call of a route that has lost the reactor goes to the pool."""
        two = crew(2)
        held, again, other = Held("/a/b"), Job(path="/a/b/c"), Job(path="/c")
        two.take(held)
        held.until_runs()
        two.until(lambda: two.loop.leads == 2)
        held.end()
        two.take(again, other)
        again.wait()
        other.wait()

        assert (again.led, other.led) == ([], [True])

    def test_every_thread_is_busy(self, crew: Make) -> None:
        """A thread still leads; new requests wait, and no more calls run than there are threads."""
        two = crew(2)
        held = [Held(f"/at-{number}") for number in range(5)]
        two.take(*held)
        led = threading.Event()
        held[0].until_runs()
        held[1].until_runs()
        two.loop.tell(lambda seat: led.set())
        assert led.wait(PATIENCE)
        assert [each.running.is_set() for each in held] == [True, True, False, False, False]
        assert two.word(W_BUSY) == 5

        for each in held:
            each.end()
        two.until(lambda: two.word(W_BUSY) == 0)
        assert two.most == 2

    @pytest.mark.parametrize("threads", [1, 2])
    def test_request_went_elsewhere(self, crew: Make, threads: int) -> None:
        """It is not in this worker any more, though no thread has come for it; one that runs stays."""
        one = crew(threads)
        held = [Held(f"/at-{number}") for number in range(threads + 2)]
        one.take(*held)
        for each in held[:threads]:
            each.until_runs()
        one.until(lambda: one.word(W_BUSY) == threads + 2)
        one.turns.withdraw(held[-1])  # type: ignore[arg-type]
        one.turns.withdraw(held[0])  # type: ignore[arg-type]
        assert one.word(W_BUSY) == threads + 1

        for each in held[:-1]:
            each.end()
        one.until(lambda: one.word(W_BUSY) == 0)
        assert not held[-1].running.is_set()

    @pytest.mark.parametrize("makes", [True, False])
    def test_status_is_counted(self, crew: Make, makes: bool) -> None:
        """By its class, with each answer, wherever it was made; one that is not a status of HTTP as an error."""
        one = crew(2, makes=makes)
        for code in (200, 204, 404, 500, 999):
            one.take(Job(code=code))
        one.until(lambda: one.requests() == 5)
        totals = one.totals()
        assert (totals.statuses, totals.by["GET", "5xx"]) == ((0, 2, 0, 1, 2), 2)

    @pytest.mark.parametrize("mode", ["inline", "pool"])
    def test_time_is_counted(self, crew: Make, mode: str) -> None:
        """Each request is in one bucket, by the time from its turn to its end, on whatever thread."""
        one = crew(2, mode)
        held = Held()
        one.take(held)
        held.until_runs()
        time.sleep(0.002)
        held.end()
        one.take(Job())
        one.until(lambda: one.requests() == 2)

        totals = one.totals()

        assert sum(totals.latency) == 2
        assert sum(totals.latency[bucket(2_000_000) :]) >= 1
        assert totals.latency_sum >= 0.002

    def test_method_is_counted(self, crew: Make) -> None:
        """By its name, where that is a common one."""
        one = crew(2)
        one.take(*(Job(method=method) for method in ("GET", "POST", "BREW", "PROPFIND")))
        one.until(lambda: one.requests() == 4)
        assert one.totals().by == {("GET", "2xx"): 1, ("POST", "2xx"): 1, ("other", "2xx"): 2}


class TestModes:
    def test_pool(self, crew: Make) -> None:
        """The leader's thread never runs a call."""
        one = crew(3, "pool")
        jobs = [Job() for _ in range(30)]
        one.take(*jobs)

        assert all(job.wait().led == [] for job in jobs)
        assert one.loop.leads == 1
        one.until(lambda: one.word(W_BUSY) == 0)
        assert one.word(W_REQUESTS) == 30

    def test_pool_while_calls_do_not_wait(self, crew: Make) -> None:
        """One thread takes one after the other; what waits for it gets another at the tick."""
        one = crew(3, "pool")
        held = [Held(), Held(), Held()]
        one.take(*held)
        held[0].until_runs()
        for number in (1, 2):
            one.until(lambda: bool(one.loop.later))
            assert not held[number].running.is_set()
            one.loop.tick()
            held[number].until_runs()
        for each in held:
            each.end()

    def test_pool_when_calls_wait(self, crew: Make) -> None:
        """Another thread is woken at once."""
        one = crew(3, "pool")
        slow = Job(lambda seat: time.sleep(0.001))
        one.take(slow)
        slow.wait()
        one.until(lambda: one.turns._routes.find(slow.line).waits and len(one.turns.threads.parked) == 3)
        held = [Held(), Held(), Held()]
        one.take(*held)
        for each in held:
            each.until_runs()
        assert one.loop.later == []
        for each in held:
            each.end()

    def test_inline(self, crew: Make) -> None:
        """A route is never pooled, though its long calls lose the reactor."""
        one = crew(2, "inline")
        for _ in range(3):
            held = Held()
            one.take(held)
            held.until_runs()
            one.until(lambda: one.turns.lead.current_call() is None)
            held.end()
            quick = Job()
            one.take(quick)
            assert quick.wait().led == [True]


class TestOneThread:
    def test_calls_run_on_the_main_thread(self, crew: Make) -> None:
        """All of them, one at a time, long ones too; another thread leads only while one lasts."""
        one = crew(1)
        held, quick = Held(), [Job() for _ in range(20)]
        one.take(quick[0], held)
        held.until_runs()
        one.until(lambda: one.loop.leads == 2)
        one.take(*quick[1:])
        held.end()
        for job in quick:
            job.wait()

        assert {job.runs[0].ident for job in [held, *quick]} == {one.main.ident}
        assert one.most == 1
        one.until(lambda: one.loop.leads == 3)
        again = Job()
        one.take(again)
        assert again.wait().led == [True]
        assert one.word(W_BUSY) == 0

    def test_many_long_calls(self, crew: Make) -> None:
        """The lead goes to and fro as often as needed."""
        one = crew(1)
        jobs = [Job(partial(rest, 0.006 if number % 3 else 0)) for number in range(60)]
        one.take(*jobs)
        for job in jobs:
            job.wait()

        assert {job.runs[0].ident for job in jobs} == {one.main.ident}
        assert (one.most, one.requests(), one.word(W_BUSY)) == (1, 60, 0)


class TestAside:
    @pytest.mark.parametrize("mode", ["inline", "pool"])
    def test_client_is_slow(self, crew: Make, mode: str) -> None:
        """While threads wait for their clients others have their places, and the reactor; then there are too many."""
        two = crew(2, mode)
        pairs = [socket.socketpair() for _ in range(4)]
        waiting = []
        for ours, _ in pairs:
            ours.setblocking(False)
            fill(ours)
            waiting.append(Job(lambda seat, ours=ours: seat.await_client(ours, PATIENCE)))  # type: ignore[misc]
        two.take(*waiting)
        two.until(lambda: two.turns.threads.aside == 4)
        quick = [Job(path="/quick") for _ in range(10)]
        two.take(*quick)
        for job in quick:
            job.wait()

        for ours, theirs in pairs:
            theirs.close()
            ours.close()
        for job in waiting:
            job.wait()
        two.until(lambda: two.turns.threads.active == 0)
        two.forget()
        two.until(lambda: two.turns.threads.alive == 3)
        assert two.word(W_BUSY) == 0

    def test_client_takes_nothing(self, crew: Make) -> None:
        """The wait is over after its time."""
        told: list[bool] = []
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fill(ours)
        with ours, theirs:
            job = Job(lambda seat: told.append(seat.await_client(ours, 0.01)))
            one = crew(1)
            one.take(job)
            job.wait()

        assert told == [False]


def rest(seconds: float, seat: Seat) -> None:
    """Wait, where there is something to wait for."""
    if seconds:
        time.sleep(seconds)


def fill(sock: socket.socket) -> None:
    """Send until there is no more room."""
    try:
        while True:
            sock.send(b"x" * 65536)
    except BlockingIOError:
        pass


class TestErrors:
    def test_error_of_ours(self, crew: Make) -> None:
        """The threads go on, whatever was raised."""

        def fail(seat: Seat) -> None:
            raise SystemExit("a")

        one = crew(2, "pool")
        with capturedLogs() as events:
            one.take(Job(fail))
            one.until(lambda: bool(events))
        quick = Job()
        one.take(quick)
        quick.wait()
        assert [event["log_format"] for event in events] == ["internal error in a turn"]


class TestStress:
    @pytest.mark.parametrize("threads", [1, 2, 3, 8])
    @pytest.mark.parametrize("mode", ["adaptive", "inline"])
    def test_reactor_changes_hands(self, crew: Make, threads: int, mode: str) -> None:
        """Each request is answered once, never by more threads than there may be, with one leader at a time."""
        made = crew(threads, mode)
        chance = random.Random(threads)
        waits = [chance.choice((0, 0, 0, 0.0005, 0.004)) for _ in range(400)]
        jobs = [Job(partial(rest, wait), f"/at-{number % 40}") for number, wait in enumerate(waits)]
        made.take(*jobs)
        for job in jobs:
            job.wait()
            made.loop.tick()

        assert [len(job.runs) for job in jobs] == [1] * len(jobs)
        assert made.most <= threads
        made.until(lambda: made.word(W_BUSY) == 0)
        assert made.requests() == len(jobs)
        assert made.loop.leads > 1

    def test_thousands_of_times(self, crew: Make) -> None:
        """A thread inside can lose the reactor at any time; two never have it."""
        made = crew(4, "inline")
        lost = 0

        def lose(seat: Seat) -> None:
            nonlocal lost
            call = made.turns.lead.current_call()
            if call is not None:
                made.turns.lead.take_from(call[1], False)
                lost += not seat.leads

        jobs = [Job(lose) for _ in range(3000)]
        made.take(*jobs)
        for job in jobs:
            job.wait()

        made.until(lambda: made.word(W_BUSY) == 0)
        assert made.requests() == 3000
        assert lost > 2000
        assert made.loop.leads >= lost

    def test_reactor_is_taken_while_calls_end(self, crew: Make) -> None:
        """Another thread tries to take it all the time: a thread that ends a call leads, or knows that it does not."""
        made, over = crew(4, "inline"), threading.Event()

        def grab() -> None:
            while not over.is_set():
                call = made.turns.lead.current_call()
                if call is not None:
                    made.turns.lead.take_from(call[1], False)

        grabbing = threading.Thread(target=grab)
        grabbing.start()
        jobs = [Job() for _ in range(3000)]
        made.take(*jobs)
        for job in jobs:
            job.wait()
        over.set()
        grabbing.join(PATIENCE)

        made.until(lambda: made.word(W_BUSY) == 0)
        assert made.requests() == 3000
        assert [len(job.runs) for job in jobs] == [1] * 3000


class TestTime:
    def test_hand_over(self, crew: Make) -> None:
        """Others wait for a call that blocks for a few milliseconds, and hardly ever for more than ten."""
        made = crew(2, "inline")
        took = []
        for _ in range(100):
            held = Held()
            made.take(held)
            held.until_runs()
            begun = time.monotonic()
            led = threading.Event()
            made.loop.tell(lambda seat, led=led: led.set())  # type: ignore[misc]
            assert led.wait(PATIENCE)
            took.append(time.monotonic() - begun)
            held.end()

        # Where the machine has other work, a thread may lack a processor for longer: one in ten is allowed to.
        assert sorted(took)[90] < 0.01


class TestBaton:
    def test_old_leader_ends_while_the_new_one_is_in_a_call(self, crew: Make) -> None:
        """It does not take the other's baton: that call can be replaced as well."""
        made = crew(3, "inline")
        first, second, third = Held(), Held(), Job()
        made.take(first)
        first.until_runs()
        made.take(second)
        second.until_runs()
        first.end()
        made.take(third)
        third.wait()
        second.end()

        made.until(lambda: made.word(W_BUSY) == 0)
        assert made.requests() == 3

    def test_old_leader_ends_first(self, crew: Make) -> None:
        """The one that has lost the reactor is over, its thread waits for work: the other's call is still in sight."""
        made = crew(3, "inline")
        # Not by its clock: the order is what this is about.
        made.turns._watchdog.close()
        first, second = Held("/first"), Held("/second")
        for held in (first, second):
            made.take(held)
            held.until_runs()
            call = made.turns.lead.current_call()
            assert call is not None
            assert call[0] is held.runs[0]
            if held is first:
                made.turns.lead.take_from(call[1], False)
        first.end()
        made.until(lambda: first.runs[0] in made.turns.threads.parked)

        assert made.turns.lead.current_call() == call
        assert call is not None
        made.turns.lead.take_from(call[1], False)
        made.until(lambda: made.loop.leads == 3)
        second.end()

    def test_call_is_over(self, crew: Make) -> None:
        """A replacement that comes too late changes nothing, though the same thread runs another call."""
        made = crew(2, "inline")
        made.turns._watchdog.close()
        first, second = Held(), Held()
        made.take(first)
        first.until_runs()
        call = made.turns.lead.current_call()
        assert call is not None
        first.end()
        made.take(second)
        second.until_runs()
        made.turns.lead.take_from(call[1], True)

        assert second.runs[0].leads
        # Not `pooled`: its own waiting, too, may have been seen.
        assert not made.turns._routes.find(first.line)._tripped
        second.end()
