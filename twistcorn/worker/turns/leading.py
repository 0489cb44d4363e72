"""The lead: decides which thread leads the reactor, and passes the lead from one to the next.

Law: one thread leads at a time. It gives the lead away under the lock, to an idle thread; if there is none, the lead is
vacant until a thread becomes idle and takes it. The lead is never given away unless a thread can follow soon.
`turns.Turns` decides which thread runs which turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...pristine import threading, time
from ..loop.connection import Connection
from ..loop.seats import Aside, Seat
from ..process import handlers
from .roles import Loop
from .routes import Route
from .threads import Threads
from .watchdog import Watchdog

#: Seconds that the main thread has to leave a call of the application when the reactor has stopped; together with the
#: time for a quick end (`ending`) less than the 2 s after which the master kills the worker.
LEAVE_SECONDS = 0.25


class Work(Aside, Protocol):
    """The work of the threads (`turns.Turns`)."""

    def run_inline(self, connection: Connection, seat: Seat, route: Route) -> None:
        """Run a request on the thread that leads."""

    def run_queued(self, seat: Seat) -> None:
        """With `--threads 1`: run the queued requests, while the thread leads."""

    def take_next_turn(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false if the thread is surplus and must end."""

    def lost_lead(self, seat: Seat) -> None:
        """An inline call goes on without the lead; called with the lock held."""


