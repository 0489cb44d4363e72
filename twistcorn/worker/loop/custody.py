"""The custody of connections: takes them over from the master, gives them back, or closes them.

Law: runs on the leader's thread; connections are registered, unregistered and closed only here. The order of an end is
always EPOLL_CTL_DEL, close, report: a descriptor closed before it is unregistered stays in the epoll while the master's
copy is open.
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
    """Logs how requests end (`wsgi.access_log.AccessLog`)."""

    def finished(self, connection: Connection) -> None:
        """The remainder of an answer is sent, or never will be."""

    def refused(self, connection: Connection, code: int) -> None:
        """A request was refused before it was complete."""


class Custody:
    """Takes over, gives back and closes the connections of a worker.

    :param listeners: the listeners' addresses, by index.
    :param report: reports a lend to the master: kind, slot, sequence, and for CARRIED the bytes taken of a head.
    :param on_empty: called when a draining or stopping worker has no connection left to wait for.
    :ivar access: the access log, while it is on.
    :ivar given_up: connections with stuck requests: the worker leaves without waiting for them.
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
        """Use these settings from now on."""
        self._settings = settings

    def adopt(self, descriptor: int, lend: Lend) -> None:
        """Take over a connection that the master lends; the descriptor belongs to the worker from here on.

        An exception leaves neither a descriptor nor a record here.
        """
        known = self._holdings.connections.get(descriptor)
        if known is not None:
            # The number was free: the application closed the known one.
            check_known(known, descriptor)
            self._leave(known, descriptor, Kind.CLOSED)
        sock = take_descriptor(descriptor, self._listeners[lend.listener].family)
        try:
            name = sock.getpeername()
        except OSError:
            # The client reset it before the worker received it.
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
            # Closing unregisters it only when no other process has a copy (epoll(7)).
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
        """Remove the record of a connection whose descriptor is closed, and report it."""
        connection.phase = Phase.CLOSED
        self.given_up.discard(connection)
        # A fork before this line finds it in the table, and the child closes its copy.
        del self._holdings.connections[descriptor]
        carried = (connection.partial.taken,) if connection.partial and kind is Kind.CARRIED else ()
        self._report(kind, connection.slot, connection.sequence, *carried)
        # Report first: whatever fails from here on, the master knows about the connection.
        if self.access is not None:
            self.access.finished(connection)
        self._traffic.count((connection,))
        self._traffic.set_connections(len(self._holdings.connections))
        self.report_if_empty()

    def close(self, connection: Connection) -> None:
        connection.redo_log.write_closing()
        self._remove(connection, Kind.CLOSED)

    def give_back(self, connection: Connection, kind: Kind = Kind.RELEASED) -> None:
        """Give the connection back to the master; its unread bytes stay in the kernel."""
        if connection.untouched:
            connection.become_idle(connection.deadline)
        elif connection.partial is not None:
            # The slot still says that bytes are taken, until the master has them.
            connection.redo_log.write_deadline(connection.deadline)
            kind = Kind.CARRIED
        else:
            connection.redo_log.write_closing()
        self._remove(connection, kind)

    @property
    def empty(self) -> bool:
        """Whether no connection is left to wait for."""
        return len(self._holdings.connections) <= len(self.given_up)

    def report_if_empty(self) -> None:
        if self.empty and (self._holdings.draining or self._holdings.stopping):
            self._on_empty()

    def give_up(self, connections: Iterable[Connection]) -> None:
        """Do not wait for these connections when the worker leaves; replaces the earlier list."""
        self.given_up = set(connections)
        self.report_if_empty()

    def drain(self) -> None:
        """Give back every connection, busy ones after their turn."""
        self._holdings.draining = True
        self._board.words[self._region + W_THREADS] = 0
        for connection in self._holdings.all():
            if connection.phase is Phase.READING:
                self.give_back(connection)
        self.report_if_empty()

    def release_some(self, count: int) -> None:
        """Give back up to `count` connections that are free now."""
        for connection in [each for each in self._holdings.connections.values() if each.phase is Phase.READING][:count]:
            self.give_back(connection)

    def stop(self) -> None:
        """Stop: give no connection back from now on."""
        self._holdings.stopping, self._holdings.draining = True, False
        self._board.words[self._region + W_THREADS] = 0
