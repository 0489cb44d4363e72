"""The table of a worker's connections, with the epoll that watches them and the worker's state.

Law: a table, and no decisions. `custody` adds and removes connections, `rounds` waits for their events, `sweeping`
checks them periodically.
"""

from __future__ import annotations

from collections.abc import Callable

from ...pristine import select
from .connection import Connection

#: Edge-triggered, because bytes that are only peeked at stay in the kernel, and would cause events without end.
WATCHED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Holdings:
    """The connections of one worker.

    :ivar epoll: watches the connections, edge-triggered, and the sources.
    :ivar connections: by descriptor.
    :ivar sources: other watched descriptors, and the function to call when one is readable.
    :ivar draining: every connection goes back to the master; `stopping`: each closes after its present request.
    """

    __slots__ = ("connections", "draining", "epoll", "sources", "stopping")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.sources: dict[int, Callable[[], object]] = {}
        self.draining = self.stopping = False

    def all(self) -> list[Connection]:
        """Return a snapshot of the connections, safe to iterate while they come and go."""
        return list(self.connections.values())

    def add_source(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Watch a descriptor that is not a connection."""
        self.sources[descriptor] = ready
        self.epoll.register(descriptor, select.EPOLLIN)

    def prove(self) -> None:
        """Check that this epoll still watches every source, the reactor's epoll among them.

        :raises OSError: this epoll or a source is gone.
        """
        for descriptor in self.sources:
            self.epoll.modify(descriptor, select.EPOLLIN)

    def forget(self) -> None:
        """In a child that the application forks: close its copies of the connections and of the epoll.

        Nothing is unregistered: parent and child share the epoll's registrations. The parent's copies stay open.
        """
        words: memoryview | None = None
        for connection in self.all():
            # The child must not write to the scoreboard, but the application holds a method that does.
            words = connection.redo_log.divert(words)
            connection.stream.sock.close()
        self.epoll.close()
