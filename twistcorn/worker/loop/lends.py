"""The worker's end of the channel: receives connections, sends reports.

Law: runs on the leader's thread. Reports are collected and sent together; when the master is slow they wait here, in
order, and none is lost.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...pristine import os, socket
from ...wire import channel
from ...wire.channel import Kind, Lend, Report
from ..process import failing, forks
from ..process.descriptors import lift

#: Errors of a send when the master is gone; when the kernel is out of memory at present.
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN)
_NO_MEMORY = (errno.ENOBUFS, errno.ENOMEM)

#: Messages received before other descriptors are served.
MESSAGES_AT_ONCE = 8


class LendChannel(FileDescriptor):
    """The channel in the worker.

    :param sock: the inherited SEQPACKET socket.
    :param adopt: takes over a descriptor and its lend; an exception closes that connection and no other.
    """

    log = Logger()

    def __init__(self, reactor: Any, sock: socket.socket, adopt: Callable[[int, Lend], None]) -> None:
        super().__init__(reactor)
        self._sock = sock
        self._adopt = adopt
        self._reports: deque[Report] = deque()

    def fileno(self) -> int:
        return self._sock.fileno()

    def report(self, kind: Kind, slot: int, sequence: int, carried: bytes = b"") -> None:
        """Queue a report to the master; `flush` sends it."""
        self._reports.append(Report(kind, slot, sequence, carried))

    def credit(self) -> None:
        """Report a free thread to the master at once. Called from any thread: a message is sent whole or not at all."""
        with contextlib.suppress(OSError):
            self._sock.send(channel.pack_reports([Report(Kind.CREDIT, 0, 0)]))

    def doRead(self) -> None:
        try:
            self._receive()
        except Exception:
            # Twisted would remove this reader, and the worker would be deaf.
            failing.fail("it cannot read its channel to the master", Failure())

    def _receive(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            with forks.gate:
                try:
                    descriptors, lends = channel.receive_lends(self._sock)
                except BlockingIOError:
                    break
                except ConnectionResetError:
                    lends = []
                if not lends:
                    # The master is gone; the end of its AMP decides what follows.
                    self.stopReading()
                    break
                self._take(descriptors, lends)

    def _take(self, descriptors: list[int], lends: list[Lend]) -> None:
        """Adopt each; give back lends whose descriptors the kernel cut off, at the limit of open files."""
        for lend in lends[len(descriptors) :]:
            self._reports.append(Report(Kind.RELEASED, lend.slot, lend.sequence))
        for descriptor, lend in zip(descriptors, lends, strict=False):
            if descriptor < 3:
                # The application closed a standard descriptor, and would print to this client.
                try:
                    descriptor = lift(descriptor)
                except OSError:
                    # At the limit of open files, like those that the kernel cut off.
                    os.close(descriptor)
                    self._reports.append(Report(Kind.RELEASED, lend.slot, lend.sequence))
                    continue
            self._reports.append(Report(Kind.TAKEN, lend.slot, lend.sequence))
            try:
                self._adopt(descriptor, lend)
            except Exception:
                self.log.failure("internal error while taking over a connection; closing it")
                self._reports.append(Report(Kind.CLOSED, lend.slot, lend.sequence))

    def flush(self) -> None:
        """Send the collected reports; the loop does so each time before it waits."""
        if not self._reports:
            return
        while self._reports:
            batch = list(self._batch())
            try:
                self._sock.send(channel.pack_reports(batch))
            except BlockingIOError:
                self.startWriting()
                return
            except OSError as problem:
                if problem.errno in _NO_MEMORY:
                    # The loop flushes again before its next wait.
                    return
                if problem.errno not in _GONE:
                    raise
                # The master is gone: nobody to report to.
                self._reports.clear()
                break
            for _ in batch:
                self._reports.popleft()
        self.stopWriting()

    def _batch(self) -> Iterator[Report]:
        """Yield the reports of the next message; a report that carries bytes gets its own message."""
        for number, report in enumerate(itertools.islice(self._reports, channel.MAX_REPORTS)):
            if number and report.carried:
                return
            yield report
            if report.carried:
                return

    def doWrite(self) -> None:
        try:
            self.flush()
        except Exception:
            failing.fail("it cannot write to its channel to the master", Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master is gone; the end of its AMP decides what follows."""
        self.stopReading()
        self.stopWriting()
