"""What a worker counts of its connections: how many there are, and the bytes of those.

Law: runs on the leader's thread, and adds up what connections note of themselves anyway: nothing is done for a request.
So the counts are as old as the last look; a connection that leaves is looked at then.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.scoreboard import W_CONNECTIONS, W_RECEIVED, W_SENT
from .connection import Connection


class Traffic:
    """The words of one worker.

    :param region: the first one of them.
    """

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region

    def set_connections(self, connections: int) -> None:
        """So many are with this worker now."""
        self._words[self._region + W_CONNECTIONS] = connections

    def count(self, connections: Iterable[Connection]) -> None:
        """Count the bytes that came and went since the last look."""
        received = sent = 0
        for connection in connections:
            # Another thread may be at it: what comes meanwhile is seen at the next look.
            consumed, written = connection.stream.consumed, connection.stream.written
            if consumed != connection.stream.seen_consumed or written != connection.stream.seen_written:
                received += consumed - connection.stream.seen_consumed
                sent += written - connection.stream.seen_written
                connection.stream.seen_consumed, connection.stream.seen_written = consumed, written
        words, region = self._words, self._region
        words[region + W_RECEIVED] += received
        words[region + W_SENT] += sent
