"""Turns: which thread runs the application for a request.

Law: decides which of the `threads` runs what, and who leads the reactor. A thread that leads runs a call itself while
calls of that route do not wait (`routes`); the others go to a queue for the rest. There is one thread more than may run
the application, so that one can always follow when a call keeps the leader (`watchdog`). Who takes a seat's baton
decides whether that leads on: while a call runs anybody may, with the lock held; the call's thread takes it at the end.
Threads are daemons: a stuck application never keeps a worker from leaving.
"""

from __future__ import annotations

from collections import deque

from ..pristine import os, threading, time
from ..wire.scoreboard import Scoreboard
from .connection import Connection
from .counts import Counts
from .roles import Loop, Server
from .routes import Route, Routes
from .seats import Seat
from .threads import Threads
from .watchdog import Watchdog

#: How long a turn may wait for the thread that runs before another is woken.
TICK = 0.002
#: Seconds that the main thread, in a call of the application, has to leave when the reactor has stopped.
LEAVE_TIME = 1.0


class Turns(Threads):
    """The threads of a worker, and the requests that wait for one.

    :param threads: how many may run the application at once. With one, that is always the main thread.
    :param mode: `adaptive`, `inline` (on the leader's thread whenever that can be) or `pool` (never).
    :param region: the first word of this worker on the scoreboard, for what is busy and for the counts.
    :ivar counts: what it counts there.
    """

    def __init__(self, loop: Loop, threads: int, mode: str, board: Scoreboard, region: int, server: Server) -> None:
        super().__init__(threads)
        self._loop = loop
        self._mode = mode
        self.counts = Counts(board.words, region)
        self._server = server
        self._routes = Routes()
        self._queue: deque[Connection] = deque()
        self._last: tuple[Seat, int, Route] | None = None
        self._watchdog = Watchdog(self._call, self.replace)
        self._main: Seat | None = None
        self._main_left = threading.Event()
        #: With one thread for the application: who leads while that is busy, and who wants the reactor back.
        self._deputy: Seat | None = None
        self._heir: Seat | None = None
        self._over = False
        self._ticking = False
        #: Requests in threads of their own, or waiting for one.
        self._running = 0

    # The leader gives out turns

    def take(self, connection: Connection, seat: Seat) -> None:
        """Answer a request, or have it answered. The leader's thread may come back no longer leading."""
        request = connection.request
        assert request is not None
        route = request.line.route or self._routes.find(request.line)
        if self.threads == 1:
            inline = True
        elif self._mode == "adaptive":
            inline = not route.pooled or route.wants_trial(time.monotonic_ns())
        else:
            inline = self._mode == "inline"
        if inline and seat.serves and self._active < self.threads and (self._parked or self.threads == 1):
            self._run_inline(connection, seat, route)
        else:
            self._submit(connection, route)

    def _run_inline(self, connection: Connection, seat: Seat, route: Route) -> None:
        timed = route.is_due() and not self._active
        now = time.monotonic_ns()
        processor = time.thread_time_ns() if timed else 0
        seat.inline, seat.answered, seat.stood, seat.began = True, False, False, now
        row = seat.row = connection.request.line.row  # type: ignore[union-attr]
        self.counts.set_busy(self._running + 1)
        self._last = (seat, now, route)
        seat.baton.append(now)
        if self._watchdog.sleeping:
            self._watchdog.wake()
        made = False
        try:
            made = self._server.serve(connection, seat, now)
        finally:
            try:
                seat.baton.pop()
            except IndexError:
                # Whoever took it is about to finish with it.
                with self._lock:
                    timed = False
            seat.inline = False
            if made:
                # The request is over, though nothing of its answer is sent.
                if seat.leads:
                    self.counts.count_led(row, connection.code, now, self._running)
                else:
                    self.answered(seat, connection.code)
                self._server.finish(connection, seat, now)
        if timed and not self._active:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)

    def _submit(self, connection: Connection, route: Route) -> None:
        hopped = connection.hopped
        if not hopped and self._running >= self.threads and not self._server.may_wait(connection):
            return
        with self._lock:
            self._running += 1
            self.counts.set_busy(self._running)
            # What has waited with another worker is older than what waits here.
            self._queue.appendleft(connection) if hopped else self._queue.append(connection)
            if not self._parked or self._active >= self.threads or self.threads == 1:
                return
            if not self._active or route.waits:
                self._wake()
                return
        if not self._ticking:
            # A second thread could not compute at the same time: it would fight for the interpreter lock.
            self._ticking = True
            self._loop.callLater(TICK, self._tick)

    def _tick(self) -> None:
        """What still waits for a thread waits for one that is not coming back soon."""
        with self._lock:
            self._ticking = bool(self._queue)
            if self._queue and self._parked and self._active < self.threads:
                self._wake()
        if self._ticking:
            self._loop.callLater(TICK, self._tick)

    def settle(self) -> None:
        """Before the leader waits: what it wrote without the lock may have crossed with another thread."""
        with self._lock:
            self.counts.set_busy(self._running)

    # During a turn

    def answered(self, seat: Seat, code: int) -> None:
        """The request is over, but for its last bytes: its client may ask again before they have all left."""
        if seat.inline:
            try:
                baton = seat.baton.pop()
            except IndexError:
                pass
            else:
                seat.answered = True
                self.counts.count_led(seat.row, code, seat.began, self._running)
                self.counts.flush()
                seat.baton.append(baton)
                return
        with self._lock:
            self._running -= 1
            self.counts.count(seat.row, code, seat.began, self._running)

    def stand_aside(self, seat: Seat) -> None:
        """The thread waits for a slow client: it runs no application code until it comes back."""
        with self._lock:
            seat.stood = True
            if seat.inline and seat.baton:
                seat.baton.pop()
                self._replace(seat)
            if self.threads > 1:
                self._active -= 1
                self._aside += 1
                if self._is_short():
                    self._start_thread()

    def come_back(self, seat: Seat) -> None:
        """The client took something, or is out of time."""
        with self._lock:
            if self.threads > 1:
                self._active += 1
                self._aside -= 1

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
            try:
                seat.baton.pop()
            except IndexError:
                return
            if blame:
                route.trip(time.monotonic_ns())
            self._replace(seat)

    def _replace(self, seat: Seat) -> None:
        """Somebody else leads; with the lock and the baton in hand."""
        seat.leads = seat.inline = False
        self._active += 1
        if not seat.answered:
            self._running += 1
        self._loop.left()
        if self._parked:
            self._parked[-1].leads = True
            self._parked.pop().gate.release()
        else:
            self._start_thread(leads=True)

    # The threads

    def join(self) -> None:
        """The main thread gives the reactor away, or is the one that runs the application; returns when it stopped."""
        self._watchdog.start()
        self._main = seat = Seat(self, leads=self.threads == 1)
        if self.threads == 1:
            self._alive = 1
            self._work(seat)
        else:
            with self._lock:
                self._start_thread(leads=True)
                for _ in range(self.threads):
                    self._start_thread()
            seat.gate.acquire()
        self._main_left.set()

    def _work(self, seat: Seat) -> None:
        stays = True
        while stays and not self._over:
            if seat.leads:
                self._lead(seat)
            elif self.threads == 1:
                self._change_places(seat)
            else:
                stays = self._work_off(seat)

    def _lead(self, seat: Seat) -> None:
        while self.threads == 1 and seat.serves and seat.leads and self._queue:
            connection = self._queue.popleft()
            self._forget()
            if not connection.waiting or self._server.begins(connection):
                self._run_inline(connection, seat, self._routes.others)
        with self._lock:
            if seat.leads:
                self._deputy, seat.leads = seat, self._heir is None
        if seat.leads:
            self._loop.lead(seat)
        if seat.leads:
            self._end(seat)

    def _end(self, seat: Seat) -> None:
        """The reactor has stopped: the main thread leaves."""
        self._over = True
        if self._main is not None and self._main is not seat:
            self._main.gate.release()
            if not self._main_left.wait(LEAVE_TIME):
                # It is stuck in a call, and nobody waits for that.
                os._exit(0)

    def _change_places(self, seat: Seat) -> None:
        """With one thread for the application: its deputy led while a call lasted."""
        if seat.serves:
            with self._lock:
                self._active -= 1
                self._heir = seat
                if self._deputy is not None:
                    self._deputy.leads = False
            self._loop.wakeUp()
        else:
            self._loop.left()
            with self._lock:
                self._parked.append(seat)
                heir, self._heir, self._deputy = self._heir, None, None
                if heir is not None:
                    heir.leads = True
                    heir.gate.release()
        seat.gate.acquire()

    def _work_off(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false when there is one thread too many."""
        with self._lock:
            over = self._active > self.threads and self._surplus() > 0
            connection = self._queue.popleft() if self._queue and not over else None
            if connection is None:
                self._active -= 1
                if self._surplus() > 0:
                    self._alive -= 1
                    return False
                self._parked.append(seat)
        self._run_pooled(connection, seat) if connection else seat.gate.acquire()
        return True

    def withdraw(self, connection: Connection) -> None:
        """A request that waits is another worker's now: it is in this one no longer, though every thread is busy."""
        with self._lock:
            try:
                self._queue.remove(connection)
            except ValueError:
                # A thread has just come for it, and finds that it is gone.
                return
            self._running -= 1
            self.counts.set_busy(self._running)

    def _forget(self) -> None:
        """A request that waited is taken, by the leader or by another worker."""
        with self._lock:
            self._running -= 1
            self.counts.set_busy(self._running)

    def _run_pooled(self, connection: Connection, seat: Seat) -> None:
        if connection.waiting and not self._server.begins(connection):
            self._forget()
            return
        request = connection.request
        assert request is not None
        route = request.line.route or self._routes.others
        # Beside other calls wall time would measure the interpreter lock.
        timed, led = route.is_due() and self._active == 1, self.counts.led
        now, processor = time.monotonic_ns(), time.thread_time_ns() if timed else 0
        seat.inline, seat.answered, seat.stood = False, False, False
        seat.began, seat.row = now, request.line.row
        try:
            self._server.serve(connection, seat, now)
        except BaseException:
            # Nothing is raised; should something be, the thread must go on.
            self.log.failure("internal error in a turn")
        if timed and self._active == 1 and not seat.stood and led == self.counts.led:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)
