"""Turns: which thread runs the application for a request.

Law: owns the app threads. A turn is a call that raises nothing and gets its thread's `Seat`. Threads are daemons: a
stuck app never keeps a worker from leaving. While the app does not wait, one thread takes turn after turn: a second
one could not compute at the same time and would only fight for the interpreter lock. When it waits, or is found
waiting by the tick, others are woken.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from ..wire.scoreboard import W_BUSY, W_REQUESTS, Scoreboard

#: For bytes that were seen by peeking and have to be taken.
SCRATCH = 65536
#: A mean wait above this many nanoseconds: worth two thread switches.
WAITS = 150_000
#: One long wait says no more than this.
CLIP = 2_000_000
#: One turn in so many is timed: reading a thread's clock twice costs about a microsecond.
SAMPLE = 8
#: How long a turn may wait for the thread that runs before another is woken.
TICK = 0.002
#: Threads that may wait for slow clients beside those that run the application: a thread costs some ten KiB, and so
#: many clients that read slower than their app produces are an attack, which shall not stop the others early.
MOST_ASIDE = 512


class Seat:
    """What belongs to an app thread.

    :ivar thread: its native id.
    :ivar scratch: a buffer that only it uses.
    :ivar gate: held while the thread has nothing to do.
    :ivar timed: whether the present call of the application is timed.
    :ivar wall: nanoseconds that it took; `processor`: nanoseconds of processor time in it.
    """

    __slots__ = ("_turns", "gate", "processor", "scratch", "thread", "timed", "wall")

    def __init__(self, turns: Turns) -> None:
        self.thread = threading.get_native_id()
        self.scratch = bytearray(SCRATCH)
        self.gate = threading.Lock()
        self.timed = False
        self.wall = 0
        self.processor = 0
        self._turns = turns

    def await_client(self, sock: socket.socket, timeout: float) -> bool:
        """Wait until the socket takes more; meanwhile another thread has this one's place in the application.

        :return: false when that took longer than `timeout` seconds.
        """
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        self._turns.stand_aside()
        try:
            return bool(poll.poll(timeout * 1000))
        finally:
            self._turns.come_back()

    def call_begins(self) -> None:
        """The application is about to be called."""
        if self.timed:
            self.wall, self.processor = time.monotonic_ns(), time.thread_time_ns()

    def call_ends(self) -> None:
        """The application has answered; sending, which lets other threads run, is none of its time."""
        if self.timed:
            self.wall, self.processor = time.monotonic_ns() - self.wall, time.thread_time_ns() - self.processor


Turn = Callable[[Seat], None]


class Waiting:
    """Whether the application waits: a moving mean of wall time minus processor time of its calls. Pure.

    :ivar mean: nanoseconds.
    """

    def __init__(self) -> None:
        self.mean = 0.0

    def sample(self, wall: int, processor: int) -> None:
        """One call took so long, and used so much of the processor, in nanoseconds."""
        self.mean += (min(max(wall - processor, 0), CLIP) - self.mean) / 8

    @property
    def likely(self) -> bool:
        """Whether the next call will probably wait."""
        return self.mean > WAITS


class Turns:
    """A fixed number of app threads on one queue.

    :param clock: for the tick.
    :param region: the first word of this worker on the scoreboard, for `busy` and `requests`.
    :ivar running: requests that are in the application or wait for a thread.
    """

    log = Logger()

    def __init__(self, clock: Any, threads: int, board: Scoreboard, region: int) -> None:
        self._clock = clock
        self._queue: deque[Turn] = deque()
        self._parked: list[threading.Lock] = []
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._board = board
        self._region = region
        self._ticking = False
        self._alive = 0
        self._aside = 0
        self._names = itertools.count(1)
        self.threads = threads
        self.running = 0

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            for _ in range(self.threads):
                self._start_thread()

    def _start_thread(self) -> None:
        self._alive += 1
        threading.Thread(target=self._work, name=f"app-{next(self._names)}", daemon=True).start()

    def stand_aside(self) -> None:
        """The thread that calls this waits for a slow client: it runs no application code until it comes back."""
        with self._lock:
            self._aside += 1
            if self._alive - self._aside < self.threads and self._alive < self.threads + MOST_ASIDE:
                self._start_thread()

    def come_back(self) -> None:
        """The client took something."""
        with self._lock:
            self._aside -= 1

    def submit(self, turn: Turn, first: bool = False) -> None:
        """Run a turn as soon as a thread is free, before the others if it is to be the `first`. On the reactor thread.
        """
        with self._lock:
            self.running += 1
            self._board.words[self._region + W_BUSY] = self.running
            if first:
                self._queue.appendleft(turn)
            else:
                self._queue.append(turn)
            if not self._parked:
                return
            if len(self._parked) == self._alive - self._aside or self._waiting.likely:
                self._parked.pop().release()
                return
        if not self._ticking:
            self._ticking = True
            self._clock.callLater(TICK, self._tick)

    def _tick(self) -> None:
        """What still waits for a thread waits for one that is not coming back soon."""
        self._ticking = False
        with self._lock:
            if self._queue and self._parked:
                self._parked.pop().release()
                self._ticking = bool(self._parked)
        if self._ticking:
            self._clock.callLater(TICK, self._tick)

    def _work(self) -> None:
        seat = Seat(self)
        seat.gate.acquire()
        number = 0
        while True:
            with self._lock:
                turn = self._queue.popleft() if self._queue else None
                if turn is None:
                    if self._alive - self._aside > self.threads:
                        # Those that stood aside are back: there is one too many.
                        self._alive -= 1
                        return
                    self._parked.append(seat.gate)
            if turn is None:
                seat.gate.acquire()
                continue
            number += 1
            # Beside other threads wall time would measure the interpreter lock.
            seat.timed = number % SAMPLE == 0 and len(self._parked) == self._alive - self._aside - 1
            self._run(turn, seat)
            # Nothing of the request outlives it while the thread waits for the next.
            del turn

    def _run(self, turn: Turn, seat: Seat) -> None:
        try:
            turn(seat)
        except BaseException:
            # A turn raises nothing; should one do, its thread must go on.
            self.log.failure("internal error in a turn")
        if seat.timed:
            self._waiting.sample(seat.wall, seat.processor)

    def ended(self) -> None:
        """A turn tells that the request is over, before its connection can bring the next one."""
        with self._lock:
            self.running -= 1
            words, region = self._board.words, self._region
            words[region + W_BUSY] = self.running
            words[region + W_REQUESTS] += 1
