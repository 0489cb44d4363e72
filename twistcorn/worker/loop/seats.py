"""A thread's seat: what belongs to one thread that can lead the reactor or run the application.

Law: no decision is made here. All fields but the buffer are written under the lock of `turns.Turns`, or by the thread
itself while it is the only one that can.
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

#: Nobody wants to hit the thread; somebody is about to; an exception is on its way, or was.
AT_EASE, AIMING, FIRED = range(3)
#: Milliseconds: the longest that poll(2) can be told to wait, some 24 days.
MAX_POLL_MILLISECONDS = (1 << 31) - 1


class Aside(Protocol):
    """Where a thread tells that it waits for a client (`turns.Turns`).

    """

    @property
    def seats(self) -> set[Seat]:
        """Those of all its threads."""

    def stand_aside(self, seat: Seat) -> None:
        """The thread runs no application code until it comes back."""

    def come_back(self, seat: Seat) -> None:
        """It does again."""


class Seat:
    """One thread's seat.

    :ivar thread: its native id; `ident` is Python's.
    :ivar scratch: a buffer that only it uses, for bytes that were seen by peeking and have to be taken.
    :ivar gate: held while the thread has nothing to do.
    :ivar serves: whether it may run the application.
    :ivar leads: whether it runs the reactor, or will when it comes to it.
    :ivar inline: whether it runs a turn while it leads.
    :ivar baton: holds one item while it runs an inline turn and the lead could be taken from it; each seat has its own,
        or one that has lost the lead would take its successor's.
    :ivar began: when its turn began, in monotonic nanoseconds; `row`: where its request is counted (`wire.statuses`);
        `code`: the status of its answer; `ended`: when the last one ended that it ran while it led.
    :ivar answered: whether the request of that turn is over already, but for its last bytes.
    :ivar stood: whether it stood aside in the present turn; `aside`: whether it does now, and has given up its place.
    :ivar coming: whether it was woken, or started, and has not looked for a turn yet.
    :ivar exposed: the connection whose request runs in the application on this thread right now, so that it may be hit
        by a RequestTimeout; None while it runs our own code.
    :ivar sheltered: the same, while it runs code of ours in between (`shelter`).
    :ivar due: the request, and since when it runs, that it ends when it comes out of there.
    :ivar owed: what a signal handler of the application's raised in there.
    :ivar aim: where `deadlines` is with hitting it.
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
        """The thread ends."""
        self._turns.seats.discard(self)
        if exposed_threads.get(self.ident) is self:
            del exposed_threads[self.ident]
        if self._delays >= 0:
            os.close(self._delays)
            self._delays = -1

    def forget(self) -> None:
        """In a child that the application forks: nobody aims at its thread any more."""
        self.aim, self.exposed = AT_EASE, None
        if self._delays >= 0:
            os.close(self._delays)
            self._delays = -1

    def shield(self) -> None:
        """The application is left for code of ours, in which no RequestTimeout must come.

        First it says so, then it looks; `deadlines` first says that it aims, then looks whether the thread is exposed.
        So one of the two always sees the other.
        """
        self.exposed = None
        if self.aim:
            self._disarm()

    def reappear(self) -> None:
        """The application goes on behind code of ours.

        :raises RequestTimeout: its time was over meanwhile.
        :raises BaseException: what is owed.
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
        # The exception may come at any moment, also here, but only once.
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
        """Nanoseconds that the thread was ready but had no processor; 0 where the kernel does not tell (proc(5))."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(os.pread(self._delays, 64, 0).split()[1])
        return 0

    def await_client(self, sock: socket.socket, timeout: float, event: int = select.POLLOUT) -> bool:
        """Wait until the socket takes more, or has something; meanwhile another thread has this one's place.

        :return: false when that took longer than `timeout` seconds.
        """
        poll = select.poll()
        poll.register(sock, event)
        try:
            self._turns.stand_aside(self)
            return bool(poll.poll(min(timeout * 1000, MAX_POLL_MILLISECONDS)))
        finally:
            self._turns.come_back(self)
