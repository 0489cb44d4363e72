"""Turns: which thread runs the application for a request.

Law: decides which of the `threads` runs what, and who leads the reactor. A thread that leads runs a call itself while
calls of that route do not wait (`routes`); the others go to a queue for the rest. There is one thread more, the deputy,
which leads and never runs the application, so that one can always follow when a call keeps the leader (`watchdog`) or
the leader is needed for a call itself. Who takes a seat's baton decides whether that leads on: while a call runs
anybody may, with the lock held; the call's thread takes it at the end. Threads are daemons: a stuck application never
keeps a worker from leaving.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from ...pristine import os, time
from ...wire.scoreboard import Scoreboard
from ..counts import Counts
from ..http.request import RequestLine
from ..loop.connection import Connection
from ..loop.seats import Seat
from .leading import Lead
from .roles import Loop, Server
from .routes import Route, Routes
from .threads import Threads

#: How long a turn may wait for the thread that runs before another is woken.
TICK_SECONDS = 0.002


class Turns:
    """The requests of a worker on their way to a thread (`leading.Work`, `poller.TurnTaker`).

    :param limit: how many threads may run the application at once. With one, that is always the main thread.
    :param stand_ins: how many more may, instead of threads that wait for slow clients.
    :param mode: `adaptive`, `inline` (on the leader's thread whenever that can be) or `pool` (never).
    :param region: the first word of this worker on the scoreboard, for what is busy and for the counts.
    :param on_stuck: ends the process when the main thread does not leave the application.
    :ivar counts: what it counts there.
    :ivar threads: its threads; `lead`: which one of them leads.
    """

    __slots__ = (
        "_lock",
        "_loop",
        "_mode",
        "_overdue",
        "_queue",
        "_routes",
        "_running",
        "_server",
        "_ticking",
        "_watchdog",
        "counts",
        "lead",
        "threads",
    )  # fmt: skip

    log = Logger()

    def __init__(
        self,
        loop: Loop,
        limit: int,
        mode: str,
        board: Scoreboard,
        region: int,
        server: Server,
        stand_ins: int = 0,
        on_stuck: Callable[[], object] = lambda: os._exit(0),
    ) -> None:
        self._loop = loop
        self._queue: deque[Connection] = deque()
        self.threads = Threads(
            limit, stand_ins, self, waiting=lambda: len(self._queue), is_idle=lambda: not self._running,
            work=lambda seat: self.lead.run(seat),
        )  # fmt: skip
        self.lead = Lead(loop, self.threads, self, on_stuck)
        self._lock, self._watchdog = self.threads.lock, self.lead.watchdog
        self._mode = mode
        self._routes = Routes()
        self.counts = Counts(board.words, region)
        self._server = server
        #: Requests in threads of their own, or waiting for one.
        self._running = 0
        #: Something has waited for long enough, and only the leader is left to run it.
        self._overdue = False
        self._ticking = False

    @property
    def seats(self) -> set[Seat]:
        """Those of all threads."""
        return self.threads.seats

    def lost_lead(self, seat: Seat) -> None:
        """See `leading.Work`: its request is among those of the other threads, unless it is answered."""
        if not seat.answered:
            self._running += 1

    # The leader gives out turns

    def take(self, connection: Connection, seat: Seat) -> None:
        """Answer a request, or have it answered. The leader's thread may come back no longer leading."""
        request = connection.request
        assert request is not None
        route = request.line.route or self._routes.find(request.line)
        if self.threads.limit == 1:
            inline = True
        elif self._mode == "adaptive":
            inline = not route.pooled or route.wants_trial(time.monotonic_ns())
        else:
            inline = self._mode == "inline"
        # A client that is waited for must not hold up the others.
        if inline and self.threads.active < self.threads.limit and not request.expects:
            if seat.serves and (self._watchdog.works or self.threads.limit == 1):
                self.run_inline(connection, seat, route)
                return
            if self._watchdog.works and self._pass_on(connection, seat, route):
                return
        self._submit(connection, seat, route)

    def _pass_on(self, connection: Connection, seat: Seat, route: Route) -> bool:
        """The deputy leads, which runs no application: another thread leads on and runs this first, if one is free."""
        with self._lock:
            if not self.threads.parked:
                return False
            self.lead.given = connection, route
            seat.leads = False
            self.lead.give_away()
        return True

    def run_inline(self, connection: Connection, seat: Seat, route: Route) -> None:
        timed = route.is_due() and not self.threads.active
        now = time.monotonic_ns()
        processor = time.thread_time_ns() if timed else 0
        # One by one: a tuple of five is made and taken apart again.
        seat.inline = True
        seat.answered = seat.stood = False
        seat.began = now
        seat.code = 0
        line = connection.request.line  # type: ignore[union-attr]
        row = seat.row = line.row
        if self.counts.busy != self._running + 1:
            self.counts.set_busy(self._running + 1)
        self.lead.last = (seat, now, route)
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
                    seat.ended = self.counts.count_led(row, connection.code, now)
                else:
                    self.answered(seat, connection.code)
                self._server.deliver(connection, seat, now)
            seat.began = 0
        if not route.known:
            self._learn(line, route, connection.code if made else seat.code)
        if timed and not self.threads.active:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)

    def _submit(self, connection: Connection, seat: Seat, route: Route) -> None:
        hopped = connection.hopped
        if not hopped and self._running >= self.threads.limit and not self._server.accept_queued(connection):
            return
        with self._lock:
            self._running += 1
            self.counts.set_busy(self._running)
            # What has waited with another worker is older than what waits here.
            self._queue.appendleft(connection) if hopped else self._queue.append(connection)
            if self.threads.active >= self.threads.limit or self.threads.limit == 1:
                return
            if not self.threads.active or route.waits:
                self._find_thread(seat)
                return
        # A second thread could not compute at the same time: it would fight for the interpreter lock.
        self._tick_later()

    def _tick_later(self) -> None:
        if not self._ticking:
            self._loop.callLater(TICK_SECONDS, self._tick)
            self._ticking = True

    def _find_thread(self, leader: Seat) -> None:
        """Something waits, and fewer run than may: if no other thread is to be had, the leader runs it itself.

        On the leader's thread, where that can stop to lead at once.
        """
        if not self.threads.staff() and leader.serves and leader.leads and self.lead.deputy is not None:
            leader.leads = False
            self.threads.active += 1
            self.threads.expect(leader)
            self.lead.give_away()

    def _tick(self) -> None:
        """What still waits for a thread waits for one that is not coming back soon."""
        self._ticking = False
        try:
            with self._lock:
                if self._queue and self.threads.active < self.threads.limit and not self.threads.staff():
                    self._overdue = True
        except Exception:
            self.log.failure("internal error while finding threads for queued requests; they stay queued")
        finally:
            if self._queue:
                self._tick_later()

    def settle(self, seat: Seat) -> bool:
        """Before the leader waits: what it wrote without the lock may have crossed with another thread.

        :return: whether it leads on.
        """
        with self._lock:
            self.counts.set_busy(self._running)
            if self._overdue:
                self._overdue = False
                if self._queue and self.threads.active < self.threads.limit != 1:
                    self._find_thread(seat)
        return seat.leads

    def keep_up(self) -> None:
        """See `Threads.keep_up`; and have the watchdog, if its thread could not be started."""
        if not self._watchdog.works:
            self._watchdog.start()
        self.threads.keep_up()

    def before_send(self) -> None:
        """The leader is about to send answers: whoever has them may ask again, and finds this worker less busy."""
        self.counts.flush()
        if self.counts.busy != self._running:
            self.counts.set_busy(self._running)

    # During a turn

    def answered(self, seat: Seat, code: int) -> None:
        """The request is over, but for its last bytes: its client may ask again before they have all left."""
        seat.code = code
        if seat.inline:
            try:
                baton = seat.baton.pop()
            except IndexError:
                pass
            else:
                seat.answered = True
                seat.ended = self.counts.count_led(seat.row, code, seat.began)
                self.before_send()
                seat.baton.append(baton)
                return
        with self._lock:
            seat.answered = True
            self._running -= 1
            self.counts.count(seat.row, code, seat.began, self._running)

    def _write_off(self, seat: Seat) -> None:
        """A turn ended as none should: it is no longer among those that run."""
        with self._lock:
            seat.answered = True
            self._running -= 1
            self.counts.set_busy(self._running)

    def stand_aside(self, seat: Seat) -> None:
        """The thread waits for a slow client: it runs no application code until it comes back."""
        with self._lock:
            seat.stood = True
            if seat.inline and seat.baton and self.lead.has_follower():
                seat.baton.pop()
                self.lead.replace(seat)
            if self.threads.limit == 1 or seat.leads:
                return
            self.threads.step_aside(seat)
            waits = self._queue and self.threads.active < self.threads.limit and not self.threads.staff()
            self._overdue |= bool(waits)
        if waits:
            self._loop.wakeUp()

    def come_back(self, seat: Seat) -> None:
        """The client took something, or is out of time."""
        with self._lock:
            self.threads.step_back(seat)

    # What threads do that do not lead

    def run_queued(self, seat: Seat) -> None:
        while seat.leads and self._queue:
            connection = self._queue.popleft()
            self._dequeued()
            if not connection.waiting or self._server.claim_queued(connection):
                self.run_inline(connection, seat, self._routes.others)

    def take_next_turn(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false when there is one thread too many."""
        with self._lock:
            if seat.coming:
                seat.coming = False
                self.threads.coming -= 1
            # Some have come back that stood aside: those that run look here when they are done.
            over = self.threads.active > self.threads.limit
            connection = self._queue.popleft() if self._queue and not over else None
            if connection is None:
                self.threads.active -= 1
                if self.lead.take_vacant(seat):
                    return True
                if self.threads.surplus() > 0:
                    self.threads.alive -= 1
                    return False
                self.threads.parked.append(seat)
        self._run_pooled(connection, seat) if connection else seat.gate.acquire()
        return True

    def _learn(self, line: RequestLine, route: Route, code: int) -> None:
        with self._lock:
            self._routes.learn(line, route, code)

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

    def census(self) -> tuple[set[Connection], set[tuple[int, int]]]:
        """The requests that wait for a thread; the threads that have a turn, and since when."""
        with self._lock:
            waiting = {*self._queue, *(() if self.lead.given is None else (self.lead.given[0],))}
        return waiting, {(seat.ident, seat.began) for seat in list(self.seats) if seat.began}

    def _dequeued(self) -> None:
        """A request that waited is taken, by the leader or by another worker."""
        with self._lock:
            self._running -= 1
            self.counts.set_busy(self._running)

    def _run_pooled(self, connection: Connection, seat: Seat) -> None:
        if connection.waiting and not self._server.claim_queued(connection):
            self._dequeued()
            return
        request = connection.request
        assert request is not None
        route = request.line.route or self._routes.others
        # Beside other calls wall time would measure the interpreter lock.
        timed, led = route.is_due() and self.threads.active == 1, self.counts.led
        now, processor = time.monotonic_ns(), time.thread_time_ns() if timed else 0
        seat.inline, seat.answered, seat.stood = False, False, False
        seat.began, seat.row, seat.code = now, request.line.row, 0
        try:
            self._server.serve(connection, seat, now)
        except BaseException:
            # Nothing is raised; should something be, the connection is in nobody's hands, and `Sweeping` finds it.
            self.log.failure("internal error in a turn")
        if not route.known:
            self._learn(request.line, route, seat.code)
        if not seat.answered:
            self._write_off(seat)
        seat.began = 0
        if timed and self.threads.active == 1 and not seat.stood and led == self.counts.led:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)
