"""What a worker holds: its connections, the epoll that watches them, and whether it goes on taking any.

Law: a table, and no decisions. `poller` files connections and removes them; `rounds` waits for their events; `sweeping`
checks them at regular times.
"""

from __future__ import annotations

from collections.abc import Callable

from ...pristine import select
from .connection import Connection

#: Every event: edge-triggered, because bytes that were only looked at would be reported again and again.
WATCHED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Holdings:
    """The connections of one worker.

    :ivar epoll: watches them, edge-triggered, and the sources.
    :ivar connections: by the descriptor of each.
    :ivar sources: descriptors that are no connections, and what is called when one is readable.
    :ivar draining: every connection goes back to the master; `stopping`: each ends after its present request.
    """

    __slots__ = ("connections", "draining", "epoll", "sources", "stopping")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.sources: dict[int, Callable[[], object]] = {}
        self.draining = self.stopping = False

    def all(self) -> list[Connection]:
        """The connections, in a list that stays as it is while they come and go."""
        return list(self.connections.values())

    def add_source(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Watch a descriptor that is no connection."""
        self.sources[descriptor] = ready
        self.epoll.register(descriptor, select.EPOLLIN)

    def prove(self) -> None:
        """Check that this epoll is the one that watches the reactor's.

        :raises OSError: one of them is gone.
        """
        for descriptor in self.sources:
            self.epoll.modify(descriptor, select.EPOLLIN)

    def forget(self) -> None:
        """In a child that the application forks: connections, and what watches them, are its parent's alone.

        Nothing is unregistered: parent and child share that. What is closed here stays open there.
        """
        words: memoryview | None = None
        for connection in self.all():
            # The child has no scoreboard, but the application has a method that writes to it.
            words = connection.redo_log.divert(words)
            connection.stream.sock.close()
        self.epoll.close()
