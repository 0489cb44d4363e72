"""The threads of a worker: how many there are, while it runs, and while that number changes.

Law: `threads` of them run the application, and no others; one more, the deputy, leads the reactor while all of these
are busy. A thread that waits for a slow client stands aside, and a stand-in may take its place: only when a request
needs one, and never more than `stand_ins`. A thread is started first and counted then: when there is none to be had,
nothing has changed, somebody still leads, and it is tried again. What a thread
does is `leading.Lead`'s, and what there is to do `turns.Turns`'.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import threading, time
from ..loop.seats import Aside, Seat
from ..process import failing

#: Seconds until a thread that could not be started is tried again; between two lines about that.
RETRY_SECONDS, LOG_INTERVAL_SECONDS = 1.0, 60.0
#: Seconds that stand-ins are kept for the next slow client, because what the application has built up in a thread (a
#: connection to a database) costs more than a thread that waits.
STAND_IN_SECONDS = 10.0
#: Seconds that a collection waits for a moment without a request, at most: what it finds may hold scarce resources.
COLLECT_WITHIN_SECONDS = 10.0
#: Seconds between two calls of `keep_up`.
UPKEEP_SECONDS = 1.0


class Threads:
    """Starts threads, and lets them go. The fields are written with the lock held.

    :param limit: how many may run the application at once.
    :param stand_ins: how many more may, instead of threads that wait for slow clients.
    :param owner: of the seats.
    :param waiting: the number of requests that wait for a thread.
    :param is_idle: whether no request runs.
    :param work: what a thread does, until it ends.
    :ivar lock: for everything here, and for whatever else its owner counts.
    :ivar seats: those of all threads.
    :ivar parked: threads that run the application and have nothing to do.
    :ivar active: threads in turns; `alive`: all threads; `aside`: those that stand aside; `coming`: those that are
        about to look for a turn.
    """

    __slots__ = (
        "_again_at", "_crest", "_crest_until", "_crowd_told", "_crowded", "_ended", "_ended_since", "_is_idle", "_kept",
        "_owner", "_refusal", "_refusal_told", "_stand_ins", "_stood_in", "_stood_in_told", "_waiting", "_work",
        "active", "alive", "aside", "coming", "limit", "lock", "parked", "seats",
    )  # fmt: skip

    log = Logger()

    def __init__(
        self,
        limit: int,
        stand_ins: int,
        owner: Aside,
        waiting: Callable[[], int],
        is_idle: Callable[[], bool],
        work: Callable[[Seat], None],
    ) -> None:
        self.limit = limit
        self._stand_ins = stand_ins
        self._owner = owner
        self._waiting, self._is_idle, self._work = waiting, is_idle, work
        self.lock = threading.Lock()
        self.seats: set[Seat] = set()
        self.parked: list[Seat] = []
        self.active = self.alive = self.aside = self.coming = 0
        #: How many of those that stand aside stand-ins are kept for.
        self._kept = 0
        self._crest, self._crest_until = 0, 0.0
        #: Threads that have ended since the last collection, and since when.
        self._ended, self._ended_since = 0, 0.0
        #: Why the last thread could not be started, and when the next is tried.
        self._refusal, self._again_at = "", 0.0
        self._refusal_told = self._crowd_told = -LOG_INTERVAL_SECONDS
        self._crowded = self._stood_in = self._stood_in_told = False

    def forget(self) -> None:
        """In a child that the application forks: these threads are not there."""
        for seat in list(self.seats):
            seat.forget()

    def resize(self, limit: int) -> None:
        """Run so many calls at once from now on. Not from or to one: that is another way of working.

        What runs goes on; threads that are too many leave as soon as they have nothing to do, or are done with it.
        """
        with self.lock:
            self.limit = limit
            if not self.alive:
                # So many start when the main thread joins; with some of these there would be one too many for ever.
                return
            while self._is_short() and self.start_thread():
                pass
            self._dismiss()
        self._log_no_thread(time.monotonic())

    def limit_stand_ins(self, number: int) -> None:
        """Have no more stand-ins than this from now on; those that are there go when their work is done."""
        self._stand_ins = number

    # Standing aside, with the lock held

    def step_aside(self, seat: Seat) -> None:
        """A thread waits for its client; as long as there may be a stand-in, it gives its place up."""
        if self.aside >= self._stand_ins:
            self._crowded = True
            return
        self.active -= 1
        self.aside += 1
        seat.aside = True
        self._crest = max(self._crest, self.aside)
        self._kept = max(self._kept, self._crest)

    def step_back(self, seat: Seat) -> None:
        """It goes on, whoever has taken its place."""
        if seat.aside:
            seat.aside = False
            self.active += 1
            self.aside -= 1

    # Coming and going, with the lock held

    def staff(self) -> bool:
        """Have another thread look for a turn; returns whether one does."""
        if self._waiting() <= self.coming:
            return True
        if self.parked:
            self._wake()
            return True
        return self._is_short() and self.start_thread()

    def _wake(self) -> None:
        seat = self.parked.pop()
        self.active += 1
        self.expect(seat)
        seat.gate.release()

    def expect(self, seat: Seat) -> None:
        """A thread is about to look for a turn."""
        seat.coming = True
        self.coming += 1

    def _is_short(self) -> bool:
        """Whether a thread is missing."""
        return self.alive - self.aside <= self.limit

    def surplus(self) -> int:
        """How many there are too many: some stood in for others that are back, or there shall be fewer."""
        return self.alive - 1 - self.limit - max(self.aside, self._kept)

    def _dismiss(self) -> None:
        """Those that are too many and have nothing to do leave."""
        for _ in range(min(len(self.parked), self.surplus())):
            self._wake()

    def start_thread(self, serves: bool = True, leads: bool = False) -> bool:
        """Start a thread, and count it once it is there; returns whether it is.

        :param serves: it runs the application, and looks for a turn first.
        """
        now = time.monotonic()
        if now < self._again_at:
            return False
        name = f"app-{self.alive + 1}"
        try:
            threading.Thread(target=self._begin, args=(serves, leads), name=name, daemon=True).start()
        except (RuntimeError, MemoryError) as problem:
            self._refusal, self._again_at = str(problem) or "no memory", now + RETRY_SECONDS
            return False
        self.alive += 1
        self.active += serves
        self.coming += serves
        self._stood_in |= self.alive > self.limit + 1
        return True

    def _begin(self, serves: bool, leads: bool) -> None:
        seat = Seat(self._owner, serves, leads)
        seat.coming = serves
        try:
            self._work(seat)
        except BaseException:
            # With it would go a request, or the lead.
            failing.fail("one of its threads failed", Failure())
        finally:
            seat.close()
            with self.lock:
                self._ended_since = time.monotonic()
                self._ended += 1

    # On the leader's thread, once a second

    def keep_up(self) -> None:
        """Let stand-ins go that nobody needed of late, collect what they have left behind, tell what has happened."""
        now = time.monotonic()
        with self.lock:
            if now >= self._crest_until:
                self._kept, self._crest, self._crest_until = self._crest, self.aside, now + STAND_IN_SECONDS
                self._dismiss()
            collects = self._ended and now - self._ended_since >= UPKEEP_SECONDS
            collects = collects and (self._is_idle() or now - self._ended_since >= COLLECT_WITHIN_SECONDS)
        if collects:
            self._collect()
        self._log_no_thread(now)

    def _collect(self) -> None:
        """What a thread had of its own (`threading.local`) may sit in cycles, and hold what others wait for.

        In a thread of its own: finalizers are the application's code, and may wait.
        """
        ended, self._ended = self._ended, 0
        try:
            threading.Thread(target=gc.collect, name="collector", daemon=True).start()
        except (RuntimeError, MemoryError):
            self._ended += ended

    def _log_no_thread(self, now: float) -> None:
        if self._refusal and now - self._refusal_told >= LOG_INTERVAL_SECONDS:
            self._refusal_told = now
            self.log.error(
                "cannot start a thread: {why}; requests wait for the {threads} threads that run. Check the limits on"
                " processes and threads (cgroup pids.max, RLIMIT_NPROC) and on memory.",
                why=self._refusal, threads=self.alive,
            )  # fmt: skip
        if now >= self._again_at:
            self._refusal = ""
        if self._stood_in and not self._stood_in_told:
            self._stood_in_told = True
            self.log.warn(
                "slow clients hold application threads; starting stand-ins for these, up to --stand-ins {stand_ins},"
                " each with its own per-thread state of the application, such as a database connection",
                stand_ins=self._stand_ins,
            )  # fmt: skip
        if self._crowded and now - self._crowd_told >= LOG_INTERVAL_SECONDS and self.limit > 1:
            self._crowded, self._crowd_told = False, now
            self.log.warn(
                "slow clients hold more application threads than --stand-ins {stand_ins} can replace; other requests"
                " wait until these clients read, or --write-timeout disconnects them",
                stand_ins=self._stand_ins,
            )  # fmt: skip
