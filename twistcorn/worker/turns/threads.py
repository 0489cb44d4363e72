"""The threads of a worker: starts them, counts them, and ends those that are not needed.

Law: at most `limit` threads run the application at once; one more, the deputy, leads the reactor while all of these are
busy. A thread that waits for a slow client stands aside, and a stand-in may take its place: only when a request needs
it, and at most `stand_ins` of them. A thread is started first and counted then: if the start fails, nothing has
changed, a thread still leads, and the start is retried. `leading.Lead` decides what a thread does, `turns.Turns` which
request it runs.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import threading, time
from ..loop.seats import Aside, Seat
from ..process import failing

#: Seconds until a failed start of a thread is retried; between two log lines about that.
RETRY_SECONDS, LOG_INTERVAL_SECONDS = 1.0, 60.0
#: Seconds that stand-ins are kept for the next slow clients: the application's per-thread state (a connection to a
#: database) costs more than a waiting thread.
STAND_IN_SECONDS = 10.0
#: Seconds that a garbage collection waits at most until no request runs: garbage may hold scarce resources.
COLLECT_WITHIN_SECONDS = 10.0
#: Seconds between two calls of `keep_up`.
UPKEEP_SECONDS = 1.0


class Threads:
    """Starts threads, and ends surplus ones. The fields are written with the lock held.

    :param limit: how many threads may run the application at once.
    :param stand_ins: how many more may, instead of threads that wait for slow clients.
    :param owner: of the seats.
    :param waiting: returns the number of requests that wait for a thread.
    :param is_idle: whether no request runs.
    :param work: runs a thread, until it ends.
    :ivar lock: guards the fields here, and those of `turns.Turns` and `leading.Lead`.
    :ivar seats: the seats of all threads.
    :ivar parked: seats of threads that wait for a turn.
    :ivar active: the number of threads in turns; `alive`: of all threads; `aside`: of those that stand aside;
        `coming`: of those that are about to ask for a turn.
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
        #: How many stand-ins are kept.
        self._kept = 0
        self._crest, self._crest_until = 0, 0.0
        #: Threads that have ended since the last collection, and when the latest did.
        self._ended, self._ended_since = 0, 0.0
        #: Why the last start failed, and when the next is allowed.
        self._refusal, self._again_at = "", 0.0
        self._refusal_told = self._crowd_told = -LOG_INTERVAL_SECONDS
        self._crowded = self._stood_in = self._stood_in_told = False

    def forget(self) -> None:
        """In a child that the application forks: these threads do not exist there."""
        for seat in list(self.seats):
            seat.forget()

    def resize(self, limit: int) -> None:
        """Allow `limit` threads from now on; not from or to one, which is a different mode.

        Running calls go on; surplus threads end as soon as they are idle.
        """
        with self.lock:
            self.limit = limit
            if not self.alive:
                # `Lead.join` starts the threads; starting some here would leave one too many.
                return
            while self._is_short() and self.start_thread():
                pass
            self._dismiss()
        self._log_no_thread(time.monotonic())

    def limit_stand_ins(self, number: int) -> None:
        """Bound the stand-ins from now on; surplus ones end when their work is done."""
        self._stand_ins = number

    # Standing aside, with the lock held

    def step_aside(self, seat: Seat) -> None:
        """A thread waits for its client; it gives up its place if another stand-in is allowed."""
        if self.aside >= self._stand_ins:
            self._crowded = True
            return
        self.active -= 1
        self.aside += 1
        seat.aside = True
        self._crest = max(self._crest, self.aside)
        self._kept = max(self._kept, self._crest)

    def step_back(self, seat: Seat) -> None:
        """A thread goes on, though a stand-in may have taken its place."""
        if seat.aside:
            seat.aside = False
            self.active += 1
            self.aside -= 1

    # Coming and going, with the lock held

    def staff(self) -> bool:
        """Wake or start a thread for the waiting requests; returns whether enough are coming."""
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
        """Note that a thread is about to ask for a turn."""
        seat.coming = True
        self.coming += 1

    def _is_short(self) -> bool:
        """Whether a thread is missing."""
        return self.alive - self.aside <= self.limit

    def surplus(self) -> int:
        """How many threads are surplus: stand-ins whose threads are back, or more than a lowered limit."""
        return self.alive - 1 - self.limit - max(self.aside, self._kept)

    def _dismiss(self) -> None:
        """Wake idle surplus threads, which then end."""
        for _ in range(min(len(self.parked), self.surplus())):
            self._wake()

    def start_thread(self, serves: bool = True, leads: bool = False) -> bool:
        """Start a thread, and count it once it runs; returns whether it does.

        :param serves: it may run the application, and asks for a turn first.
        :param leads: it leads the reactor first.
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
            # A request, or the lead, would be lost with it.
            failing.fail("one of its threads failed", Failure())
        finally:
            seat.close()
            with self.lock:
                self._ended_since = time.monotonic()
                self._ended += 1

    # On the leader's thread, once a second

    def keep_up(self) -> None:
        """End stand-ins that were not needed recently, collect the garbage of ended threads, log what happened."""
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
        """Collect the state of ended threads (`threading.local`): it may be in cycles, and hold scarce resources.

        In its own thread: finalizers are the application's code, and may block.
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
