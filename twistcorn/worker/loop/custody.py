"""The custody of connections: taken over from the master, given back to it, or ended.

Law: on the leader's thread; only here a connection is registered, unregistered and closed. The order of an end is
always EPOLL_CTL_DEL, close, report; a descriptor closed earlier stays registered as long as the master's copy lives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ...settings import Settings
from ...wire.channel import Kind, Lend
from ...wire.scoreboard import W_THREADS, Scoreboard
from .addresses import Address
from .arrivals import arrived
from .connection import Connection
from .holdings import WATCHED, Holdings
from .intake import drop_body
from .parting import check_known, part, take_descriptor
from .phases import Phase
from .traffic import Traffic


class ConnectionLog(Protocol):
    """What notes how requests end (`wsgi.access_log.AccessLog`)."""

    def finished(self, connection: Connection) -> None:
        """The client has taken the remainder of an answer, or never will."""

    def refused(self, connection: Connection, code: int) -> None:
        """A request was refused before it was complete."""


class Custody:
    """Takes connections over, and lets them go.

    :param listeners: their addresses, by index.
    :param report: tells the master about a lend: kind, slot, sequence, with CARRIED also what was taken of a head.
    :param on_empty: called when a draining or stopping worker has no connection left.
    :ivar access: the access log, while it is on.
    :ivar given_up: connections whose request cannot be ended: nobody waits for them.
    """

    def __init__(
        self,
        board: Scoreboard,
        region: int,
        settings: Settings,
        holdings: Holdings,
        traffic: Traffic,
        listeners: Sequence[Address],
        report: Callable[..., None],
        on_empty: Callable[[], None],
    ) -> None:
        self._board = board
        self._region = region
        self._settings = settings
        self._holdings = holdings
        self._traffic = traffic
        self._listeners = listeners
        self._report = report
        self._on_empty = on_empty
        self.access: ConnectionLog | None = None
        self.given_up: set[Connection] = set()

    def configure(self, settings: Settings) -> None:
        """These settings count from now on."""
        self._settings = settings

    def adopt(self, descriptor: int, lend: Lend) -> None:
        """Take over a connection that the master lends; the descriptor is ours from here on.

        What is raised leaves nothing of it here, neither a descriptor nor a record.
        """
        known = self._holdings.connections.get(descriptor)
        if known is not None:
            # The number was free: the application has closed the other one.
            check_known(known, descriptor)
            self._leave(known, descriptor, Kind.CLOSED)
        sock = take_descriptor(descriptor, self._listeners[lend.listener].family)
        try:
            name = sock.getpeername()
        except OSError:
            # It was reset while it waited.
            sock.close()
            self._report(Kind.CLOSED, lend.slot, lend.sequence)
            return
        if self._holdings.draining:
            sock.close()
            self._report(Kind.RELEASED, lend.slot, lend.sequence)
            return
        try:
            connection = arrived(self._board, sock, name, lend, self._settings.header_timeout)
            self._holdings.epoll.register(descriptor, WATCHED)
            self._holdings.connections[descriptor] = connection
        except BaseException:
            # To close it takes it out of the epoll only where nobody else has a copy (epoll(7)).
            with contextlib.suppress(OSError):
                self._holdings.epoll.unregister(descriptor)
            sock.close()
            raise
        self._traffic.set_connections(len(self._holdings.connections))

    def _remove(self, connection: Connection, kind: Kind) -> None:
        descriptor = connection.stream.sock.fileno()
        drop_body(connection)
        part(self._holdings.epoll, connection.stream.sock, kind is Kind.CLOSED)
        self._leave(connection, descriptor, kind)

    def _leave(self, connection: Connection, descriptor: int, kind: Kind) -> None:
        """Nothing of it is here any more but its record."""
        connection.phase = Phase.CLOSED
        self.given_up.discard(connection)
        # A fork that comes now finds it in the table, and the child closes its copy.
        del self._holdings.connections[descriptor]
        carried = (connection.partial.taken,) if connection.partial and kind is Kind.CARRIED else ()
        self._report(kind, connection.slot, connection.sequence, *carried)
        # Whatever goes wrong from here on, the master knows where it is.
        if self.access is not None:
            self.access.finished(connection)
        self._traffic.count((connection,))
        self._traffic.set_connections(len(self._holdings.connections))
        self.report_if_empty()

    def close(self, connection: Connection) -> None:
        connection.redo_log.write_closing()
        self._remove(connection, Kind.CLOSED)

    def give_back(self, connection: Connection, kind: Kind = Kind.RELEASED) -> None:
        """Give the connection back; its unread bytes wait in the kernel."""
        if connection.untouched:
            connection.become_idle(connection.deadline)
        elif connection.partial is not None:
            # The slot goes on to say that bytes were taken, until the master has them.
            connection.redo_log.write_deadline(connection.deadline)
            kind = Kind.CARRIED
        else:
            connection.redo_log.write_closing()
        self._remove(connection, kind)

    @property
    def empty(self) -> bool:
        """Whether nothing is here that anybody waits for."""
        return len(self._holdings.connections) <= len(self.given_up)

    def report_if_empty(self) -> None:
        if self.empty and (self._holdings.draining or self._holdings.stopping):
            self._on_empty()

    def give_up(self, connections: Iterable[Connection]) -> None:
        """Wait for these no longer when everything else is gone; the last word counts."""
        self.given_up = set(connections)
        self.report_if_empty()

    def drain(self) -> None:
        """Give back every connection, the busy ones after their turn."""
        self._holdings.draining = True
        self._board.words[self._region + W_THREADS] = 0
        for connection in self._holdings.all():
            if connection.phase is Phase.READING:
                self.give_back(connection)
        self.report_if_empty()

    def release_some(self, count: int) -> None:
        """Give back so many connections, of those that are free now."""
        for connection in [each for each in self._holdings.connections.values() if each.phase is Phase.READING][:count]:
            self.give_back(connection)

    def stop(self) -> None:
        """Nobody takes a connection back from now on."""
        self._holdings.stopping, self._holdings.draining = True, False
        self._board.words[self._region + W_THREADS] = 0
