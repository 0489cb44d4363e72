"""The claims of twistcorn.master.workers.scaling: what it sees on the scoreboard of a stage, and what it does about it.

Law: time is the stage's; processor and memory are what a test says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import texts
from tests.master.workers.test_tuning import told
from twistcorn.master.workers.scaling import free_memory, processor_time
from twistcorn.policy.sizing import SAMPLES_TO_GROW
from twistcorn.settings import Settings, from_values
from twistcorn.wire.scoreboard import W_BUSY, W_REQUESTS

if TYPE_CHECKING:
    from tests.master.stage import Stage


class Scaled:
    """A stage with bounds.

    :ivar processor: the share of a processor that each worker uses; `room`: bytes of memory that can be had.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.processor = 0.1
        self.room = 1 << 40
        self._used = 0.0
        scaling = stage.supervisor.scaling
        scaling._processor, scaling._room = (lambda pid: self._used), (lambda: self.room)
        stage.serve()

    @property
    def target(self) -> int:
        return self.stage.supervisor.target

    @property
    def threads(self) -> int:
        return self.stage.supervisor.settings.threads

    def load(self, busy: int, seconds: int = SAMPLES_TO_GROW + 1, answers: int = 10) -> None:
        """So many requests are in each worker, for so long, and it answers so many in a second."""
        for _ in range(seconds):
            for worker in self.stage.ready:
                base = self.stage.board.worker_base(worker.region)
                self.stage.board.words[base + W_BUSY] = busy
                self.stage.board.words[base + W_REQUESTS] += answers
            self._used += self.processor
            self.stage.pass_by(1)


@pytest.fixture
def scaled(stages: Any) -> Any:
    """Makes a stage with bounds."""
    return lambda **given: Scaled(stages(**vars(from_values(**{"threads": 4, **given}))))


class TestWorkers:
    def test_all_threads_are_busy(self, scaled: Any) -> None:
        """One more, and the log says why; the next one only when that is there."""
        made = scaled(workers="2:4")
        assert made.target == 2
        with capturedLogs() as logged:
            made.load(4)
        assert made.target == 3
        assert "worker target set to 3: 100% of threads are busy" in texts(logged)

        made.load(4, 20)
        assert made.target == 3
        made.stage.boot_all()
        made.load(4)
        assert made.target == 4
        made.stage.boot_all()
        made.load(4, 20)
        assert made.target == 4

    def test_requests_wait(self, scaled: Any) -> None:
        """Those beyond the threads do; as long as it takes to answer them."""
        made = scaled(workers="2:4")
        with capturedLogs() as logged:
            made.load(6)

        assert "worker target set to 3: requests wait 200 ms for a thread" in texts(logged)

    def test_processor_is_used_up(self, scaled: Any) -> None:
        """Few threads are busy where calls compute, and yet there is nothing left."""
        made = scaled(workers="2:4")
        made.processor = 0.95
        made.load(1)

        assert made.target == 3

    def test_nothing_to_do(self, scaled: Any) -> None:
        """They go, one at a time, down to the lower bound."""
        made = scaled(workers="2:4", scale_down_after=10.0)
        made.stage.supervisor.scale(2)
        made.stage.boot_all()
        made.load(0, 12)
        assert made.target == 3
        made.load(0, 30)
        assert made.target == 2

    def test_no_memory(self, scaled: Any) -> None:
        """None is added, and the log says so."""
        made = scaled(workers="2:4")
        for worker in made.stage.ready:
            worker.rss = 1 << 30
        made.stage.supervisor.care._rss = lambda pid: 1 << 30
        made.room = 1 << 30
        with capturedLogs() as logged:
            made.load(4)

        assert made.target == 2
        assert [text for text in texts(logged) if text.startswith("not adding a worker: ")]

    def test_number_by_hand(self, scaled: Any) -> None:
        """Within the bounds; what was seen before counts no longer."""
        made = scaled(workers="2:4", scale_down_after=10.0)
        made.load(0, 8)
        made.stage.supervisor.scale(9)
        made.stage.boot_all()
        assert made.target == 4
        made.load(0, 9)
        assert made.target == 4

    def test_reload(self, scaled: Any) -> None:
        """It has a pace of its own; meanwhile nothing changes."""
        made = scaled(workers="2:4")
        made.stage.supervisor.reload()
        made.load(4, 10)
        assert made.target == 2

        made.stage.boot_all()
        assert made.stage.generations == {2: "ready ready"}

    def test_without_bounds(self, scaled: Any) -> None:
        """Nobody looks."""
        made = scaled(workers=2)
        made.stage.supervisor.scaling._processor = lambda pid: pytest.fail("nobody shall look")
        made.load(9, 10)

        assert made.target == 2

    def test_bounds_that_are_set(self, scaled: Any) -> None:
        """They count at once."""
        made = scaled(workers=2)
        made.stage.supervisor.tuning.set("workers", "2:3")
        made.load(4)

        assert made.target == 3


class TestThreads:
    def test_application_waits(self, scaled: Any) -> None:
        """All workers are told of one more; the bounds are what `get` tells."""
        made = scaled(workers=2, threads="4:6")
        made.load(6)

        assert made.threads == 5
        assert [[settings.threads for settings in told(worker)] for worker in made.stage.ready] == [[5], [5]]
        assert made.stage.supervisor.tuning.get("threads")[0] == {
            "name": "threads", "value": "4:6", "origin": "default", "change": "live", "now": "5",
        }  # fmt: skip

    def test_before_workers(self, scaled: Any) -> None:
        """Where calls wait, threads come first; workers when there can be no more of them."""
        made = scaled(workers="2:4", threads="4:5")
        made.load(9)
        assert (made.threads, made.target) == (5, 2)
        made.load(9)
        assert (made.threads, made.target) == (5, 3)

    def test_application_computes(self, scaled: Any) -> None:
        """More threads would not help; more workers do."""
        made = scaled(workers="2:4", threads="4:8")
        made.processor = 0.99
        made.load(9)

        assert (made.threads, made.target) == (4, 3)

    def test_number_stays_across_a_reload(self, scaled: Any) -> None:
        """The bounds did not change, so neither does it."""
        made = scaled(workers=2, threads="4:8")
        made.load(9)
        made.stage.supervisor.reload()
        made.stage.boot_all()

        assert (made.threads, made.stage.supervisor.settings.threads_bounds) == (5, (4, 8))
        assert Settings().threads_bounds is None


def test_processor_time_of_a_process() -> None:
    """What the kernel says; 0 of one that is not there."""
    before = processor_time(os.getpid())
    while processor_time(os.getpid()) == before:
        pass

    assert processor_time(os.getpid()) > before >= 0
    assert processor_time(-1) == 0


def test_memory_of_this_machine() -> None:
    """There is some, or nobody knows."""
    room = free_memory()

    assert room is None or room > 1 << 20
