"""The claims of twistcorn.master.metrics.history: a sample each time somebody takes one."""

from __future__ import annotations

from twisted.internet.task import Clock

from twistcorn.master.metrics.history import History
from twistcorn.policy.samples import Counted, Gauges


def test_samples_tell_of_the_time_in_between() -> None:
    """A look that comes late counts over the time that really passed."""
    clock, counts = Clock(), Counted()
    history = History(lambda: counts, lambda: Gauges(connections=2), lambda: 1000.0, clock.seconds)
    clock.advance(2)
    counts = Counted(requests=100)

    taken = history.take()

    assert (taken["time"], taken["rate"], taken["connections"]) == (1000.0, 50.0, 2)
    assert history.columns()["rate"] == [50.0]


def test_recent_seconds() -> None:
    """Samples are taken by themselves; `recent` covers the last ten seconds at most, and one at least."""
    clock, requests = Clock(), 0
    history = History(lambda: Counted(requests=requests), Gauges, seconds=clock.seconds)
    history.start(clock)
    requests = 50
    assert history.latest is None
    assert (history.recent()[0], history.recent()[1].rate) == (1.0, 50.0)

    clock.pump([1.0] * 30)
    requests = 86
    assert (history.recent()[0], history.recent()[1].rate) == (9.0, 4.0)
    assert history.latest is not None
    assert history.latest["rate"] == 0.0
    history.stop()
    assert clock.getDelayedCalls() == []


def test_clock_that_stands_still() -> None:
    """Two looks at the same moment are no error."""
    history = History(Counted, Gauges, seconds=lambda: 5.0)

    assert history.take()["rate"] == 0.0
