"""The reactor of `twistcorn run`: Twisted's epoll reactor with a steady clock.

Law: nothing else differs. Twisted's own clock is the wall clock, which may be set at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.epollreactor import EPollReactor

from .clock import SteadyClock


class SteadyReactor(EPollReactor):
    """A reactor whose time does not jump.

    :ivar on_gap: called, before any timer, with the seconds in which this process did not run, for code that uses other
        clocks.
    """

    def __init__(self) -> None:
        self._clock = SteadyClock()
        self.on_gap: list[Callable[[float], object]] = []
        super().__init__()

    def seconds(self) -> float:
        """Monotonic seconds in which this process could run."""
        return self._clock.seconds()

    def doIteration(self, delay: Any) -> None:
        """Wait for events for at most `delay` seconds (None: no limit), and handle them."""
        self._clock.wake_by(math.inf if delay is None else self._clock.seconds() + delay)
        self.doPoll(delay)

    def runUntilCurrent(self) -> None:
        """Run the calls that are due."""
        self._clock.seconds()
        if gap := self._clock.take_gap():
            for tell in list(self.on_gap):
                tell(gap)
        super().runUntilCurrent()


def install() -> None:
    """Install it as this process's reactor, unless there is one."""
    import sys

    from twisted.internet.main import installReactor

    if "twisted.internet.reactor" not in sys.modules:
        installReactor(SteadyReactor())
