"""Turns: decides which thread runs the application for a request.

Law: `threads` starts and ends the threads, `leading` passes the lead, `staffing` finds a thread for a request that
waits; here each request gets its way. The leader runs
a call itself while calls of that route do not wait (`routes`); other requests are queued for the other threads. The
deputy leads and never runs the application, so that a thread can always follow when a call lasts (`watchdog`) or the
leader is needed for a call. Taking a seat's baton decides whether that seat keeps the lead: while a call runs, any
thread may take it, with the lock held; at the end the call's own thread takes it. Threads are daemons: a stuck call
never keeps a worker from leaving.
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
from .staffing import Staffing
from .threads import Threads


class Turns:
    """The requests of a worker on their way to a thread (`leading.Work`, `poller.TurnTaker`).

    :param limit: how many threads may run the application at once. With one, that is always the main thread.
    :param stand_ins: how many more may, instead of threads that wait for slow clients.
    :param mode: `adaptive`, `inline` (on the leader's thread whenever possible) or `pool` (never).
    :param region: the first word of this worker on the scoreboard, for the counts.
    :param on_stuck: ends the process if the main thread does not leave the application.
    :ivar counts: busy threads and finished requests, on the scoreboard.
    :ivar threads: the worker's threads; `lead`: passes the lead between them.
    """

    __slots__ = (
        "_lock", "_loop", "_mode", "_queue", "_routes", "_running", "_server", "_staffing", "_watchdog", "counts",
        "lead", "threads",
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
        self._staffing = Staffing(loop, self._queue, self.threads, self.lead)
        self._lock, self._watchdog = self.threads.lock, self.lead.watchdog
        self._mode = mode
        self._routes = Routes()
        self.counts = Counts(board.words, region)
        self._server = server
        #: Requests that run in the pool, or wait for a thread.
        self._running = 0

    @property
    def seats(self) -> set[Seat]:
        """The seats of all threads."""
        return self.threads.seats

    def lost_lead(self, seat: Seat) -> None:
        """See `leading.Work`: count its request as one of the pool, unless it is answered."""
        if not seat.answered:
            self._running += 1

    # On the leader's thread

    def take(self, connection: Connection, seat: Seat) -> None:
        """Run a request inline, or queue it. The thread may have lost the lead when this returns."""
        request = connection.request
        assert request is not None
        route = request.line.route or self._routes.find(request.line)
        threads = self.threads
        limit = threads.limit
        if limit == 1:
            inline = True
        elif self._mode == "adaptive":
            inline = not route.pooled or route.wants_trial(time.monotonic_ns())
        else:
            inline = self._mode == "inline"
        # A client that waits for 100 Continue must not hold up the others.
        if inline and threads.active < limit and not request.expects:
            if seat.serves and (self._watchdog.works or limit == 1):
                self.run_inline(connection, seat, route)
                return
            if self._watchdog.works and self._pass_on(connection, seat, route):
                return
        self._submit(connection, seat, route)

    def _pass_on(self, connection: Connection, seat: Seat, route: Route) -> bool:
        """The leader is the deputy, which runs no application: pass lead and request to an idle thread, if any."""
        with self._lock:
            if not self.threads.parked:
                return False
            self.lead.given = connection, route
            seat.leads = False
            self.lead.give_away()
        return True

    def run_inline(self, connection: Connection, seat: Seat, route: Route) -> None:
        threads, counts = self.threads, self.counts
        timed = route.is_due() and not threads.active
        now, processor = time.monotonic_ns(), time.thread_time_ns() if timed else 0
        # One by one: assigning five at once would build a tuple.
        seat.inline = True
        seat.answered = seat.stood = False
        seat.began = now
        seat.code = 0
        line = connection.request.line  # type: ignore[union-attr]
        row = seat.row = line.row
        if counts.busy != self._running + 1:
            counts.set_busy(self._running + 1)
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
                # The thread that took it may still hold the lock: wait until it is done.
                with self._lock:
                    timed = False
            seat.inline = False
            if made:
                # The request is over, though its answer is not sent.
                if seat.leads:
                    seat.ended = counts.count_led(row, connection.code, now)
                else:
                    self.answered(seat, connection.code)
                self._server.deliver(connection, seat, now)
            seat.began = 0
        if not route.known:
            self._learn(line, route, connection.code if made else seat.code)
        if timed and not threads.active:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)

    def _submit(self, connection: Connection, seat: Seat, route: Route) -> None:
        hopped = connection.hopped
        if not hopped and self._running >= self.threads.limit and not self._server.accept_queued(connection):
            return
        with self._lock:
            self._running += 1
            self.counts.set_busy(self._running)
            # A request from another worker's queue is older than those that wait here.
            self._queue.appendleft(connection) if hopped else self._queue.append(connection)
            if self.threads.active >= self.threads.limit or self.threads.limit == 1:
                return
            if not self.threads.active or route.waits:
                self._staffing.find_thread(seat)
                return
        # A second thread could not compute at the same time: it would compete for the interpreter lock.
        self._staffing.check_later()

    def settle(self, seat: Seat) -> bool:
        """Before the leader waits for events: write the busy count again, as writes without the lock may have crossed.

        :return: whether the thread keeps the lead.
        """
        with self._lock:
            self.counts.set_busy(self._running)
            self._staffing.settle(seat)
        return seat.leads

    def keep_up(self) -> None:
        """See `Threads.keep_up`; also retry the start of the watchdog, if that failed."""
        if not self._watchdog.works:
            self._watchdog.start()
        self.threads.keep_up()

    def before_send(self) -> None:
        """Update the counts before the leader sends answers: the master reads them as soon as a client reacts."""
        self.counts.flush()
        if self.counts.busy != self._running:
            self.counts.set_busy(self._running)

    # During a turn

    def answered(self, seat: Seat, code: int) -> None:
        """Count a request as over before its last bytes are sent: the client may send the next one at once."""
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
        """Uncount a request whose turn ended with an internal error."""
        with self._lock:
            seat.answered = True
            self._running -= 1
            self.counts.set_busy(self._running)

    def stand_aside(self, seat: Seat) -> None:
        """A thread waits for a slow client, and runs no application code until `come_back`."""
        with self._lock:
            seat.stood = True
            if seat.inline and seat.baton and self.lead.has_follower():
                seat.baton.pop()
                self.lead.replace(seat)
            if self.threads.limit == 1 or seat.leads:
                return
            self.threads.step_aside(seat)
            waits = self._staffing.lacks_thread()
        if waits:
            self._loop.wakeUp()

    def come_back(self, seat: Seat) -> None:
        """The client read something, or its time is over."""
        with self._lock:
            self.threads.step_back(seat)

    # On other threads

    def run_queued(self, seat: Seat) -> None:
        while seat.leads and self._queue:
            connection = self._queue.popleft()
            self._dequeued()
            if not connection.waiting or self._server.claim_queued(connection):
                self.run_inline(connection, seat, self._routes.others)

    def take_next_turn(self, seat: Seat) -> bool:
        """Take the next turn, or wait for one; returns false if the thread is surplus and must end."""
        with self._lock:
            if seat.coming:
                seat.coming = False
                self.threads.coming -= 1
            # Threads that stood aside may be back: then one that ends its turn takes no other.
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
        """Remove a queued request that was released to another worker or to the master."""
        with self._lock:
            try:
                self._queue.remove(connection)
            except ValueError:
                # A thread has just taken it from this queue; `claim_queued` refuses it.
                return
            self._running -= 1
            self.counts.set_busy(self._running)

    def census(self) -> tuple[set[Connection], set[tuple[int, int]]]:
        """Return the requests that wait for a thread, and the threads in turns, each with the time its turn began."""
        with self._lock:
            waiting = {*self._queue, *(() if self.lead.given is None else (self.lead.given[0],))}
        return waiting, {(seat.ident, seat.began) for seat in list(self.seats) if seat.began}

    def _dequeued(self) -> None:
        """Uncount a queued request that the leader runs, or that was released."""
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
        # While other calls run, wall time would measure the interpreter lock.
        timed, led = route.is_due() and self.threads.active == 1, self.counts.led
        now, processor = time.monotonic_ns(), time.thread_time_ns() if timed else 0
        seat.inline, seat.answered, seat.stood = False, False, False
        seat.began, seat.row, seat.code = now, request.line.row, 0
        try:
            self._server.serve(connection, seat, now)
        except BaseException:
            # `serve` raises nothing; if it does, no thread has the connection, and `sweeping` finds it.
            self.log.failure("internal error in a turn")
        if not route.known:
            self._learn(request.line, route, seat.code)
        if not seat.answered:
            self._write_off(seat)
        seat.began = 0
        if timed and self.threads.active == 1 and not seat.stood and led == self.counts.led:
            end = time.monotonic_ns()
            route.sample(end - now - (time.thread_time_ns() - processor), end - now, end)
