"""The watchdog: which calls lose the reactor, and when it checks."""

from __future__ import annotations

import threading
import time

import pytest
from twisted.logger import capturedLogs

from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.turns.watchdog import (
    MAX_LEAD_NANOSECONDS,
    PATIENCE_NANOSECONDS,
    SUSPECT_NANOSECONDS,
    CallVerdict,
    Judge,
    Watchdog,
)

PATIENT = 10.0


class Nobody:
    """The owner of a seat that never waits."""

    seats: set[Seat] = set()

    def stand_aside(self, seat: Seat) -> None:
        raise AssertionError

    def come_back(self, seat: Seat) -> None:
        raise AssertionError


def look(judge: Judge, now: int, delay: int = 0, since: int = 1) -> CallVerdict:
    return judge.judge(since, since + now, lambda: delay)


class TestJudge:
    def test_call_is_young(self) -> None:
        """Nothing is asked about it."""
        assert Judge().judge(0, SUSPECT_NANOSECONDS - 1, lambda: pytest.fail("asked")) is CallVerdict.KEEP

    def test_call_lasts(self) -> None:
        """Seen twice, it loses the reactor when its time is over."""
        judge = Judge()
        assert look(judge, SUSPECT_NANOSECONDS) is CallVerdict.KEEP
        assert look(judge, PATIENCE_NANOSECONDS - 1) is CallVerdict.KEEP
        assert look(judge, PATIENCE_NANOSECONDS) is CallVerdict.REPLACE

    def test_watchdog_comes_late(self) -> None:
        """A call that is seen for the first time goes on, whatever its age: perhaps no process ran."""
        judge = Judge()
        assert look(judge, 100 * PATIENCE_NANOSECONDS) is CallVerdict.KEEP
        assert look(judge, 101 * PATIENCE_NANOSECONDS) is CallVerdict.REPLACE

    def test_another_call(self) -> None:
        """What was seen of one says nothing of the next."""
        judge = Judge()
        look(judge, SUSPECT_NANOSECONDS, since=1)

        assert look(judge, PATIENCE_NANOSECONDS, since=2) is CallVerdict.KEEP

    def test_thread_lacks_a_processor(self) -> None:
        """It keeps the reactor for longer, then loses it, and its route is not to blame."""
        judge = Judge()
        assert look(judge, SUSPECT_NANOSECONDS) is CallVerdict.KEEP
        assert look(judge, PATIENCE_NANOSECONDS, delay=PATIENCE_NANOSECONDS) is CallVerdict.KEEP
        assert look(judge, MAX_LEAD_NANOSECONDS, delay=MAX_LEAD_NANOSECONDS) is CallVerdict.EXCUSE

    def test_thread_lacked_a_processor_before(self) -> None:
        """Only what was seen of this call counts."""
        judge = Judge()
        look(judge, SUSPECT_NANOSECONDS, delay=10**12)

        assert look(judge, PATIENCE_NANOSECONDS, delay=10**12) is CallVerdict.REPLACE


class Calls:
    """The calls that a watchdog checks."""

    def __init__(self) -> None:
        self.seat = Seat(Nobody())
        self.call: tuple[Seat, int] | None = None
        self.replaced = threading.Event()
        self.told: list[tuple[int, bool]] = []
        self.watchdog = Watchdog(lambda: self.call, self.replace)

    def replace(self, since: int, blame: bool) -> None:
        self.told.append((since, blame))
        self.call = None
        self.replaced.set()

    def begin(self) -> int:
        since = time.monotonic_ns()
        self.call = (self.seat, since)
        if self.watchdog.sleeping:
            self.watchdog.wake()
        return since

    def until_asleep(self) -> None:
        begun = time.monotonic()
        while not self.watchdog.sleeping:
            assert time.monotonic() - begun < PATIENT
            time.sleep(0.001)


@pytest.fixture
def calls() -> object:
    made = Calls()
    made.watchdog.start()
    yield made
    made.watchdog.close()
    for thread in threading.enumerate():
        if thread.name == "watchdog":
            thread.join(PATIENT)
    made.seat.close()


class TestWatchdog:
    def test_call_blocks(self, calls: Calls) -> None:
        """It is replaced, also when the watchdog was asleep."""
        for _ in range(3):
            calls.until_asleep()
            calls.replaced.clear()
            since = calls.begin()
            assert calls.replaced.wait(PATIENT)
            assert calls.told[-1][0] == since
            assert time.monotonic_ns() - since >= PATIENCE_NANOSECONDS

    def test_nothing_runs(self, calls: Calls) -> None:
        """It sleeps, and replaces nothing."""
        calls.until_asleep()

        assert calls.told == []

    def test_no_thread_is_to_be_had(self, calls: Calls) -> None:
        """That is logged, and tried again."""
        problems = [RuntimeError("can't start new thread"), MemoryError()]

        def replace(since: int, blame: bool) -> None:
            if problems:
                raise problems.pop(0)
            calls.replace(since, blame)

        calls.watchdog._replace = replace
        with capturedLogs() as events:
            since = calls.begin()
            assert calls.replaced.wait(PATIENT)

        assert [told for told, _ in calls.told] == [since]
        assert [event["log_format"] for event in events] == ["cannot take the reactor from a call; retrying"] * 2

    @pytest.mark.parametrize("lacks", [True, False])
    def test_who_is_to_blame(self, calls: Calls, monkeypatch: pytest.MonkeyPatch, lacks: bool) -> None:
        """The route, unless the call only lacked a processor."""
        monkeypatch.setattr(Seat, "delay", lambda seat: time.monotonic_ns() if lacks else 0)
        calls.begin()
        assert calls.replaced.wait(PATIENT)

        assert [blame for _, blame in calls.told] == [not lacks]
