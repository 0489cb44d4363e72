"""Who leads the reactor, and how it changes hands.

Law: one thread leads, always. Whoever gives the lead away does so under the lock, to a thread that has nothing to do;
where there is none for a moment the lead is vacant, and who gets free next takes it. Nothing is given away before
somebody can follow. What a turn is, and which thread runs it, is `turns.Turns`'.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

from ...pristine import os, threading, time
from ..loop.connection import Connection
from ..loop.seats import Seat
from ..process import handlers
from .roles import Loop
from .routes import Route, Routes
from .threads import Threads
from .watchdog import Watchdog

#: Seconds that the main thread, in a call of the application, has to leave when the reactor has stopped; with the time
#: for a quick end (`ending`) less than the 2 s after which the master kills.
LEAVE_SECONDS = 0.25


class Leading(Threads):
    """Threads of which one leads.

    :param loop: what is led.
    """

    __slots__ = (
        "_acting", "_given", "_heir", "_last", "_loop", "_main", "_main_left", "_over", "_routes", "_running",
        "_watchdog", "on_stuck",
    )  # fmt: skip

    def __init__(self, loop: Loop, threads: int, stand_ins: int) -> None:
        super().__init__(threads, stand_ins)
        self._loop = loop
        self._routes = Routes()
        #: The call that ran inline last: on which thread, since when, and its route.
        self._last: tuple[Seat, int, Route] | None = None
        self._watchdog = Watchdog(self._call, self.replace)
        self._main: Seat | None = None
        self._main_left = threading.Event()
        #: With one thread for the application: who leads, and who wants the reactor back.
        self._acting: Seat | None = None
        self._heir: Seat | None = None
        #: What the next leader runs first: the deputy had it.
        self._given: tuple[Connection, Route] | None = None
        self._over = False
        #: Ends the process when the main thread does not leave the application.
        self.on_stuck: Callable[[], object] = lambda: os._exit(0)
        #: Requests in threads of their own, or waiting for one.
        self._running = 0

    @abc.abstractmethod
    def _run_inline(self, connection: Connection, seat: Seat, route: Route) -> None: ...

    @abc.abstractmethod
    def _run_queued(self, seat: Seat) -> None:
        """With one thread for the application: run what waits, while it leads."""

    @abc.abstractmethod
    def _take_next_turn(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false when there is one thread too many."""

    # The reactor changes hands

    def _call(self) -> tuple[Seat, int] | None:
        last = self._last
        return last[:2] if last is not None and last[0].baton else None

    def replace(self, since: int, blame: bool) -> None:
        """Take the reactor from the call that began then; does nothing when that is over."""
        with self._lock:
            if self._last is None or self._last[1] != since:
                return
            seat, _, route = self._last
            if not self._has_follower():
                # The next look tries again.
                return
            try:
                seat.baton.pop()
            except IndexError:
                return
            if blame:
                route.trip(time.monotonic_ns())
            self._replace(seat)

    def _has_follower(self) -> bool:
        """Whether somebody can lead, now or in a moment; with one thread the second one may still have to be had."""
        if self.threads > 1:
            return True
        return bool(self._parked) or self._alive > 1 or self._start_thread(serves=False)

    def _replace(self, seat: Seat) -> None:
        """Somebody else leads; with the lock and the baton in hand."""
        seat.leads = seat.inline = False
        self._active += 1
        if not seat.answered:
            self._running += 1
        self._give_lead()

    def _give_lead(self) -> None:
        """Somebody leads on who has nothing to do; if nobody has yet, who gets free next. With the lock in hand."""
        self._loop.left()
        if self._parked:
            next_one = self._parked.pop()
        elif self._deputy is not None:
            next_one, self._deputy = self._deputy, None
        else:
            self._vacant = True
            return
        next_one.leads = True
        next_one.gate.release()

    def _takes_vacant_lead(self, seat: Seat) -> bool:
        """Whether nobody leads, so that this thread does, which has nothing to do. With the lock in hand."""
        vacant, self._vacant = self._vacant, False
        seat.leads = vacant
        return vacant

    # The threads

    def join(self) -> None:
        """The main thread gives the reactor away, or is the one that runs the application; returns when it stopped."""
        self._watchdog.start()
        self._main = seat = Seat(self, serves=self.threads == 1, leads=self.threads == 1)
        with self._lock:
            begun = self._start_thread(serves=False, leads=self.threads > 1)
            for _ in range(self.threads if begun and self.threads > 1 else 0):
                self._start_thread()
            if begun and self._alive == 1 < self.threads:
                # The deputy is the only thread that was to be had, and it runs no application: the main thread does.
                seat.serves = True
                self._alive += 1
                self._active += 1
                self._expect(seat)
        if seat.serves and self.threads > 1:
            self._thread_loop(seat)
            # Others have come since, and it is one too many.
            self._sit_out(seat)
        elif self.threads == 1 or not begun:
            # Where there is no thread to be had, the main thread is the deputy.
            seat.leads = True
            self._alive += 1
            self._thread_loop(seat)
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

    def _thread_loop(self, seat: Seat) -> None:
        stays, led = True, False
        while stays and not self._over:
            if seat.leads:
                self._lead(seat)
                led = True
            elif self.threads == 1:
                self._change_places(seat, led)
            elif not seat.serves:
                self._stand_by(seat)
            else:
                stays = self._take_next_turn(seat)

    def _stand_by(self, seat: Seat) -> None:
        """The deputy waits until somebody needs it."""
        with self._lock:
            if self._takes_vacant_lead(seat):
                return
            self._deputy = seat
        seat.gate.acquire()

    def _lead(self, seat: Seat) -> None:
        if self.threads == 1 and seat.serves:
            self._run_queued(seat)
        if self._given is not None:
            (given, route), self._given = self._given, None
            self._run_inline(given, seat, route)
        if self.threads == 1:
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
                self.on_stuck()

    def _change_places(self, seat: Seat, led: bool) -> None:
        """With one thread for the application: its deputy led while a call lasted."""
        if seat.serves:
            with self._lock:
                self._active -= 1
                self._heir = seat
                if self._acting is not None:
                    self._acting.leads = False
            self._loop.wakeUp()
        else:
            if led:
                self._loop.left()
            with self._lock:
                if self._takes_vacant_lead(seat):
                    return
                self._parked.append(seat)
                if not led:
                    heir = None
                else:
                    heir, self._heir, self._acting = self._heir, None, None
                if heir is not None:
                    heir.leads = True
                    heir.gate.release()
        seat.gate.acquire()
