"""A thread's seat: the state of one thread that can lead the reactor or run the application.

Law: no decisions. All fields except the buffer are written under the lock of `threads.Threads`, or by the thread itself
while no other thread can.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Protocol

from ...errors import RequestTimeout
from ...pristine import os, select, socket, threading, time
from ...shelter import exposed_threads
from ..process.interrupt import set_exception
from .connection import Connection
from .stream import SCRATCH_BYTES

#: No RequestTimeout for the thread; one is about to be raised; one is on its way, or was raised.
AT_EASE, AIMING, FIRED = range(3)
#: Longest time-out that poll(2) accepts, in milliseconds: some 24 days.
MAX_POLL_MILLISECONDS = (1 << 31) - 1


class Aside(Protocol):
    """Lets a stand-in run while a thread waits for a client (`turns.Turns`)."""

    @property
    def seats(self) -> set[Seat]:
        """The seats of all threads."""

    def stand_aside(self, seat: Seat) -> None:
        """The thread runs no application code until `come_back`."""

    def come_back(self, seat: Seat) -> None:
        """The thread runs application code again."""


class Seat:
    """One thread's seat.

    :ivar thread: its native id; `ident` is Python's.
    :ivar scratch: its private buffer for taking bytes that were peeked at before.
    :ivar gate: a lock on which the thread waits while it has nothing to do.
    :ivar serves: whether it may run the application.
    :ivar leads: whether it runs the reactor, or will as soon as it can.
    :ivar inline: whether it runs a turn while it leads.
    :ivar baton: holds one item while it runs an inline turn and can lose the lead; one per seat, so that a thread that
        has lost the lead cannot take its successor's.
    :ivar began: when its turn began, in monotonic nanoseconds; `row`: where its request is counted (`wire.statuses`);
        `code`: the status of its answer; `ended`: when its latest inline turn ended.
    :ivar answered: whether the request of that turn is counted as over, though its last bytes may be unsent.
    :ivar stood: whether it stood aside in the present turn; `aside`: whether it does now, and a stand-in may run.
    :ivar coming: whether it was woken, or started, and has not asked for a turn yet.
    :ivar exposed: the connection whose request runs in the application on this thread right now, so that a
        RequestTimeout may be raised in it; None while it runs our own code.
    :ivar sheltered: the same, while it runs our own code in between (`shelter`).
    :ivar due: the request, and when it began, that times out as soon as the thread leaves the shelter.
    :ivar owed: the exception that the application's signal handler raised in the shelter.
    :ivar aim: how far `deadlines` is with raising a RequestTimeout in it.
    """

    __slots__ = (
        "_delays", "_turns", "aim", "answered", "aside", "baton", "began", "code", "coming", "due", "ended", "exposed",
        "gate", "ident", "inline", "leads", "owed", "row", "scratch", "serves", "sheltered", "stood", "thread",
    )  # fmt: skip

    def __init__(self, turns: Aside, serves: bool = True, leads: bool = False) -> None:
        self.thread = threading.get_native_id()
        self.ident = threading.get_ident()
        self.scratch = bytearray(SCRATCH_BYTES)
        self.gate = threading.Lock()
        self.gate.acquire()
        self.serves = serves
        self.leads = leads
        self.inline = False
        self.answered = False
        self.began = self.ended = self.row = self.code = 0
        self.baton: deque[int] = deque()
        self.stood = self.aside = self.coming = False
        self.exposed: Connection | None = None
        self.sheltered: Connection | None = None
        self.due: tuple[Connection, int] | None = None
        self.owed: BaseException | None = None
        self.aim = AT_EASE
        self._turns = turns
        turns.seats.add(self)
        exposed_threads[self.ident] = self
        self._delays = -1
        with contextlib.suppress(OSError):
            self._delays = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Release the seat; the thread ends."""
        self._turns.seats.discard(self)
        if exposed_threads.get(self.ident) is self:
            del exposed_threads[self.ident]
        if self._delays >= 0:
            os.close(self._delays)
            self._delays = -1

    def forget(self) -> None:
        """In a child that the application forks: no RequestTimeout is raised in this thread any more."""
        self.aim, self.exposed = AT_EASE, None
        if self._delays >= 0:
            os.close(self._delays)
            self._delays = -1

    def shield(self) -> None:
        """Leave the application for our own code, in which no RequestTimeout may be raised.

        This clears `exposed` first and reads `aim` then; `deadlines` writes `aim` first and reads `exposed` then. So
        one of the two always sees the other.
        """
        self.exposed = None
        if self.aim:
            self._disarm()

    def reappear(self) -> None:
        """Return from our own code to the application.

        :raises RequestTimeout: the request's time ran out meanwhile.
        :raises BaseException: the owed exception.
        """
        runs, self.sheltered = self.sheltered, None
        self.exposed = runs
        if self.owed is not None:
            owed, self.owed = self.owed, None
            raise owed
        if self.due is not None:
            due, self.due = self.due, None
            if runs is not None and due == (runs, runs.redo_log.since):
                raise RequestTimeout

    def _disarm(self) -> None:
        # The exception may be raised at any time, also here, but only once.
        for _ in range(2):
            try:
                while self.aim == AIMING:
                    time.sleep(0)
                if self.aim == FIRED:
                    set_exception(self.ident, None)
                self.aim = AT_EASE
                return
            except RequestTimeout:
                continue

    def delay(self) -> int:
        """Nanoseconds that the thread was ready but had no processor; 0 if the kernel does not count (proc(5))."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(os.pread(self._delays, 64, 0).split()[1])
        return 0

    def await_client(self, sock: socket.socket, timeout: float, event: int = select.POLLOUT) -> bool:
        """Wait until the socket is writable, or readable; meanwhile a stand-in may run instead of this thread.

        :return: false after `timeout` seconds.
        """
        poll = select.poll()
        poll.register(sock, event)
        try:
            self._turns.stand_aside(self)
            return bool(poll.poll(min(timeout * 1000, MAX_POLL_MILLISECONDS)))
        finally:
            self._turns.come_back(self)
