"""The worker's reactor: Twisted's epoll reactor, whose loop one thread after the other can run.

Law: exactly one thread is in it at any time, the leader. Twisted's own part is used through its public methods but for
one: the descriptor of its epoll, which is watched among the connections, so that both are waited for in one call.
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

#: Seconds between two turns of the loop that are a gap: hearts beat each second, and a call that lasts loses the loop.
GAP_SECONDS = 3.0

#: Polls connections and this reactor, for so many seconds (None: for ever), on the thread of the seat.
Poll = Callable[[float | None, Seat], None]


class WorkerReactor(EPollReactor):
    """A reactor that is led by the main thread until it gets a crew."""

    #: Monotonic; Twisted's are the wall clock's: set back by an hour, time-outs would stop for an hour. Not the
    #: function itself, which is replaced by name wherever it is found (freezegun does so, in this reactor as well).
    seconds = staticmethod(partial(time.monotonic))

    def __init__(self) -> None:
        #: Told before any timer of the seconds in which the loop did not turn.
        self.on_gap: list[Callable[[float], object]] = []
        self._turned = time.monotonic()
        self._poll: Poll
        self._crew: Callable[[], None] | None = None
        self._inside: Seat | None = None
        super().__init__()

    def enlist(self, poll: Poll, crew: Callable[[], None]) -> None:
        """From the next turn of the loop on it is run by others.

        :param poll: waits for events, of this reactor too, and handles them.
        :param crew: takes the main thread, and returns when the reactor has stopped.
        """
        self._poll = poll
        self._crew = crew

    def own_descriptor(self) -> int:
        """The descriptor that is readable when one of the reactor's own is ready (epoll(7))."""
        return int(self._poller.fileno())

    def mainLoop(self) -> None:
        """Run until stopped; on the main thread."""
        self._run(lambda: self._crew is None, lambda: self.doIteration(self._wait()))
        if self._crew is not None:
            try:
                self._crew()
            except BaseException:
                failing.fail("its main thread failed", Failure())

    def lead(self, seat: Seat) -> None:
        """Run the loop on this thread until it stops, or the seat leads no more."""
        assert self._inside is None, "two threads in the reactor"
        self._inside = seat
        self._run(lambda: seat.leads, lambda: self._step(seat))

    def _step(self, seat: Seat) -> None:
        # What the application asks while it is called in here (crochet does) shall be answered as in any other thread.
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
            # Twisted takes the ends of a broken waker away.
            failing.fail("its event loop cannot be woken", Failure())

    def own_numbers(self) -> list[int]:
        """The descriptors that wake the loop, both ends, and the one of its epoll."""
        waker = self.waker
        return [self.own_descriptor(), *(number for name in "io" if (number := getattr(waker, name, None)) is not None)]

    def left(self) -> None:
        """The leader is out of the loop, for good, or as long as its call takes."""
        self._inside = None

    def _wait(self) -> float | None:
        timeout: float | None = self.timeout()
        return timeout if self.running else 0

    def _tell_gap(self, gap: float) -> None:
        """The process was stopped: nobody is late for that, and timers must not come before this."""
        for tell in self.on_gap:
            tell(gap)

    def _run(self, goes_on: Callable[[], bool], step: Callable[[], None]) -> None:
        while self.running and goes_on():
            try:
                while self.running and goes_on():
                    threadable.registerAsIOThread()
                    now = time.monotonic()
                    if now - self._turned > GAP_SECONDS:
                        self._tell_gap(now - self._turned)
                    self._turned = now
                    self.runUntilCurrent()
                    forks.leave_if_forked()
                    step()
            except BaseException:
                # Whatever it was about to do is lost, or comes again for ever; what one connection is to blame for
                # has been caught before.
                failing.fail("its event loop failed", Failure())
