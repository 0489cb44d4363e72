"""The claims of twistcorn.master.history: a sample each time somebody takes one, and shares of a processor."""

from __future__ import annotations

import os
import subprocess
import time

from twisted.internet.task import Clock

from twistcorn.master.history import History, Usage, cpu_of
from twistcorn.pool.samples import Counted, Gauges


def test_samples_tell_of_the_time_in_between() -> None:
    """A look that comes late counts over the time that really passed."""
    clock, counts = Clock(), Counted()
    history = History(lambda: counts, lambda: Gauges(connections=2), lambda: 1000.0, clock.seconds)
    clock.advance(2)
    counts = Counted(requests=100)

    taken = history.take()

    assert (taken["time"], taken["rate"], taken["connections"]) == (1000.0, 50.0, 2)
    assert history.columns()["rate"] == [50.0]


def test_clock_that_stands_still() -> None:
    """Two looks at the same moment are no error."""
    history = History(Counted, Gauges, seconds=lambda: 5.0)

    assert history.take()["rate"] == 0.0


class TestUsage:
    def test_share_since_the_last_look(self) -> None:
        """Seconds of processor by seconds; a process that is new has no share yet, one that is gone no trace."""
        clock = Clock()
        had = {1: 10.0, 2: 0.0}
        usage = Usage(lambda pid: had[pid], clock.seconds)

        assert usage.look([1]) == {1: None}
        clock.advance(2)
        had[1] = 11.0
        assert usage.look([1, 2]) == {1: 0.5, 2: None}
        assert usage.look([]) == {}
        clock.advance(1)
        assert usage.look([1]) == {1: None}

    def test_own_processor_time(self) -> None:
        """It is the kernel's number."""
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

        assert abs(cpu_of(os.getpid()) - time.process_time()) < 0.2

    def test_no_such_process(self) -> None:
        """It takes nothing."""
        process = subprocess.Popen(["true"])
        process.wait()

        assert cpu_of(process.pid) == 0.0
