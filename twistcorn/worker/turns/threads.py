"""The threads of a worker: how many there are, while it runs, and while that number changes.

Law: `threads` of them run the application, and no others; one more, the deputy, leads the reactor while all of these
are busy. A thread that waits for a slow client stands aside, and a stand-in may take its place: only when a request
needs one, and never more than `stand_ins`. A thread is started first and counted then: when there is none to be had,
nothing has changed, somebody still leads, and it is tried again. What a thread does is `turns.Turns`'.
"""

from __future__ import annotations

import abc
import gc
from collections import deque

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import threading, time
from ..loop.connection import Connection
from ..loop.seats import Seat
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


class Threads(abc.ABC):
    """Starts threads, and lets them go.

    :param stand_ins: threads that may run the application in the place of those that wait for slow clients.
    :ivar threads: how many may run the application at once.
    :ivar seats: those of all threads.
    """

    # With those of its heirs they would be more than an interpreter's shared keys hold: each look would cost more.
    __slots__ = (
        "_active", "_again_at", "_alive", "_aside", "_coming", "_crest", "_crest_until", "_crowd_told", "_crowded",
        "_deputy", "_ended", "_ended_since", "_kept", "_lock", "_parked", "_queue", "_refusal", "_refusal_told",
        "_stand_ins", "_stood_in", "_stood_in_told", "_vacant", "seats", "threads",
    )  # fmt: skip

    log = Logger()

    def __init__(self, threads: int, stand_ins: int) -> None:
        self.threads = threads
        self.seats: set[Seat] = set()
        self._stand_ins = stand_ins
        self._lock = threading.Lock()
        self._queue: deque[Connection] = deque()
        #: Threads that run the application and have nothing to do; the deputy, while it has nothing to do.
        self._parked: list[Seat] = []
        self._deputy: Seat | None = None
        #: Nobody leads yet: who gets free next does.
        self._vacant = False
        #: Threads in turns; all threads; those that stand aside; how many of these stand-ins are kept for.
        self._active = self._alive = self._aside = self._kept = 0
        #: Threads that are about to look for a turn.
        self._coming = 0
        self._crest, self._crest_until = 0, 0.0
        #: Threads that have ended since the last collection, and since when.
        self._ended, self._ended_since = 0, 0.0
        #: Why the last thread could not be started, and when the next is tried.
        self._refusal, self._again_at = "", 0.0
        self._refusal_told = self._crowd_told = -LOG_INTERVAL_SECONDS
        self._crowded = self._stood_in = self._stood_in_told = False

    @abc.abstractmethod
    def _thread_loop(self, seat: Seat) -> None: ...

    @abc.abstractmethod
    def stand_aside(self, seat: Seat) -> None:
        """See `roles.Aside`."""

    @abc.abstractmethod
    def come_back(self, seat: Seat) -> None:
        """See `roles.Aside`."""

    @abc.abstractmethod
    def _is_idle(self) -> bool:
        """Whether no request runs."""

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
            while self._is_short() and self._start_thread():
                pass
            self._dismiss()
        self._log_no_thread(time.monotonic())

    def limit_stand_ins(self, number: int) -> None:
        """Have no more stand-ins than this from now on; those that are there go when their work is done."""
        self._stand_ins = number

    # Standing aside, with the lock held

    def _step_aside(self, seat: Seat) -> None:
        """A thread waits for its client; as long as there may be a stand-in, it gives its place up."""
        if self._aside >= self._stand_ins:
            self._crowded = True
            return
        self._active -= 1
        self._aside += 1
        seat.aside = True
        self._crest = max(self._crest, self._aside)
        self._kept = max(self._kept, self._crest)

    def _step_back(self, seat: Seat) -> None:
        """It goes on, whoever has taken its place."""
        if seat.aside:
            seat.aside = False
            self._active += 1
            self._aside -= 1

    # Coming and going, with the lock held

    def _staff(self) -> bool:
        """Have another thread look for a turn; returns whether one does."""
        if len(self._queue) <= self._coming:
            return True
        if self._parked:
            self._wake()
            return True
        return self._is_short() and self._start_thread()

    def _wake(self) -> None:
        seat = self._parked.pop()
        self._active += 1
        self._expect(seat)
        seat.gate.release()

    def _expect(self, seat: Seat) -> None:
        """A thread is about to look for a turn."""
        seat.coming = True
        self._coming += 1

    def _is_short(self) -> bool:
        """Whether a thread is missing."""
        return self._alive - self._aside <= self.threads

    def _surplus(self) -> int:
        """How many there are too many: some stood in for others that are back, or there shall be fewer."""
        return self._alive - 1 - self.threads - max(self._aside, self._kept)

    def _dismiss(self) -> None:
        """Those that are too many and have nothing to do leave."""
        for _ in range(min(len(self._parked), self._surplus())):
            self._wake()

    def _start_thread(self, serves: bool = True, leads: bool = False) -> bool:
        """Start a thread, and count it once it is there; returns whether it is.

        :param serves: it runs the application, and looks for a turn first.
        """
        now = time.monotonic()
        if now < self._again_at:
            return False
        name = f"app-{self._alive + 1}"
        try:
            threading.Thread(target=self._begin, args=(serves, leads), name=name, daemon=True).start()
        except (RuntimeError, MemoryError) as problem:
            self._refusal, self._again_at = str(problem) or "no memory", now + RETRY_SECONDS
            return False
        self._alive += 1
        self._active += serves
        self._coming += serves
        self._stood_in |= self._alive > self.threads + 1
        return True

    def _begin(self, serves: bool, leads: bool) -> None:
        seat = Seat(self, serves, leads)
        seat.coming = serves
        try:
            self._thread_loop(seat)
        except BaseException:
            # With it would go a request, or the lead.
            failing.fail("one of its threads broke", Failure())
        finally:
            seat.close()
            with self._lock:
                self._ended_since = time.monotonic()
                self._ended += 1

    # On the leader's thread, once a second

    def keep_up(self) -> None:
        """Let stand-ins go that nobody needed of late, collect what they have left behind, tell what has happened."""
        now = time.monotonic()
        with self._lock:
            if now >= self._crest_until:
                self._kept, self._crest, self._crest_until = self._crest, self._aside, now + STAND_IN_SECONDS
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
                "no thread can be started: {why}; {threads} threads go on, and requests wait for these. Look at the"
                " limits of processes and threads (pids.max of the cgroup, RLIMIT_NPROC) and of memory.",
                why=self._refusal, threads=self._alive,
            )  # fmt: skip
        if now >= self._again_at:
            self._refusal = ""
        if self._stood_in and not self._stood_in_told:
            self._stood_in_told = True
            self.log.warn(
                "clients that read slowly hold threads of the application: up to {stand_ins} others take their places"
                " (--stand-ins), each with its own of what the application keeps per thread, such as a connection to"
                " a database",
                stand_ins=self._stand_ins,
            )  # fmt: skip
        if self._crowded and now - self._crowd_told >= LOG_INTERVAL_SECONDS and self.threads > 1:
            self._crowded, self._crowd_told = False, now
            self.log.warn(
                "{stand_ins} threads wait for clients that read slowly, and have stand-ins (--stand-ins): further such"
                " clients keep their threads, and other requests wait, until --write-timeout ends who takes nothing",
                stand_ins=self._stand_ins,
            )  # fmt: skip
