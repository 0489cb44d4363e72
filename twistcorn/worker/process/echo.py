"""A round trip through the worker's event loop: a byte written by a timer must come back through the epolls.

Law: proves that the connections' epoll reports the reactor's epoll, and that one its descriptors; decides nothing.
Costs two system calls and a wake-up per heartbeat.
"""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...pristine import os

#: Calls that may be unanswered when the next one is due. The loop waits at least once between two calls; with more
#: events than it takes at once, the reactor's own may come a round later.
MAX_UNANSWERED = 3


class Echo(FileDescriptor):
    """A pipe that the reactor reads.

    :ivar numbers: its two descriptors.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.numbers = self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._unanswered = 0

    def fileno(self) -> int:
        return self._reader

    def call(self) -> bool:
        """Write a byte; returns whether the reactor read the earlier ones in time.

        :raises OSError: the pipe is gone.
        """
        if self._unanswered >= MAX_UNANSWERED:
            return False
        self._unanswered += 1
        os.write(self._writer, b"?")
        return True

    def doRead(self) -> None:
        # Any fault of the pipe shows at the next call.
        with contextlib.suppress(OSError):
            os.read(self._reader, 64)
            self._unanswered = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop reading; the next calls report it."""
        self.stopReading()

    def close(self) -> None:
        """Close the pipe."""
        self.stopReading()
        for number in self.numbers:
            os.close(number)
