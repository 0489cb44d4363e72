"""Slow requests: logs each once, while it runs, with its stack.

Law: checks the seats periodically, on the leader's thread, and touches no request. Nothing runs while `--slow` is off.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from twisted.logger import Logger

from ...pristine import sys, time
from ...recurring import Recurring
from ...settings import Settings
from ..loop.connection import Connection
from ..loop.seats import Seat
from ..turns.deadlines import line_of
from .call import Call

#: Seconds between two checks, at most and at least: how late a line may be.
CHECK_SECONDS, MIN_CHECK_SECONDS = 0.1, 0.01
#: Lines per second; when all requests are slow, a few stacks show why.
LINES_PER_SECOND = 5


class SlowRequests:
    """Finds slow requests. All times are monotonic nanoseconds.

    :param seats: the threads that can run the application.
    """

    log = Logger()

    def __init__(
        self, clock: Any, seats: Callable[[], Iterable[Seat]], now: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._seats = seats
        self._now = now
        self._limit = 0
        self._told: dict[Seat, tuple[Connection, int]] = {}
        self._second = self._lines = self._unsaid = 0
        self._looking = Recurring(clock, "the check for slow requests", self.check)

    def configure(self, settings: Settings) -> None:
        """Apply the settings."""
        self._limit = int(settings.slow * 1e9)
        if self._looking.running:
            self._looking.stop()
        if self._limit:
            self._looking.start(max(MIN_CHECK_SECONDS, min(CHECK_SECONDS, settings.slow / 2)), now=False)

    def check(self) -> None:
        """Check once."""
        now = self._now()
        self._log_skipped(now)
        told = {}
        for seat in self._seats():
            connection = seat.exposed
            # A response that keeps sending, such as an event stream, is not slow.
            if connection is None or now - connection.redo_log.counted_from <= self._limit:
                # It may be briefly outside the application, between two pieces.
                if (last := self._told.get(seat)) is not None and last[0].redo_log.since == last[1]:
                    told[seat] = last
                continue
            running = told[seat] = (connection, connection.redo_log.since)
            if self._told.get(seat) != running:
                self._log_slow(seat, running, now)
        self._told = told

    def _log_slow(self, seat: Seat, running: tuple[Connection, int], now: int) -> None:
        connection, since = running
        if self._lines >= LINES_PER_SECOND:
            self._unsaid += 1
            return
        frame = sys._current_frames().get(seat.ident)
        call, stack = of_application(frame)
        request = connection.request
        if call is None or request is None or seat.exposed is not connection or connection.redo_log.since != since:
            # The request has just ended.
            return
        self._lines += 1
        self.log.warn(
            "slow: {name} running for {age:.1f} s, at:\n{stack}",
            name=call.name, method=request.line.method, path=request.line.path.decode("latin-1"),
            request_id=call.ident, age=(now - since) / 1e9, stack=stack,
        )  # fmt: skip

    def _log_skipped(self, now: int) -> None:
        second = now // 1_000_000_000
        if second != self._second:
            self._second, self._lines = second, 0
            if self._unsaid:
                self.log.warn("slow: {count} more requests", count=self._unsaid)
                self._unsaid = 0


def of_application(frame: FrameType | None) -> tuple[Any, str]:
    """The reply that a thread is working on, and the application's part of its stack, below our own call.

    The reply is None when the thread no longer runs the application.
    """
    inner: list[FrameType] = []
    while frame is not None and frame.f_code is not Call.run.__code__:
        inner.append(frame)
        frame = frame.f_back
    if frame is None:
        return None, ""
    out = frame.f_locals["self"].out
    try:
        summary = traceback.StackSummary.extract((each, each.f_lineno) for each in reversed(inner))
        return out, "".join(summary.format()).rstrip("\n")
    except BaseException as error:
        # The application's module loader supplies the source, and may raise.
        return out, f"  stack not available: {type(error).__name__}"


def name_of(seat: Seat, connection: Connection) -> str:
    """Method and path of the request that runs on a thread, with its id if known."""
    out, _ = of_application(sys._current_frames().get(seat.ident))
    return line_of(connection) if out is None else str(out.name)