class Lead:
    """The lead of the loop.

    :param loop: the loop to lead.
    :param threads: the threads that can lead.
    :param on_stuck: ends the process if the main thread does not leave the application.
    :ivar watchdog: takes the lead from long calls.
    :ivar last: the latest inline call: its seat, when it began, its route.
    :ivar given: the request that the next leader runs first, passed on by the deputy.
    :ivar deputy: the seat of the deputy while that is idle.
    """

    __slots__ = (
        "_acting", "_heir", "_lock", "_loop", "_main", "_main_left", "_on_stuck", "_over", "_threads", "_vacant",
        "_work", "deputy", "given", "last", "watchdog",
    )  # fmt: skip

    def __init__(self, loop: Loop, threads: Threads, work: Work, on_stuck: Callable[[], object]) -> None:
        self._loop = loop
        self._threads = threads
        self._lock = threads.lock
        self._work = work
        self._on_stuck = on_stuck
        self.last: tuple[Seat, int, Route] | None = None
        self.watchdog = Watchdog(self.current_call, self.take_from)
        self.given: tuple[Connection, Route] | None = None
        self.deputy: Seat | None = None
        #: No thread leads: the next one that becomes idle takes the lead.
        self._vacant = False
        self._main: Seat | None = None
        self._main_left = threading.Event()
        #: With `--threads 1`: the seat that leads, and the seat that wants the lead back.
        self._acting: Seat | None = None
        self._heir: Seat | None = None
        self._over = False

    # Passing the lead

    def current_call(self) -> tuple[Seat, int] | None:
        """Return the seat of the call that runs inline, and when the call began."""
        last = self.last
        return last[:2] if last is not None and last[0].baton else None

    def take_from(self, since: int, blame: bool) -> None:
        """Take the lead from the inline call that began at `since`; does nothing if that is over.

        :param blame: whether its route goes to the pool.
        """
        with self._lock:
            if self.last is None or self.last[1] != since:
                return
            seat, _, route = self.last
            if not self.has_follower():
                # The next check tries again.
                return
            try:
                seat.baton.pop()
            except IndexError:
                return
            if blame:
                route.trip(time.monotonic_ns())
            self.replace(seat)

    def has_follower(self) -> bool:
        """Whether a thread can follow as leader, at once or soon; with `--threads 1` this may have to start one."""
        if self._threads.limit > 1:
            return True
        return bool(self._threads.parked) or self._threads.alive > 1 or self._threads.start_thread(serves=False)

    def replace(self, seat: Seat) -> None:
        """Pass the lead from this seat to another thread; called with the lock and the seat's baton held."""
        seat.leads = seat.inline = False
        self._threads.active += 1
        self._work.lost_lead(seat)
        self.give_away()

    def give_away(self) -> None:
        """Give the lead to an idle thread, or to the next one that becomes idle; called with the lock held."""
        self._loop.left()
        if self._threads.parked:
            next_one = self._threads.parked.pop()
        elif self.deputy is not None:
            next_one, self.deputy = self.deputy, None
        else:
            self._vacant = True
            return
        next_one.leads = True
        next_one.gate.release()

    def take_vacant(self, seat: Seat) -> bool:
        """Take the lead for this idle thread if it is vacant; returns whether it was. Called with the lock held."""
        vacant, self._vacant = self._vacant, False
        seat.leads = vacant
        return vacant

    # The threads

    def join(self) -> None:
        """Start the threads from the main thread, which then waits, leads or serves; returns when the reactor stopped.

        With `--threads 1` the main thread runs the application.
        """
        self.watchdog.start()
        self._main = seat = Seat(self._work, serves=self._threads.limit == 1, leads=self._threads.limit == 1)
        with self._lock:
            begun = self._threads.start_thread(serves=False, leads=self._threads.limit > 1)
            for _ in range(self._threads.limit if begun and self._threads.limit > 1 else 0):
                self._threads.start_thread()
            if begun and self._threads.alive == 1 < self._threads.limit:
                # Only the deputy could be started, and it runs no application: the main thread does.
                seat.serves = True
                self._threads.alive += 1
                self._threads.active += 1
                self._threads.expect(seat)
        if seat.serves and self._threads.limit > 1:
            self.run(seat)
            # More threads have started since, and this one is surplus.
            self._sit_out(seat)
        elif self._threads.limit == 1 or not begun:
            # If no thread could be started, the main thread is the deputy.
            seat.leads = True
            self._threads.alive += 1
            self.run(seat)
        else:
            self._sit_out(seat)
        self._main_left.set()

    def _sit_out(self, seat: Seat) -> None:
        """Wait for the end on the main thread. Signal handlers run here, and the application's may raise."""
        while not self._over:
            try:
                seat.gate.acquire()
            except BaseException as error:
                handlers.report(error)

    def run(self, seat: Seat) -> None:
        """Lead, serve or wait on this thread, until it ends."""
        stays, led = True, False
        while stays and not self._over:
            if seat.leads:
                self._lead(seat)
                led = True
            elif self._threads.limit == 1:
                self._change_places(seat, led)
            elif not seat.serves:
                self._stand_by(seat)
            else:
                stays = self._work.take_next_turn(seat)

    def _stand_by(self, seat: Seat) -> None:
        """Wait as the deputy until the lead is given to this thread."""
        with self._lock:
            if self.take_vacant(seat):
                return
            self.deputy = seat
        seat.gate.acquire()

    def _lead(self, seat: Seat) -> None:
        if self._threads.limit == 1 and seat.serves:
            self._work.run_queued(seat)
        if self.given is not None:
            (given, route), self.given = self.given, None
            self._work.run_inline(given, seat, route)
        if self._threads.limit == 1:
            with self._lock:
                if seat.leads:
                    self._acting, seat.leads = seat, self._heir is None
        if seat.leads:
            self._loop.lead(seat)
        if seat.leads:
            self._release_main_thread(seat)

    def _release_main_thread(self, seat: Seat) -> None:
        """The reactor has stopped: release the main thread."""
        self._over = True
        if self._main is not None and self._main is not seat:
            self._main.gate.release()
            if not self._main_left.wait(LEAVE_SECONDS):
                # It is stuck in a call: do not wait for that.
                self._on_stuck()

    def _change_places(self, seat: Seat, led: bool) -> None:
        """With `--threads 1`: swap the lead between the main thread and its deputy, which led during a long call."""
        if seat.serves:
            with self._lock:
                self._threads.active -= 1
                self._heir = seat
                if self._acting is not None:
                    self._acting.leads = False
            self._loop.wakeUp()
        else:
            if led:
                self._loop.left()
            with self._lock:
                if self.take_vacant(seat):
                    return
                self._threads.parked.append(seat)
                if not led:
                    heir = None
                else:
                    heir, self._heir, self._acting = self._heir, None, None
                if heir is not None:
                    heir.leads = True
                    heir.gate.release()
        seat.gate.acquire()
