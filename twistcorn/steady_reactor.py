"""The reactor of `twistcorn run`: Twisted's epoll reactor with a steady clock.

Law: nothing else differs. Twisted's own clock is the wall clock, which is set now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.epollreactor import EPollReactor

from .clock import SteadyClock


class SteadyReactor(EPollReactor):
    """A reactor for which time does not jump.

    :ivar on_gap: told before any timer of the seconds in which this process did not run, for what counts by other
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
        """Wait for events for so many seconds at most, None: for ever; and handle them."""
        self._clock.look_by(math.inf if delay is None else self._clock.seconds() + delay)
        self.doPoll(delay)

    def runUntilCurrent(self) -> None:
        """Call what is due."""
        self._clock.seconds()
        if gap := self._clock.take_gap():
            for tell in list(self.on_gap):
                tell(gap)
        super().runUntilCurrent()


def install() -> None:
    """Make it the reactor of this process, unless there is one already."""
    import sys

    from twisted.internet.main import installReactor

    if "twisted.internet.reactor" not in sys.modules:
        installReactor(SteadyReactor())
