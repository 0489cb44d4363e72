"""Staffing: finds a thread for a request that waits, when those that run do not get free soon enough.

Law: starts and wakes threads through `threads`, and gives the lead away through `leading`; it takes no request out of
the queue. Everything but `check_later` needs the lock held.
"""

from __future__ import annotations

from collections.abc import Sized

from twisted.logger import Logger

from ..loop.seats import Seat
from .leading import Lead
from .roles import Loop
from .threads import Threads

#: Seconds that a request waits for a running thread before another one is woken.
TICK_SECONDS = 0.002


class Staffing:
    """Watches the queue of a worker's turns.

    :param queue: the requests that wait for a thread.
    """

    __slots__ = ("_lead", "_loop", "_overdue", "_queue", "_threads", "_ticking")

    log = Logger()

    def __init__(self, loop: Loop, queue: Sized, threads: Threads, lead: Lead) -> None:
        self._loop = loop
        self._queue = queue
        self._threads = threads
        self._lead = lead
        #: A request has waited for long enough, and only the leader is left to run it.
        self._overdue = False
        self._ticking = False

    def find_thread(self, leader: Seat) -> None:
        """Find a thread for a queued request; if there is no other, the leader gives up the lead and runs it.

        On the leader's thread, at a point where it can give up the lead at once.
        """
        if not self._threads.staff() and leader.serves and leader.leads and self._lead.deputy is not None:
            leader.leads = False
            self._threads.active += 1
            self._threads.expect(leader)
            self._lead.give_away()

    def lacks_thread(self) -> bool:
        """Find a thread for a queued request that may run; if there is none, the leader learns it in `settle`."""
        lacks = bool(self._queue) and self._threads.active < self._threads.limit and not self._threads.staff()
        self._overdue |= lacks
        return lacks

    def settle(self, leader: Seat) -> None:
        """Before the leader waits for events: it runs what no other thread can."""
        if self._overdue:
            self._overdue = False
            if self._queue and self._threads.active < self._threads.limit != 1:
                self.find_thread(leader)

    def check_later(self) -> None:
        """Look after the queue again in a moment; on the leader's thread."""
        if not self._ticking:
            self._loop.callLater(TICK_SECONDS, self.tick)
            self._ticking = True

    def tick(self) -> None:
        """Find threads for requests that still wait: the running threads do not get free soon enough."""
        self._ticking = False
        try:
            with self._threads.lock:
                self.lacks_thread()
        except Exception:
            self.log.failure("internal error while finding threads for queued requests; they stay queued")
        finally:
            if self._queue:
                self.check_later()
