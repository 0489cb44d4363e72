"""Idle connections that no worker holds: the master watches them until their clients send a request, or leave.

Law: they are in a separate epoll, which the reactor watches like any other descriptor: ten thousand of them cost it
one. Nothing is read here; a client that sends a request is handed on with every byte unread. The keep-alive deadline,
set by the worker in the slot, still applies.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...logs.logger import Logger
from ...wire.scoreboard import S_DEADLINE, Scoreboard
from . import tcp_info
from .table import ConnectionRecord

_WATCHED = select.EPOLLIN | select.EPOLLRDHUP
#: Events handled before other descriptors get their turn; also a good batch to lend.
EVENTS_AT_ONCE = 64
#: Seconds between two checks of the deadlines.
SWEEP_SECONDS = 1.0


class Parking(FileDescriptor):
    """The parked connections.

    :param ask: takes connections with something to read.
    :param close: closes a connection that no worker holds.
    :param now: the monotonic clock of the workers' deadlines, in seconds.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        scoreboard: Scoreboard,
        ask: Callable[[list[ConnectionRecord]], None],
        close: Callable[[ConnectionRecord], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(reactor)
        self._clock = reactor
        self._scoreboard = scoreboard
        self._ask = ask
        self._close = close
        self._now = now
        self._epoll: select.epoll | None = None
        # In the order in which they came, which is nearly that of their deadlines: all have the same time.
        self._parked: dict[int, ConnectionRecord] = {}
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._parked)

    def fileno(self) -> int:
        return -1 if self._epoll is None else self._epoll.fileno()

    def park(self, connection: ConnectionRecord) -> None:
        """Watch a connection that no worker has."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self.startReading()
        descriptor = connection.sock.fileno()
        self._parked[descriptor] = connection
        self._epoll.register(descriptor, _WATCHED)
        if self._timer is None:
            self._timer = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def retime(self, difference: float) -> None:
        """Move the deadline of idle connections by some seconds."""
        words = self._scoreboard.words
        for connection in self._parked.values() if difference else ():
            word = self._scoreboard.slot_base(connection.slot) + S_DEADLINE
            # 0 would be none.
            words[word] = max(1, words[word] + int(difference * 1e9))

    def doRead(self) -> None:
        try:
            asking = [connection for connection in self._ready(EVENTS_AT_ONCE) if self._asks(connection)]
            if asking:
                self._ask(asking)
        except Exception:
            # Twisted would drop this reader, and with it all the other idle connections.
            self.log.failure("internal error while polling idle connections")

    def _asks(self, connection: ConnectionRecord) -> bool:
        """Whether there is something to read; otherwise the client has left, and its connection ends."""
        try:
            if tcp_info.facts(connection.sock).unread:
                return True
            self._close(connection)
        except Exception:
            self._abandon(connection)
        return False

    def _abandon(self, connection: ConnectionRecord) -> None:
        self.log.failure("internal error on an idle connection; closing it")
        with contextlib.suppress(Exception):
            self._close(connection)

    def _ready(self, most: int) -> list[ConnectionRecord]:
        """Those on which something happened; they are no longer parked."""
        assert self._epoll is not None
        found = []
        for descriptor, _ in self._epoll.poll(0, most):
            if descriptor in self._parked:
                found.append(self._leave(descriptor))
            else:
                # epoll would report an unknown descriptor again and again.
                with contextlib.suppress(OSError):
                    self._epoll.unregister(descriptor)
        return found

    def _leave(self, descriptor: int) -> ConnectionRecord:
        assert self._epoll is not None
        connection = self._parked.pop(descriptor)
        self._epoll.unregister(descriptor)
        return connection

    def _sweep(self) -> None:
        self._timer = None
        words, now = self._scoreboard.words, self._now() * 1e9
        for descriptor, connection in list(self._parked.items()):
            if words[self._scoreboard.slot_base(connection.slot) + S_DEADLINE] > now:
                break
            try:
                self._close(self._leave(descriptor))
            except Exception:
                self._abandon(connection)
        if self._parked:
            self._timer = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def clear(self) -> None:
        """The server stops: who asks already is handed on, the others are idle and end."""
        while self._parked and (ready := self._ready(EVENTS_AT_ONCE)):
            self._ask(ready)
        for descriptor in list(self._parked):
            self._close(self._leave(descriptor))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._epoll is not None:
            self.stopReading()
            self._epoll.close()
            self._epoll = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Never called: only this class closes the descriptor."""
