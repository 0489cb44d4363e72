"""The connection table: every accepted connection, kept by the master until it is closed.

Law: the only place where the master closes a client's socket or gives out a slot. A lent socket is never written to;
it is shut down and closed only when nobody else can hold it: its worker reported CLOSED, or is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Iterator

from ..pool.worker import Worker
from ..wire.scoreboard import Scoreboard, State, pack_state

_SEQUENCES = 1 << 32


class Connection:
    """One client's connection.

    :ivar sock: the master's copy.
    :ivar slot: its place on the scoreboard.
    :ivar listener: the index of the listener that accepted it.
    :ivar sequence: the number of its latest lend; a report with another number is stale.
    :ivar holder: the worker that has it, None while it waits here.
    :ivar taken: whether the holder reported the lend as taken.
    :ivar deaths: workers that died with it, while bytes waited, since a request on it was last answered.
    :ivar progress: how far its stream was consumed when a worker died with it last.
    """

    __slots__ = ("deaths", "holder", "listener", "progress", "sequence", "slot", "sock", "taken")

    def __init__(self, sock: socket.socket, slot: int, listener: int) -> None:
        self.sock = sock
        self.slot = slot
        self.listener = listener
        self.sequence = 0
        self.holder: Worker | None = None
        self.taken = False
        self.deaths = 0
        self.progress = 0

    def bytes_wait(self) -> bool:
        """Whether the client has sent something that nobody has taken; asked only when nobody else holds it."""
        try:
            return fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)) != bytes(4)
        except OSError:
            return False

    def count_death(self, consumed_to: int) -> None:
        """Its worker died; an answered request since the last such death starts the count anew."""
        self.deaths = 1 if consumed_to != self.progress else self.deaths + 1
        self.progress = consumed_to


class ConnectionTable:
    """All connections by slot, and the free slots.

    :param scoreboard: where the slots are; its size is the bound of the table.
    """

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self._connections: dict[int, Connection] = {}
        # The lowest slots come first, so that an idle server touches few pages.
        self._free = list(range(scoreboard.slots - 1, -1, -1))
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return not self._free

    def add(self, sock: socket.socket, listener: int) -> Connection:
        """File an accepted socket; the caller asked `full` before."""
        slot = self._free.pop()
        self._scoreboard.clear_slot(slot)
        connection = Connection(sock, slot, listener)
        self._connections[slot] = connection
        return connection

    def find(self, slot: int, sequence: int) -> Connection | None:
        """The connection of a report, None when the report is stale."""
        connection = self._connections.get(slot)
        return connection if connection is not None and connection.sequence == sequence else None

    def lend(self, connection: Connection, worker: Worker) -> None:
        """Enter a new lend: the slot is set before the worker can see the connection."""
        self._sequence = (self._sequence + 1) % _SEQUENCES
        connection.sequence = self._sequence
        connection.holder = worker
        connection.taken = False
        base = self._scoreboard.slot_base(connection.slot)
        self._scoreboard.words[base] = pack_state(State.IDLE, 0, self._sequence)

    def held_by(self, worker: Worker) -> list[Connection]:
        """The connections that a worker has."""
        return [connection for connection in self._connections.values() if connection.holder is worker]

    def close(self, connection: Connection, reset: bool = False) -> None:
        """End a connection that nobody else holds, and free its slot.

        :param reset: end it by RST; with SO_LINGER 0 the last close sends one (socket(7)).
        """
        del self._connections[connection.slot]
        with contextlib.suppress(OSError):
            if reset:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                # A process forked by the app may still have a copy: shutting down ends the connection all the same.
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.sock.close()
        self._free.append(connection.slot)

    def close_reported(self, connection: Connection) -> None:
        """End a connection that its worker has already shut down and closed."""
        del self._connections[connection.slot]
        connection.sock.close()
        self._free.append(connection.slot)
