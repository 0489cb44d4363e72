"""The claims of twistcorn.master.workers.freezes: who holds a frozen worker's lock, asked of a witness in our hands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import Desk, texts
from twistcorn.master.workers.freezes import SEARCH_SECONDS, Freezes
from twistcorn.policy.freeze import SUSPICION_SHARE, Task
from twistcorn.policy.health import Pulse
from twistcorn.settings import Settings

#: Seconds between two looks.
STEP = 0.25
MAIN, ONE, OTHER = 1, 2, 3


class Watched:
    """A frozen worker's threads: how many ticks each gets from one look to the next."""

    def __init__(self, rates: dict[int, int]) -> None:
        self.rates = rates
        self.ticks = dict.fromkeys(rates, 0)
        self.asked: list[int] = []
        self.says = ""
        self.forgotten = 0

    def step(self) -> None:
        for thread, rate in self.rates.items():
            self.ticks[thread] += rate

    def tasks(self, worker: Any) -> dict[int, Task]:
        return {thread: Task("R", ticks) for thread, ticks in self.ticks.items()}

    def ask(self, worker: Any, thread: int) -> bool:
        self.asked.append(thread)
        current = 0x70 + thread
        self.says = f'Current thread 0x{current:016x} (most recent call first):\n  File "app.py", line 1 in app\n'
        return True

    def hear(self, worker: Any) -> str:
        return self.says

    def forget(self, worker: Any) -> None:
        self.forgotten += 1
        self.says = ""


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def stands_still(desk: Desk, witness: Any, seconds: float) -> Any:
    """A worker without life for so long, with a heartbeat time-out of 2 s; returns what is known of it."""
    settings, worker = Settings(heartbeat_timeout=2.0), desk.worker()
    freezes = Freezes(desk.table, desk.board, witness)
    for look in range(round(seconds / STEP)):
        worker.pulse = Pulse(1, 10.0 + look * STEP, look * STEP)
        witness.step()
        freezes.examine(worker, 10.0 + look * STEP, settings)
    return worker.freeze


def test_holder_computes_alone(desk: Desk) -> None:
    """It is asked where it is, once."""
    witness = Watched({MAIN: 0, ONE: 20, OTHER: 0})
    freeze = stands_still(desk, witness, 2 * SUSPICION_SHARE + 4 * SEARCH_SECONDS)
    assert (witness.asked, freeze.thread) == ([ONE], 0x70 + ONE)


def test_holder_shows_late(desk: Desk) -> None:
    """The machine was busy at first: it is looked for again, and told when it is found."""
    witness = Watched({MAIN: 1, ONE: 1, OTHER: 1})
    settings, worker = Settings(heartbeat_timeout=2.0), desk.worker()
    freezes = Freezes(desk.table, desk.board, witness)  # type: ignore[arg-type]
    with capturedLogs() as logged:
        for look in range(24):
            if look == 12:
                assert (witness.asked, worker.freeze and worker.freeze.thread) == ([worker.pid], None)
                witness.rates = {MAIN: 0, ONE: 25, OTHER: 0}
            worker.pulse = Pulse(1, 10.0 + look * STEP, look * STEP)
            witness.step()
            freezes.examine(worker, 10.0 + look * STEP, settings)
    assert worker.freeze is not None
    assert worker.freeze.thread == 0x70 + ONE
    assert witness.asked == [worker.pid, ONE]
    assert len([text for text in texts(logged) if "holds the interpreter lock" in text]) == 2


def test_nobody_computes(desk: Desk) -> None:
    """Who sleeps with the lock cannot be told: the log has the stacks once, however long it lasts."""
    witness = Watched({MAIN: 0, ONE: 0, OTHER: 0})
    with capturedLogs() as logged:
        freeze = stands_still(desk, witness, 2 * SUSPICION_SHARE + 6 * SEARCH_SECONDS)
    assert (len(witness.asked), freeze.thread, witness.forgotten) == (1, None, 0)
    assert len([text for text in texts(logged) if "holds the interpreter lock" in text]) == 1
