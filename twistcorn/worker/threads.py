"""The threads of a worker: how many there are, while it runs, and while that number changes.

Law: with the lock held, always. There is one thread more than may run the application, which leads the reactor, and one
more for each that stands aside. What a thread does is `turns.Turns`'.
"""

from __future__ import annotations

import abc

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..pristine import threading
from . import failing
from .seats import Seat

#: Threads that may wait for slow clients beside those that run the application: a thread costs some ten KiB, and so
#: many clients that read slower than their app produces are an attack, which shall not stop the others early.
MOST_ASIDE = 512


class Threads(abc.ABC):
    """Starts threads, and lets them go.

    :ivar threads: how many may run the application at once.
    :ivar seats: those of all threads.
    """

    log = Logger()

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.seats: set[Seat] = set()
        self._lock = threading.Lock()
        self._parked: list[Seat] = []
        #: Threads in turns; all threads; those that stand aside.
        self._active = self._alive = self._aside = 0

    @abc.abstractmethod
    def _work(self, seat: Seat) -> None: ...

    @abc.abstractmethod
    def stand_aside(self, seat: Seat) -> None:
        """See `roles.Aside`."""

    @abc.abstractmethod
    def come_back(self, seat: Seat) -> None:
        """See `roles.Aside`."""

    def forget(self) -> None:
        """In a child that the application forks: these threads are not there."""
        for seat in list(self.seats):
            seat.forget()

    def resize(self, threads: int) -> None:
        """Run so many calls at once from now on. Not from or to one: that is another way of working.

        What runs goes on; threads that are too many leave as soon as they have nothing to do, or are done with it.
        """
        with self._lock:
            self.threads = threads
            if not self._alive:
                # So many start when the main thread joins; with some of these there would be one too many for ever.
                return
            while self._is_short():
                try:
                    self._start_thread()
                except RuntimeError as problem:
                    self.log.error("a thread could not be started: {why}", why=str(problem))
                    break
            for _ in range(min(len(self._parked), self._surplus())):
                self._wake()

    def _is_short(self) -> bool:
        """Whether a thread is missing."""
        return self._alive - self._aside <= self.threads and self._alive < self.threads + MOST_ASIDE

    def _surplus(self) -> int:
        """How many there are too many: some have come back that stood aside, or there shall be fewer."""
        return self._alive - self._aside - self.threads - 1

    def _start_thread(self, leads: bool = False) -> None:
        self._alive += 1
        self._active += not leads
        try:
            threading.Thread(target=self._begin, args=(leads,), name=f"app-{self._alive}", daemon=True).start()
        except RuntimeError:
            self._alive -= 1
            self._active -= not leads
            raise

    def _begin(self, leads: bool) -> None:
        seat = Seat(self, self.threads > 1, leads)
        try:
            self._work(seat)
        except BaseException:
            # With it would go a request, or the lead.
            failing.fail("one of its threads broke", Failure())
        finally:
            seat.close()

    def _wake(self) -> None:
        self._active += 1
        self._parked.pop().gate.release()
