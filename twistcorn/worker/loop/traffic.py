"""Counts a worker's connections and their bytes on the scoreboard.

Law: runs on the leader's thread, and adds up the offsets that streams keep anyway: no work per request. Counts are as
old as the last sweep; a connection that leaves is counted then.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.scoreboard import W_CONNECTIONS, W_RECEIVED, W_SENT
from .connection import Connection


class Traffic:
    """The connection and byte counters of one worker.

    :param region: the first word of the worker's region.
    """

    def __init__(self, words: memoryview, region: int) -> None:
        self._words = words
        self._region = region

    def set_connections(self, connections: int) -> None:
        """Write the number of connections that the worker holds."""
        self._words[self._region + W_CONNECTIONS] = connections

    def count(self, connections: Iterable[Connection]) -> None:
        """Add the bytes received and sent since these connections were last counted."""
        received = sent = 0
        for connection in connections:
            # Another thread may be using it: later bytes are counted next time.
            consumed, written = connection.stream.consumed, connection.stream.written
            if consumed != connection.stream.seen_consumed or written != connection.stream.seen_written:
                received += consumed - connection.stream.seen_consumed
                sent += written - connection.stream.seen_written
                connection.stream.seen_consumed, connection.stream.seen_written = consumed, written
        words, region = self._words, self._region
        words[region + W_RECEIVED] += received
        words[region + W_SENT] += sent
