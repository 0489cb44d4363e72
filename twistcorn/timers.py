"""Our own timers in a foreign reactor, whose clock may be the wall clock.

Law: uses only the host reactor's descriptors, never its time: its timers stop for an hour if the wall clock is set back
by one. A timerfd (timerfd_create(2)) on the monotonic clock is one of its readers.
"""

from __future__ import annotations

import ctypes
import heapq
import math
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from .clock import SteadyClock

#: A clock within this many seconds of the wall clock is the wall clock.
_SAME_CLOCK_SECONDS = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    """struct itimerspec: seconds and nanoseconds of the period, and of the first expiry."""

    _fields_ = [(name, ctypes.c_long) for name in ("every", "every_ns", "first", "first_ns")]


class Timers(FileDescriptor):
    """Delayed calls, and a descriptor that becomes readable when one is due; open while there are any.

    :ivar on_gap: called, before any timer, with the seconds in which this process did not run.
    """

    log = Logger()

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self._host = host
        self.clock = SteadyClock()
        self.on_gap: list[Callable[[float], object]] = []
        # May contain cancelled calls: they are skipped when due.
        self._calls: list[DelayedCall] = []
        self._cancelled = 0
        self._descriptor = -1
        self._running = False

    def fileno(self) -> int:
        return self._descriptor

    def add_call(self, delay: float, function: Callable[..., object], args: Any, more: Any) -> DelayedCall:
        """See `IReactorTime.callLater`."""
        seconds = self.clock.seconds
        call = DelayedCall(seconds() + delay, function, args, more, self._one_less, self._sooner, seconds)
        heapq.heappush(self._calls, call)
        if self._calls[0] is call:
            self._arm()
        return call

    def pending(self) -> list[DelayedCall]:
        """Those that are neither called nor cancelled."""
        return [call for call in self._calls if call.active()]

    def _one_less(self, call: DelayedCall) -> None:
        self._cancelled += 1
        if 2 * self._cancelled > len(self._calls):
            # `call` itself is marked as cancelled only after this.
            self._calls = [each for each in self._calls if each.active() and each is not call]
            self._cancelled = 0
            heapq.heapify(self._calls)
            self._arm()

    def _sooner(self, call: DelayedCall) -> None:
        heapq.heapify(self._calls)
        self._arm()

    def _arm(self) -> None:
        """Arm the timerfd for the first call."""
        if self._running:
            return
        if not self._calls:
            self.clock.wake_by(math.inf)
            # Not now: the host may be about to ask this reader for its descriptor.
            self._host.callFromThread(self._close)
            return
        if self._descriptor < 0:
            self._open()
        at, now = self._calls[0].time, self.clock.seconds()
        self.clock.wake_by(max(at, now))
        # Zero would disarm it.
        whole, rest = divmod(max(1, int((at - now) * 1e9)), 1_000_000_000)
        spec = _Spec(0, 0, whole, rest)
        if _libc.timerfd_settime(self._descriptor, 0, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _open(self) -> None:
        descriptor = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._descriptor = descriptor
        self.startReading()

    def _close(self) -> None:
        if not self._calls and self._descriptor >= 0:
            self.stopReading()
            os.close(self._descriptor)
            self._descriptor = -1

    def report_closed(self, closed: Deferred[None]) -> None:
        """Fire this once the timerfd is closed, or is needed for a call that is not due yet; not within `doRead`.

        What is due now may be Twisted's own: the end of a process's pipe, for one.
        """
        pending = self.pending()
        if not pending:
            self._calls, self._cancelled = [], 0
            self._close()
        if not pending or any(call.time > self.clock.seconds() for call in pending):
            closed.callback(None)
        else:
            self._host.callFromThread(self.report_closed, closed)

    def doRead(self) -> None:
        # After a cancelled call it may be readable with nothing due; it is rearmed below all the same.
        now = self.clock.seconds()
        self._running = True
        try:
            if gap := self.clock.take_gap():
                for tell in list(self.on_gap):
                    self._call(tell, (gap,), {})
            while self._calls and self._calls[0].time <= now:
                self._run(heapq.heappop(self._calls))
        finally:
            self._running = False
            # Rearming makes it unreadable.
            self._arm()

    def _run(self, call: DelayedCall) -> None:
        if call.cancelled:
            self._cancelled -= 1
            return
        if call.delayed_time > 0:
            call.activate_delay()
            heapq.heappush(self._calls, call)
            return
        call.called = 1
        self._call(call.func, call.args, call.kw)

    def _call(self, function: Any, args: Any, more: Any) -> None:
        try:
            function(*args, **more)
        except Exception:
            self.log.failure("internal error in a timer")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Never happens: only we close the descriptor."""


class HostedReactor:
    """A foreign reactor with our own time.

    :ivar on_gap: see `Timers`.
    """

    def __init__(self, host: Any) -> None:
        self._host = host
        self._timers = Timers(host)
        self.on_gap = self._timers.on_gap
        directlyProvides(self, providedBy(host))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def seconds(self) -> float:
        """Monotonic seconds in which this process could run."""
        return self._timers.clock.seconds()

    def callLater(self, delay: float, function: Callable[..., object], *args: Any, **more: Any) -> DelayedCall:
        """See `IReactorTime`."""
        return self._timers.add_call(delay, function, args, more)

    def closed(self) -> Deferred[None]:
        """Fires when the timerfd is closed, if no call is left: the host's reactor is as clean as before."""
        closed: Deferred[None] = Deferred()
        self._host.callFromThread(self._timers.report_closed, closed)
        return closed

    def getDelayedCalls(self) -> list[DelayedCall]:
        """See `IReactorTime`; ours only."""
        return self._timers.pending()


def steady(reactor: Any) -> Any:
    """A reactor that does not use the wall clock: the given one, or the given one with our own timers."""
    return HostedReactor(reactor) if abs(reactor.seconds() - time.time()) < _SAME_CLOCK_SECONDS else reactor


def closed(reactor: Any) -> Deferred[None]:
    """Fires when nothing of our time is left in a reactor that `steady` returned."""
    return reactor.closed() if isinstance(reactor, HostedReactor) else succeed(None)
