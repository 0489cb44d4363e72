"""The load generator for what wrk cannot do: a constant rate, or two kinds of requests whose times are told apart.

Law: a program of its own (``python -m bench.steady``): it reads a :class:`Task` as JSON from standard input, ends by
itself, and writes an :class:`Account` as JSON. One thread, loopback.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from bench.pace import Head, Percentiles, Schedule, kinds, percentiles, read_head

#: How long the last answers are waited for.
DRAIN = 2.0
#: The longest sleep when nothing is due.
IDLE = 0.1
PIECE = 262144
#: `select` sleeps this much too long, in nanoseconds, if it is let.
SLACK = Path("/proc/self/timerslack_ns")


@dataclass(frozen=True)
class Task:
    """What to ask, of whom, how fast, how long. ``rate``: requests a second; ``None``: as fast as answers come."""

    port: int
    requests: tuple[str, ...]
    slow_share: float
    connections: int
    seconds: float
    rate: float | None = None


@dataclass(frozen=True)
class Account:
    """What came of a task.

    :ivar answered: answers with status 200.
    :ivar in_time: those of them that did not come only while the last were waited for.
    :ivar unanswered: requests that were due and have no answer; the times hold their age at the end.
    :ivar times: one for each of the task's requests; ``None`` where there was none.
    """

    answered: int
    in_time: int
    unanswered: int
    connect: int
    read: int
    bad_status: int
    times: tuple[Percentiles | None, ...]


@dataclass(eq=False)
class Connection:
    """One connection, which may have to be opened yet, and the request on it, if there is one."""

    sock: socket.socket | None = None
    kind: int = 0
    due: float = 0.0
    #: No answer has come on it.
    fresh: bool = True
    head: Head | None = None
    received: bytearray = field(default_factory=bytearray)


@dataclass
class Counts:
    """What is counted on the way."""

    answered: int = 0
    in_time: int = 0
    connect: int = 0
    read: int = 0
    bad_status: int = 0


class Client:
    """All connections of a task."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.requests = [text.encode() for text in task.requests]
        self.kinds = kinds(task.slow_share)
        self.schedule = Schedule(task.rate, task.seconds)
        self.free = deque(Connection() for _ in range(task.connections))
        self.waiting: deque[tuple[float, int]] = deque()
        self.reading: dict[socket.socket, Connection] = {}
        self.writing: dict[socket.socket, Connection] = {}
        self.times: list[list[float]] = [[] for _ in self.requests]
        self.counts = Counts()
        self.begin = time.monotonic()

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begin

    def run(self) -> Account:
        """Ask until the time is over, wait for the last answers, close."""
        self.begin = time.monotonic()
        patience = self.task.seconds + DRAIN
        while True:
            now = self.now()
            self.feed(now)
            if self.schedule.is_over(now) and (now > patience or not (self.reading or self.waiting)):
                return self.account(now)
            readable, writable, _ = select.select(list(self.reading), list(self.writing), [], self.pause(now))
            for sock in writable:
                self.send(self.writing.pop(sock))
            for sock in readable:
                if sock in self.reading:
                    self.receive(self.reading[sock])

    def pause(self, now: float) -> float:
        """How long to sleep when no answer comes."""
        due = self.schedule.next_due()
        return IDLE if due is None else min(IDLE, max(0.0, due - now))

    def feed(self, now: float) -> None:
        """Send what is due on what is free."""
        if self.task.rate is None:
            while self.free and (due := self.schedule.take(now)) is not None:
                self.ask(due, next(self.kinds))
            return
        while (due := self.schedule.take(now)) is not None:
            self.waiting.append((due, next(self.kinds)))
        while self.free and self.waiting:
            self.ask(*self.waiting.popleft())

    def ask(self, due: float, kind: int) -> None:
        """Put a request on the connection that has been free the longest."""
        connection = self.free.popleft()
        connection.kind, connection.due = kind, due
        if connection.sock is None:
            self.connect(connection)
        self.begin_request(connection)

    def connect(self, connection: Connection) -> None:
        """Open it, without waiting for the handshake."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(("127.0.0.1", self.task.port))
        connection.sock, connection.fresh = sock, True

    def begin_request(self, connection: Connection) -> None:
        """Nothing of the answer is there yet."""
        assert connection.sock is not None
        connection.head = None
        connection.received.clear()
        self.reading[connection.sock] = connection
        self.send(connection)

    def send(self, connection: Connection) -> None:
        """Send the request, whole: it is shorter than any send buffer."""
        assert connection.sock is not None
        try:
            connection.sock.send(self.requests[connection.kind])
        except BlockingIOError:
            self.writing[connection.sock] = connection
        except ConnectionRefusedError:
            self.counts.connect += 1
            self.finish(connection, stays=False)
        except OSError:
            self.lost(connection)

    def receive(self, connection: Connection) -> None:
        """Take what is there; perhaps it is the answer's end."""
        assert connection.sock is not None
        try:
            piece = connection.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        connection.received += piece
        head = connection.head = connection.head or read_head(connection.received)
        if head is not None and (not piece if head.total is None else len(connection.received) >= head.total):
            self.answered(connection, head)
        elif not piece:
            self.lost(connection)

    def answered(self, connection: Connection, head: Head) -> None:
        """The answer is whole."""
        now = self.now()
        if head.status == 200:
            self.counts.answered += 1
            self.counts.in_time += now < self.task.seconds
            self.times[connection.kind].append(now - connection.due)
        else:
            self.counts.bad_status += 1
        connection.fresh = False
        self.finish(connection, stays=not head.closes and head.total is not None)

    def lost(self, connection: Connection) -> None:
        """The server has closed: an idle connection rightly, and the request goes on another one; else it is lost."""
        again = not connection.fresh and not connection.received
        self.finish(connection, stays=False)
        if again:
            self.free.remove(connection)
            self.connect(connection)
            self.begin_request(connection)
        else:
            self.counts.read += 1

    def finish(self, connection: Connection, stays: bool) -> None:
        """The connection is free, and closed first if it does not stay."""
        assert connection.sock is not None
        self.reading.pop(connection.sock, None)
        self.writing.pop(connection.sock, None)
        if not stays:
            connection.sock.close()
            connection.sock = None
        self.free.append(connection)

    def account(self, now: float) -> Account:
        """Count what has no answer, close everything."""
        asked = [(connection.due, connection.kind) for connection in self.reading.values()]
        unanswered = [*asked, *self.waiting]
        for due, kind in unanswered:
            self.times[kind].append(now - due)
        for connection in [*self.free, *self.reading.values()]:
            if connection.sock is not None:
                connection.sock.close()
        times = tuple(percentiles(values) for values in self.times)
        return Account(**dataclasses.asdict(self.counts), unanswered=len(unanswered), times=times)


def main() -> None:
    """Carry out the task that comes on standard input."""
    task = Task(**json.load(sys.stdin))
    with contextlib.suppress(OSError):
        SLACK.write_text("1")
    # A collection would be a pause of ours in the server's times.
    gc.disable()
    json.dump(dataclasses.asdict(Client(task).run()), sys.stdout)


if __name__ == "__main__":
    main()
