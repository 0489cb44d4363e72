"""The claims of twistcorn.recurring: periodic calls continue, whatever one call does."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from twistcorn.recurring import MAX_FAILURES, Recurring


def fails(calls: list[float], clock: Clock, times: int) -> None:
    calls.append(clock.seconds())
    if len(calls) <= times:
        raise LookupError("ours")


def test_call_fails() -> None:
    """It is logged, and the next call comes in its time."""
    clock, calls = Clock(), list[float]()
    recurring = Recurring(clock, "the look", lambda: fails(calls, clock, 1))
    with capturedLogs() as events:
        recurring.start(1.0, now=False)
        clock.pump([1.0] * 3)
    recurring.stop()
    assert calls == [1.0, 2.0, 3.0]
    assert [event["what"] for event in events] == ["the look"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(("failures", "given_up"), [(MAX_FAILURES - 1, 0), (MAX_FAILURES, 1), (MAX_FAILURES + 1, 2)])
def test_every_call_fails(failures: int, given_up: int) -> None:
    """Repeated failure is reported to a function that can end the process."""
    clock, calls, told = Clock(), list[float](), list[str]()
    recurring = Recurring(clock, "the look", lambda: fails(calls, clock, failures), told.append)
    with capturedLogs():
        recurring.start(1.0)
        clock.pump([1.0] * 9)
    assert len(told) == given_up


def test_failures_with_success_between() -> None:
    """Only those in a row count."""
    clock, told, turn = Clock(), list[str](), list[int]()

    def every_other() -> None:
        turn.append(1)
        if len(turn) % 2:
            raise LookupError("ours")

    recurring = Recurring(clock, "the look", every_other, told.append)
    with capturedLogs():
        recurring.start(1.0)
        clock.pump([1.0] * 4 * MAX_FAILURES)
    assert told == []
