"""A listener: binds through a Twisted endpoint, then accepts by itself, raw and in batches.

Law: accepts and files connections, nothing more; the dispatcher decides what happens to them. Out of slots or
descriptors, it stops reading, logs that once, and resumes when there is room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from ...logs.logger import Logger
from .binding import address, bind, release, shown
from .table import ConnectionRecord, ConnectionTable

#: tcp(7) of newer kernels; Python 3.10 and 3.11 do not name it.
TCP_NOTSENT_LOWAT = 25
#: Bytes that wait in the kernel beyond what the network has taken on: without a limit, a client that reads slowly is
#: given four MiB at once, and two hundred of them keep a processor copying for seconds while others wait.
MAX_UNSENT_BYTES = 128 << 10
#: Connections accepted before other descriptors get their turn; one message to a worker carries as many.
ACCEPT_BATCH = 64
#: Until accepting is tried again after the system ran out of descriptors or memory.
ACCEPT_RETRY_SECONDS = 1.0
#: The connection was gone before it was accepted, or a firewall forbids it; and errors of its network, which accept(2)
#: passes on and asks to be treated like nothing to accept.
_PASSING = (
    errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET,
    errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH,
)  # fmt: skip


class _Nobody(Factory):
    """The factory that an endpoint asks for: nothing is accepted through it."""

    noisy = False

    def logPrefix(self) -> str:
        return "listener"


class Listener(FileDescriptor):
    """One listening socket.

    :param description: the endpoint string.
    :param index: its number; lends carry it.
    :param arrived: takes what was accepted.
    :ivar sock: the listening socket, once bound.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        description: str,
        index: int,
        table: ConnectionTable,
        arrived: Callable[[list[ConnectionRecord]], None],
    ) -> None:
        super().__init__(reactor)
        self._clock = reactor
        self.description = description
        self.index = index
        self._table = table
        self._arrived = arrived
        self._port: Any = None
        self._file = ""
        self._timer: Any = None
        self._accepting = False
        self._told = False
        self.sock: socket.socket

    def bind(self, backlog: int) -> Deferred[None]:
        """Bind and listen, without accepting yet.

        :raises AddressError: (in the Deferred) the address is taken, forbidden or malformed.
        """

        def bound(port: Any) -> None:
            port.stopReading()
            self._port = port
            self.sock = port.socket
            if self.description.startswith("unix:"):
                self._file = self.address[1]
            if self.sock.family != socket.AF_UNIX:
                # Accepted sockets inherit both.
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
            # systemd, or a default time-out of an embedding program, may have set it to blocking.
            self.sock.setblocking(False)
            # Again, for sockets from systemd, which sets its own backlog.
            self.sock.listen(backlog)

        return bind(self.reactor, self.description, backlog, _Nobody()).addCallback(bound)

    @property
    def address(self) -> tuple[int, str, int]:
        """Family, host or path, and port (0 on UNIX), as workers need them."""
        return address(self.sock)

    @property
    def shown(self) -> str:
        """The address as an operator would type it into a browser or a proxy's configuration."""
        return shown(*self.address)

    def fileno(self) -> int:
        return self.sock.fileno() if self._port is not None else -1

    def accept(self) -> None:
        """Begin to accept."""
        self._accepting = True
        self.startReading()

    def room(self) -> None:
        """There is room again: go on, if this listener had stopped for want of it."""
        if self._accepting and self._timer is None and not self._table.full:
            self.startReading()

    def doRead(self) -> None:
        if batch := self._accept_batch():
            self._arrived(batch)

    def _accept_batch(self) -> list[ConnectionRecord]:
        batch: list[ConnectionRecord] = []
        for _ in range(ACCEPT_BATCH):
            if self._table.full:
                self._pause("connection limit reached", 0)
                break
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                break
            except OSError as problem:
                if problem.errno in _PASSING:
                    continue
                # Out of descriptors or memory, or unforeseen: accepting resumes after a while in either case.
                self._pause(os.strerror(problem.errno or 0), ACCEPT_RETRY_SECONDS)
                break
            sock.setblocking(False)
            batch.append(self._table.file_connection(sock, self.index))
        return batch

    def _pause(self, reason: str, delay: float) -> None:
        self.stopReading()
        if delay and self._timer is None:
            self._timer = self._clock.callLater(delay, self._resume)
        if not self._told:
            self._told = True
            self.log.warn(
                "not accepting on {listener}: {reason}; new connections wait in the kernel",
                listener=self.description, reason=reason,
            )  # fmt: skip

    def _resume(self) -> None:
        self._timer = None
        self.room()

    def drain_backlog(self) -> None:
        """Accept what the kernel has queued: those clients believe that they are connected."""
        while self._accepting and (batch := self._accept_batch()):
            self._arrived(batch)

    def close(self) -> Deferred[None]:
        """Stop listening; a UNIX socket's file goes."""
        self._accepting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._port is None:
            return maybeDeferred(lambda: None)
        self.stopReading()
        port, self._port = self._port, None
        return release(port, self.description)

    def abandon(self) -> None:
        """The process ends now: remove the file of a UNIX socket of ours."""
        if self._file:
            with contextlib.suppress(OSError):
                os.unlink(self._file)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The reactor lost the socket: there is nothing left to accept."""
        self.stopReading()
