"""A round trip through the worker's own loop: what goes in at a timer must come out of the epolls.

Law: proves that the connections' epoll tells of the reactor's, and that of its descriptors; decides nothing. Costs two
system calls and a wake-up for each heartbeat.
"""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...pristine import os

#: Calls that may be unanswered when the next one is due. Between two of them the loop has waited at least once; with
#: more events than it takes at once the reactor's own may be told a round later.
MAX_UNANSWERED = 3


class Echo(FileDescriptor):
    """A pipe whose reader is in the reactor.

    :ivar numbers: its two descriptors.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.numbers = self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._unanswered = 0

    def fileno(self) -> int:
        return self._reader

    def call(self) -> bool:
        """Call; returns whether the earlier calls were answered in time.

        :raises OSError: the pipe is not there any more.
        """
        if self._unanswered >= MAX_UNANSWERED:
            return False
        self._unanswered += 1
        os.write(self._writer, b"?")
        return True

    def doRead(self) -> None:
        # Whatever is wrong with the pipe shows at the next call.
        with contextlib.suppress(OSError):
            os.read(self._reader, 64)
            self._unanswered = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is not read any more, which the calls will tell."""
        self.stopReading()

    def close(self) -> None:
        """Let go of the pipe."""
        self.stopReading()
        for number in self.numbers:
            os.close(number)
