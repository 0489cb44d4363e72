"""Who leads the reactor, and how it changes hands.

Law: one thread leads, always. Whoever gives the lead away does so under the lock, to a thread that has nothing to do;
where there is none for a moment the lead is vacant, and who gets free next takes it. Nothing is given away before
somebody can follow. What a turn is, and which thread runs it, is `turns.Turns`'.
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

#: Seconds that the main thread, in a call of the application, has to leave when the reactor has stopped; with the time
#: for a quick end (`ending`) less than the 2 s after which the master kills.
LEAVE_SECONDS = 0.25


class Work(Aside, Protocol):
    """What there is to do (`turns.Turns`)."""

    def run_inline(self, connection: Connection, seat: Seat, route: Route) -> None:
        """Run a request on the thread that leads."""

    def run_queued(self, seat: Seat) -> None:
        """With one thread for the application: run what waits, while it leads."""

    def take_next_turn(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false when there is one thread too many."""

    def lost_lead(self, seat: Seat) -> None:
        """A call runs on without the lead; with the lock held."""


class Lead:
    """The lead of the loop.

    :param loop: what is led.
    :param threads: who can lead.
    :param on_stuck: ends the process when the main thread does not leave the application.
    :ivar watchdog: takes the lead from calls that last.
    :ivar last: the call that ran inline last: on which thread, since when, and its route.
    :ivar given: what the next leader runs first: the deputy had it.
    :ivar deputy: the thread that leads and runs no application, while it has nothing to do.
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
        #: Nobody leads yet: the thread that gets free next does.
        self._vacant = False
        self._main: Seat | None = None
        self._main_left = threading.Event()
        #: With one thread for the application: who leads, and who wants the reactor back.
        self._acting: Seat | None = None
        self._heir: Seat | None = None
        self._over = False

    # The reactor changes hands

    def current_call(self) -> tuple[Seat, int] | None:
        """The call that runs inline, and since when."""
        last = self.last
        return last[:2] if last is not None and last[0].baton else None

    def take_from(self, since: int, blame: bool) -> None:
        """Take the reactor from the call that began then; does nothing when that is over."""
        with self._lock:
            if self.last is None or self.last[1] != since:
                return
            seat, _, route = self.last
            if not self.has_follower():
                # The next look tries again.
                return
            try:
                seat.baton.pop()
            except IndexError:
                return
            if blame:
                route.trip(time.monotonic_ns())
            self.replace(seat)

    def has_follower(self) -> bool:
        """Whether somebody can lead, now or in a moment; with one thread the second one may still have to be had."""
        if self._threads.limit > 1:
            return True
        return bool(self._threads.parked) or self._threads.alive > 1 or self._threads.start_thread(serves=False)

    def replace(self, seat: Seat) -> None:
        """Somebody else leads; with the lock and the baton in hand."""
        seat.leads = seat.inline = False
        self._threads.active += 1
        self._work.lost_lead(seat)
        self.give_away()

    def give_away(self) -> None:
        """Somebody leads on who has nothing to do; if nobody has yet, who gets free next. With the lock in hand."""
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
        """Whether nobody leads, so that this thread does, which has nothing to do. With the lock in hand."""
        vacant, self._vacant = self._vacant, False
        seat.leads = vacant
        return vacant

    # The threads

    def join(self) -> None:
        """The main thread gives the reactor away, or is the one that runs the application; returns when it stopped."""
        self.watchdog.start()
        self._main = seat = Seat(self._work, serves=self._threads.limit == 1, leads=self._threads.limit == 1)
        with self._lock:
            begun = self._threads.start_thread(serves=False, leads=self._threads.limit > 1)
            for _ in range(self._threads.limit if begun and self._threads.limit > 1 else 0):
                self._threads.start_thread()
            if begun and self._threads.alive == 1 < self._threads.limit:
                # The deputy is the only thread that was to be had, and it runs no application: the main thread does.
                seat.serves = True
                self._threads.alive += 1
                self._threads.active += 1
                self._threads.expect(seat)
        if seat.serves and self._threads.limit > 1:
            self.run(seat)
            # Others have come since, and it is one too many.
            self._sit_out(seat)
        elif self._threads.limit == 1 or not begun:
            # Where there is no thread to be had, the main thread is the deputy.
            seat.leads = True
            self._threads.alive += 1
            self.run(seat)
        else:
            self._sit_out(seat)
        self._main_left.set()

    def _sit_out(self, seat: Seat) -> None:
        """The main thread waits for the end. Handlers of signals run here, and one of the application's may raise."""
        while not self._over:
            try:
                seat.gate.acquire()
            except BaseException as error:
                handlers.tell(error)

    def run(self, seat: Seat) -> None:
        """What each thread does, until it ends."""
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
        """The deputy waits until somebody needs it."""
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
        """The reactor has stopped: the main thread leaves."""
        self._over = True
        if self._main is not None and self._main is not seat:
            self._main.gate.release()
            if not self._main_left.wait(LEAVE_SECONDS):
                # It is stuck in a call, and nobody waits for that.
                self._on_stuck()

    def _change_places(self, seat: Seat, led: bool) -> None:
        """With one thread for the application: its deputy led while a call lasted."""
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
