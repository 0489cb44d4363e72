"""Periodic calls that survive errors.

Law: all periodic work of the server goes through here. A bare `LoopingCall` stops for good when its function raises;
here the error is logged and the next call comes. Repeated failure is reported to a function that can end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Failed calls in a row that count as a permanent fault.
MAX_FAILURES = 5


class Recurring:
    """Calls a function periodically; an error in one call does not prevent the next.

    :param what: names the work, for the log.
    :param give_up: called at each failure from the `MAX_FAILURES`-th in a row on; None: keep trying.
    """

    log = Logger()

    def __init__(
        self, clock: Any, what: str, function: Callable[[], object], give_up: Callable[[str], object] | None = None
    ) -> None:
        self._what = what
        self._function = function
        self._give_up = give_up
        self._failures = 0
        self._looping = LoopingCall(self._call)
        self._looping.clock = clock

    @property
    def running(self) -> bool:
        """Whether it is started."""
        return self._looping.running

    def start(self, interval: float, now: bool = True) -> None:
        """Call every `interval` seconds, first now or after one interval."""
        self._looping.start(interval, now)

    def stop(self) -> None:
        """Stop calling."""
        if self._looping.running:
            self._looping.stop()

    def _call(self) -> None:
        try:
            self._function()
        except Exception:
            self._failures += 1
            self.log.failure("internal error in {what}; continuing", what=self._what)
            if self._give_up is not None and self._failures >= MAX_FAILURES:
                self._give_up(f"{self._what} failed {self._failures} times in a row")
        else:
            self._failures = 0
