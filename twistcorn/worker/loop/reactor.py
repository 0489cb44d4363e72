"""The worker's reactor: Twisted's epoll reactor, with a loop that can pass from thread to thread.

Law: exactly one thread, the leader, runs it at any time. It uses Twisted's public methods, with one exception: the
descriptor of Twisted's epoll, which is watched among the connections, so that one call waits for both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.epollreactor import EPollReactor
from twisted.python import threadable
from twisted.python.failure import Failure

from ...pristine import time
from ..process import failing, forks
from .seats import Seat

#: Seconds between two passes of the loop that count as a gap: heartbeats wake it each second, and the watchdog takes
#: it from long calls.
GAP_SECONDS = 3.0

#: Polls connections and this reactor, for at most these seconds (None: without limit), on the thread of the seat.
Poll = Callable[[float | None, Seat], None]


class WorkerReactor(EPollReactor):
    """A reactor that the main thread runs until `enlist` provides a crew."""

    #: Monotonic: Twisted uses the wall clock, and would stop time-outs for an hour when that is set back by one.
    #: Wrapped, because freezegun replaces the bare function wherever it finds it, in this reactor as well.
    seconds = staticmethod(partial(time.monotonic))

    def __init__(self) -> None:
        #: Called after a gap, before any timer, with its seconds.
        self.on_gap: list[Callable[[float], object]] = []
        self._turned = time.monotonic()
        self._poll: Poll
        self._crew: Callable[[], None] | None = None
        self._inside: Seat | None = None
        super().__init__()

    def enlist(self, poll: Poll, crew: Callable[[], None]) -> None:
        """Hand the loop to a crew, from its next pass on.

        :param poll: waits for events, those of this reactor included, and handles them.
        :param crew: takes over the main thread, and returns when the reactor has stopped.
        """
        self._poll = poll
        self._crew = crew

    def own_descriptor(self) -> int:
        """Return the descriptor that is readable when one of the reactor's own is ready (epoll(7))."""
        return int(self._poller.fileno())

    def mainLoop(self) -> None:
        """Run until stopped, on the main thread."""
        self._run(lambda: self._crew is None, lambda: self.doIteration(self._wait()))
        if self._crew is not None:
            try:
                self._crew()
            except BaseException:
                failing.fail("its main thread failed", Failure())

    def lead(self, seat: Seat) -> None:
        """Run the loop on this thread until the reactor stops or the seat loses the lead."""
        assert self._inside is None, "two threads in the reactor"
        self._inside = seat
        self._run(lambda: seat.leads, lambda: self._step(seat))

    def _step(self, seat: Seat) -> None:
        # The application, called in here, must see the same as in any other thread (crochet asks `isInIOThread`).
        threadable.ioThread = None
        self._poll(self._wait(), seat)

    def own_events(self) -> None:
        """Handle what is ready among the reactor's own descriptors."""
        threadable.registerAsIOThread()
        self.doIteration(0)
        forks.leave_if_forked()
        threadable.ioThread = None

    def wakeUp(self) -> None:
        """Wake the loop; called from any thread."""
        try:
            super().wakeUp()
        except (OSError, AttributeError):
            # Twisted removes the descriptors of a broken waker.
            failing.fail("its event loop cannot be woken", Failure())

    def own_numbers(self) -> list[int]:
        """Return the descriptors of its epoll and of both ends of its waker."""
        waker = self.waker
        return [self.own_descriptor(), *(number for name in "io" if (number := getattr(waker, name, None)) is not None)]

    def left(self) -> None:
        """The leader has left the loop, for good or for the time of a call."""
        self._inside = None

    def _wait(self) -> float | None:
        timeout: float | None = self.timeout()
        return timeout if self.running else 0

    def _report_gap(self, gap: float) -> None:
        """Report a gap before any timer runs: clients and requests are not late because this process was stopped."""
        for tell in self.on_gap:
            tell(gap)

    def _run(self, goes_on: Callable[[], bool], step: Callable[[], None]) -> None:
        while self.running and goes_on():
            try:
                while self.running and goes_on():
                    threadable.registerAsIOThread()
                    now = time.monotonic()
                    if now - self._turned > GAP_SECONDS:
                        self._report_gap(now - self._turned)
                    self._turned = now
                    self.runUntilCurrent()
                    forks.leave_if_forked()
                    step()
            except BaseException:
                # Errors of one connection are caught elsewhere: here work is lost, or fails again in each pass.
                failing.fail("its event loop failed", Failure())
