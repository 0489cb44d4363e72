"""Server-sent events for every open admin page.

Law: an event is built once and written to all readers. A slow reader delays nothing: while its connection is full it
misses events, each complete in itself, and after a while it is dropped. The number of readers is bounded.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

#: Readers at once: a page in every operator's browser, and some more.
MAX_READERS = 32
#: Seconds without taking a byte after which a reader is dropped.
STALLED_READER_SECONDS = 10.0


def event(name: str, value: Any) -> bytes:
    """One event (HTML Standard, section 9.2): JSON has no line ends, so that its data is one line."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


@implementer(IPushProducer)
class Reader:
    """One connection that is sent events.

    :ivar paused: since when it takes nothing, by the clock; None while it does.
    """

    def __init__(self, request: Any, clock: IReactorTime) -> None:
        self.request = request
        self._clock = clock
        self.paused: float | None = None

    def pauseProducing(self) -> None:
        if self.paused is None:
            self.paused = self._clock.seconds()

    def resumeProducing(self) -> None:
        self.paused = None

    def stopProducing(self) -> None:
        """The connection is gone; `notifyFinish` tells it as well."""


class Feed:
    """All readers."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._readers: list[Reader] = []

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        """Whether there are as many readers as may be."""
        return len(self._readers) >= MAX_READERS

    def add_reader(self, request: Any, first: bytes) -> None:
        """Send events to the sender of this request from now on, starting with `first`."""
        reader = Reader(request, self._clock)
        self._readers.append(reader)
        request.notifyFinish().addBoth(self._left, reader)
        request.registerProducer(reader, True)
        request.write(first)

    def publish(self, data: bytes) -> None:
        """Send events to all readers that take them."""
        for reader in list(self._readers):
            if reader.paused is None:
                reader.request.write(data)
            elif self._clock.seconds() - reader.paused > STALLED_READER_SECONDS:
                # Its unsent events are out of date.
                reader.request.channel.transport.abortConnection()

    def close(self) -> None:
        """No more events: every stream has its end."""
        for reader in list(self._readers):
            reader.request.unregisterProducer()
            reader.request.finish()

    def _left(self, result: Failure | None, reader: Reader) -> None:
        self._readers.remove(reader)
