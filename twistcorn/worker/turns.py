"""Turns: which thread runs the application for a request.

Law: owns the app threads. A turn is a call without arguments that raises nothing; it gets the thread's `Seat`.
Threads are daemons: a stuck app never keeps a worker from leaving.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from twisted.logger import Logger

from ..wire.scoreboard import W_BUSY, W_REQUESTS, Scoreboard

#: For bytes that were seen by peeking and have to be taken.
SCRATCH = 65536


@dataclass(frozen=True)
class Seat:
    """What belongs to an app thread.

    :ivar thread: its native id.
    :ivar scratch: a buffer that only it uses.
    """

    thread: int
    scratch: bytearray


Turn = Callable[[Seat], None]


class Turns:
    """A fixed number of app threads on one queue.

    :param region: the first word of this worker on the scoreboard, for `busy` and `requests`.
    """

    log = Logger()

    def __init__(self, threads: int, board: Scoreboard, region: int) -> None:
        self._queue: SimpleQueue[Turn] = SimpleQueue()
        self._lock = threading.Lock()
        self._board = board
        self._region = region
        self.threads = threads
        self.running = 0

    def start(self) -> None:
        """Start the threads."""
        for number in range(self.threads):
            threading.Thread(target=self._work, name=f"app-{number + 1}", daemon=True).start()

    def submit(self, turn: Turn) -> None:
        """Run a turn as soon as a thread is free."""
        with self._lock:
            self.running += 1
            self._board.words[self._region + W_BUSY] = self.running
        self._queue.put(turn)

    def _work(self) -> None:
        seat = Seat(threading.get_native_id(), bytearray(SCRATCH))
        while True:
            turn = self._queue.get()
            try:
                turn(seat)
            except BaseException:
                # A turn raises nothing; should one do, its thread must go on.
                self.log.failure("internal error in a turn")
            finally:
                del turn

    def ended(self) -> None:
        """A turn tells that the request is over, before its connection can bring the next one."""
        with self._lock:
            self.running -= 1
            words, region = self._board.words, self._region
            words[region + W_BUSY] = self.running
            words[region + W_REQUESTS] += 1
