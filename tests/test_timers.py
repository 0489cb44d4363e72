"""Our own timers in a foreign reactor, whose wall clock is set."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from twistcorn.steady_reactor import SteadyReactor
from twistcorn.timers import HostedReactor, closed, steady

PATIENCE = 10.0


class Host(EPollReactor):
    """A Twisted reactor, run for as long as a test wants; its wall clock is `offset` seconds wrong."""

    offset = 0.0

    def seconds(self) -> float:
        return time.time() + self.offset


def close(reactor: Any) -> None:
    """Leave no descriptor of a reactor behind."""
    reactor.removeAll()
    reactor.waker.connectionLost(None)
    reactor._poller.close()


@pytest.fixture
def host() -> Iterator[Host]:
    """A host."""
    host = Host()
    yield host
    close(host)


@pytest.fixture
def hosted(host: Host) -> Any:
    """Our view of it."""
    return steady(host)


def run_until(host: Host, done: list[Any], count: int = 1) -> None:
    """Run the host's loop until the list has this length."""
    deadline = time.monotonic() + PATIENCE
    while len(done) < count:
        assert time.monotonic() < deadline, "nothing was called"
        host.runUntilCurrent()
        host.doIteration(0.5)


class TestWhoseClock:
    def test_wall_clock(self, host: Host, hosted: Any) -> None:
        """A reactor on the wall clock gets our timers, and is otherwise unchanged."""
        assert isinstance(hosted, HostedReactor)
        assert hosted.addReader.__self__ is host
        assert IReactorTCP.providedBy(hosted)
        assert abs(hosted.seconds() - time.monotonic()) < 1.0

    def test_steady(self) -> None:
        """A steady reactor, or a test's, is used as it is."""
        clock, reactor = Clock(), SteadyReactor()
        try:
            assert steady(clock) is clock
            assert steady(reactor) is reactor
        finally:
            close(reactor)


class TestTimers:
    @pytest.mark.parametrize("shift", [-3600.0, 3600.0])
    def test_wall_clock_is_set(self, host: Host, hosted: Any, shift: float) -> None:
        """A timer fires after its time, however the host's clock is set meanwhile."""
        done: list[float] = []
        began = time.monotonic()
        hosted.callLater(0.2, lambda: done.append(time.monotonic()))
        host.offset = shift
        run_until(host, done)
        assert 0.19 < done[0] - began < PATIENCE

    def test_order(self, host: Host, hosted: Any) -> None:
        """They are called in the order of their times, with their arguments."""
        done: list[Any] = []
        hosted.callLater(0.05, done.append, "late")
        hosted.callLater(0.0, lambda *given, **more: done.append((given, more)), 1, two=2)
        run_until(host, done)
        assert done == [((1,), {"two": 2})]
        done.clear()
        run_until(host, done)
        assert done == ["late"]

    def test_cancelled_and_moved(self, host: Host, hosted: Any) -> None:
        """One is cancelled, one comes sooner, one later."""
        done: list[str] = []
        gone = [hosted.callLater(0.01, done.append, "gone") for _ in range(5)]
        sooner, later = hosted.callLater(60.0, done.append, "sooner"), hosted.callLater(0.02, done.append, "later")
        for call in gone:
            call.cancel()
        sooner.reset(0.05)
        later.reset(0.1)
        assert set(hosted.getDelayedCalls()) == {sooner, later}
        run_until(host, done, 2)
        assert done == ["sooner", "later"]

    def test_one_fails(self, host: Host, hosted: Any) -> None:
        """An exception in one is logged, and the next is called."""
        done: list[int] = []
        events: list[Any] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        try:
            hosted.callLater(0.0, lambda: 1 / 0)
            hosted.callLater(0.01, done.append, 1)
            run_until(host, done)
        finally:
            globalLogPublisher.removeObserver(observer)
        failures = [event for event in events if event.get("log_level") is LogLevel.critical]
        assert [event["log_failure"].type for event in failures] == [ZeroDivisionError]

    def test_nothing_is_left(self, host: Host, hosted: Any) -> None:
        """When no timer is left no descriptor is, so that the host finds its reactor as it was."""
        before = set(host.getReaders())
        done: list[int] = []
        hosted.callLater(0.0, done.append, 1)
        assert set(host.getReaders()) != before
        (ours,) = set(host.getReaders()) - before
        descriptor = ours.fileno()
        run_until(host, done)
        host.runUntilCurrent()
        assert set(host.getReaders()) == before
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
        hosted.callLater(0.0, done.append, 2).cancel()
        host.runUntilCurrent()
        assert set(host.getReaders()) == before

    @pytest.mark.parametrize("left", ["nothing", "due", "cancelled", "later"])
    def test_closed(self, host: Host, hosted: Any, left: str) -> None:
        """A service that has ended leaves its host as it found it, whatever was due or cancelled meanwhile."""
        done: list[str] = []
        if left == "due":
            hosted.callLater(0, done.append, "due")
        elif left == "cancelled":
            calls = [hosted.callLater(delay, done.append, "late") for delay in (0, 60, 60)]
            calls[1].cancel()
            calls[2].cancel()
        elif left == "later":
            hosted.callLater(60, done.append, "late")
        closed(hosted).addCallback(lambda _: done.append("closed"))
        run_until(host, done, 2 if left in ("due", "cancelled") else 1)
        assert done[-1] == "closed"
        assert bool(host.getReaders()[1:]) is (left == "later")

    def test_closed_on_a_reactor_of_our_own(self) -> None:
        """Nothing of ours is in it."""
        done: list[str] = []
        closed(Clock()).addCallback(lambda _: done.append("closed"))
        assert done == ["closed"]

    def test_only_the_timer_wakes_the_host(self, host: Host, hosted: Any) -> None:
        """The host waits in its own way: what wakes it is a descriptor that is readable."""
        hosted.callLater(0.05, lambda: None)
        (ours,) = [reader for reader in host.getReaders() if "Timers" in type(reader).__name__]
        waiting = select.poll()
        waiting.register(ours.fileno(), select.POLLIN)
        assert waiting.poll(PATIENCE * 1000)

    def test_host_did_not_run(self, host: Host, hosted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A gap is reported before any timer, and timers that were not due before it are not due after it."""
        said: list[Any] = []
        now = [time.monotonic()]
        monkeypatch.setattr(hosted._timers.clock, "_now", lambda: now[0])
        hosted.on_gap.append(lambda gap: said.append(("gap", round(gap))))
        hosted.callLater(0.01, said.append, "due")
        later = hosted.callLater(5.0, said.append, "not due")
        now[0] += 60.01
        run_until(host, said, 2)
        assert said == [("gap", 60), "due"]
        assert 4.9 < later.getTime() - hosted.seconds() < 5.0
        later.cancel()
