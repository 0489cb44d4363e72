"""Something that is done at regular times, for as long as it is wanted.

Law: what the house does by itself goes through here. A bare `LoopingCall` ends for good when its function raises; here
an error is logged and the next call comes. Who fails every time is told to somebody who can end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Calls in a row that may fail before that is no accident any more.
MAX_FAILURES = 5


class Recurring:
    """Calls a function again and again; an error in one call is no reason not to make the next.

    :param what: what is done, for the log.
    :param give_up: told, each time, once it has failed `MAX_FAILURES` times in a row; None: it goes on trying.
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
        """Whether it was started, and not stopped since."""
        return self._looping.running

    def start(self, interval: float, now: bool = True) -> None:
        """Call every so many seconds, for the first time now or after that time."""
        self._looping.start(interval, now)

    def stop(self) -> None:
        """Call no more."""
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
