"""The watchdog: detects long inline calls, and has the lead taken from them.

Law: `Judge` is pure; `Watchdog` is one thread that checks, and does nothing else. It sleeps while no call runs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import threading, time
from ..loop.seats import Seat
from ..process import failing

#: Seconds between two checks while calls run. A check costs some ten microseconds.
CHECK_SECONDS = 0.002
#: Nanoseconds after which a call loses the reactor: well below what a client notices, well above the length of a call
#: that does not wait.
PATIENCE_NANOSECONDS = 2_000_000
#: Age in nanoseconds from which a call is suspect.
SUSPECT_NANOSECONDS = 500_000
#: Nanoseconds for which a call that only lacks a processor keeps the reactor: another thread would lack it as well.
MAX_LEAD_NANOSECONDS = 10_000_000
#: Checks without a new call before the watchdog sleeps: an occasional request must not cost many checks.
IDLE_CHECKS = 3


class CallVerdict(enum.Enum):
    """What happens to a call."""

    KEEP = "the call keeps the reactor"
    REPLACE = "the call loses the reactor, and its route goes to the pool"
    EXCUSE = "the call loses the reactor; it lacked a processor, so its route is not to blame"


class Judge:
    """Judges the call that runs, from one check to the next. All times are nanoseconds."""

    def __init__(self) -> None:
        self._since = 0
        self._seen = 0
        self._delay = 0

    def judge(self, since: int, now: int, delay: Callable[[], int]) -> CallVerdict:
        """Judge the call that runs now.

        :param since: when the call began; identifies it.
        :param delay: returns how long its thread has lacked a processor so far.
        """
        age = now - since
        if age < SUSPECT_NANOSECONDS:
            return CallVerdict.KEEP
        if since != self._since:
            # A late check proves nothing: perhaps the machine is busy, and not the call.
            self._since, self._seen, self._delay = since, now, delay()
            return CallVerdict.KEEP
        if age < PATIENCE_NANOSECONDS:
            return CallVerdict.KEEP
        if 2 * (delay() - self._delay) <= now - self._seen:
            return CallVerdict.REPLACE
        return CallVerdict.EXCUSE if age >= MAX_LEAD_NANOSECONDS else CallVerdict.KEEP


class Watchdog:
    """Checks the call that runs inline.

    :param running: returns its seat and when it began; None if none runs.
    :param replace: takes the reactor from the call that began then, and says whether its route is to blame.
    :ivar sleeping: whether it must be woken when a call begins.
    :ivar works: whether its thread runs.
    """

    log = Logger()

    def __init__(
        self, running: Callable[[], tuple[Seat, int] | None], replace: Callable[[int, bool], None]
    ) -> None:
        self._running = running
        self._replace = replace
        self._awake = threading.Event()
        self._over = False
        self.sleeping = self.works = False

    def start(self) -> None:
        """Start the thread; if that fails, `works` stays false, and this may be called again."""
        try:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        except (RuntimeError, MemoryError):
            return
        self.works = True

    def wake(self) -> None:
        """Wake the watchdog, as a call begins."""
        if self.sleeping:
            self.sleeping = False
            self._awake.set()

    def close(self) -> None:
        """End the thread."""
        self._over = True
        self.wake()

    def _watch(self) -> None:
        try:
            self._watch_calls()
        except BaseException:
            failing.fail("its watchdog failed", Failure())

    def _watch_calls(self) -> None:
        judge, idle, last = Judge(), 0, 0
        while not self._over:
            time.sleep(CHECK_SECONDS)
            call = self._running()
            if call is None or call[1] == last:
                idle += 1
            else:
                idle, last = 0, call[1]
            if call is not None:
                self._check(judge, *call)
            elif idle > IDLE_CHECKS:
                self._sleep()
                idle = 0

    def _check(self, judge: Judge, seat: Seat, since: int) -> None:
        try:
            verdict = judge.judge(since, time.monotonic_ns(), seat.delay)
            if verdict is not CallVerdict.KEEP:
                self._replace(since, verdict is CallVerdict.REPLACE)
        except Exception:
            # The next check tries again.
            self.log.failure("cannot take the reactor from a call; retrying")

    def _sleep(self) -> None:
        self._awake.clear()
        self.sleeping = True
        # A call may have begun just before `sleeping` was set, and not have woken this thread.
        if self._running() is None and not self._over:
            self._awake.wait()
        self.sleeping = False
