"""The connection table: every accepted connection, kept by the master until it is closed.

Law: the only place where the master closes a client's socket or gives out a slot. A lent socket is never written to;
it is shut down and closed only when no worker can hold it: its worker reported CLOSED, or is dead.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from ...policy.worker import Worker
from ...wire.channel import CARRIES, Lend
from ...wire.scoreboard import S_ATTEMPT, S_CONSUMED0, Scoreboard, SlotState, pack_state
from . import tcp_info

_SEQUENCES = 1 << 32
#: Bytes of heads kept for all connections together: 512 of the largest. Beyond that the answer is 503.
MAX_CARRIED_BYTES = 16 << 20


class ConnectionRecord:
    """One client's connection.

    :ivar sock: the master's copy.
    :ivar slot: its place on the scoreboard.
    :ivar listener: the index of the listener that accepted it; `accepted`: when, in monotonic seconds.
    :ivar sequence: the number of its latest lend; a report with another number is stale.
    :ivar holder: the worker that has it, None while it waits here.
    :ivar taken: whether the holder reported the lend as taken.
    :ivar since: when it began to wait for a worker, monotonic seconds; 0.0: it does not, one has taken it.
    :ivar deaths: workers that died with it, while bytes waited, since a request on it was last answered.
    :ivar request: where the request began, in the client's stream, with which a worker died last; -1: none.
    :ivar carried: the first bytes of its present request's head, which workers took from the kernel.
    :ivar carried_from: where that request begins in the client's stream.
    :ivar attempt: how often that request was run again; `replays`: without those that were another request's fault.
    """

    __slots__ = (
        "accepted", "attempt", "carried", "carried_from", "deaths", "holder", "listener", "replays", "request",
        "sequence", "since", "slot", "sock", "taken",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, slot: int, listener: int, accepted: float = 0.0) -> None:
        self.sock = sock
        self.accepted = accepted
        self.slot = slot
        self.listener = listener
        self.sequence = 0
        self.holder: Worker | None = None
        self.taken = False
        self.since = 0.0
        self.deaths = 0
        self.request = -1
        self.attempt = 0
        self.replays = 0
        self.carried = b""
        self.carried_from = 0

    def died_at(self, request: int) -> None:
        """Its worker died; with a request other than the last time, everything is counted anew."""
        if request != self.request:
            self.request = request
            self.deaths = self.attempt = self.replays = 0


class ConnectionTable:
    """All connections by slot, and the free slots.

    :param scoreboard: where the slots are; its size is the bound of the table.
    """

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self._connections: dict[int, ConnectionRecord] = {}
        # The lowest slots come first, so that an idle server touches few pages.
        self._free = list(range(scoreboard.slots - 1, -1, -1))
        self._sequence = 0
        self._carried = 0

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[ConnectionRecord]:
        return iter(list(self._connections.values()))

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return not self._free

    def file_connection(self, sock: socket.socket, listener: int) -> ConnectionRecord:
        """File an accepted socket; the caller asked `full` before."""
        slot = self._free.pop()
        self._scoreboard.clear_slot(slot)
        connection = ConnectionRecord(sock, slot, listener, time.monotonic())
        self._connections[slot] = connection
        return connection

    def find(self, slot: int, sequence: int) -> ConnectionRecord | None:
        """The connection of a report, None when the report is stale."""
        connection = self._connections.get(slot)
        return connection if connection is not None and connection.sequence == sequence else None

    def lend(self, connection: ConnectionRecord, worker: Worker) -> None:
        """Enter a new lend: the slot is set before the worker can see the connection."""
        self._sequence = (self._sequence + 1) % _SEQUENCES
        connection.sequence = self._sequence
        connection.holder = worker
        connection.taken = False
        base = self._scoreboard.slot_base(connection.slot)
        self._scoreboard.words[base + S_ATTEMPT] = connection.attempt
        self._scoreboard.words[base] = pack_state(SlotState.IDLE, 0, self._sequence)

    def carry(self, connection: ConnectionRecord, carried: bytes) -> bool:
        """Keep what its worker had taken of a head; returns False where too much is kept already."""
        self._drop_carried(connection)
        if self._carried + len(carried) > MAX_CARRIED_BYTES:
            for each in self._connections.values():
                self.carried(each)
            if self._carried + len(carried) > MAX_CARRIED_BYTES:
                return False
        connection.carried = carried
        connection.carried_from = self._scoreboard.words[self._scoreboard.slot_base(connection.slot) + S_CONSUMED0]
        self._carried += len(carried)
        return True

    def carried(self, connection: ConnectionRecord) -> bytes:
        """What is kept of the head of its present request, which the kernel no longer has."""
        if connection.carried:
            base = self._scoreboard.slot_base(connection.slot)
            if self._scoreboard.words[base + S_CONSUMED0] != connection.carried_from:
                # That request was answered.
                self._drop_carried(connection)
        return connection.carried

    def _drop_carried(self, connection: ConnectionRecord) -> None:
        self._carried -= len(connection.carried)
        connection.carried = b""

    def as_lend(self, connection: ConnectionRecord, flags: int) -> Lend:
        """The present lend of a connection, as it is sent to its worker."""
        carried = self.carried(connection)
        flags |= CARRIES if carried else 0
        return Lend(connection.slot, connection.sequence, connection.listener, flags, carried)

    def messages(self, batch: list[ConnectionRecord]) -> list[list[ConnectionRecord]]:
        """A batch as messages: a connection that carries bytes has its own."""
        if not self._carried:
            return [batch]
        alone = [[connection] for connection in batch if self.carried(connection)]
        others = [connection for connection in batch if not connection.carried]
        return [*([others] if others else []), *alone]

    def held_by(self, worker: Worker) -> list[ConnectionRecord]:
        """The connections that a worker has."""
        return [connection for connection in self._connections.values() if connection.holder is worker]

    def close(self, connection: ConnectionRecord, reset: bool = False) -> None:
        """Close a connection that no worker holds, and free its slot.

        :param reset: end it by a reset, so that a cut response shows as one.
        """
        del self._connections[connection.slot]
        self._drop_carried(connection)
        with contextlib.suppress(OSError):
            if reset:
                tcp_info.reset(connection.sock)
            # A process forked by the app may still have a copy: shutting down ends the connection all the same.
            connection.sock.shutdown(socket.SHUT_RDWR)
        connection.sock.close()
        self._free.append(connection.slot)

    def close_reported(self, connection: ConnectionRecord) -> None:
        """End a connection that its worker has already shut down and closed."""
        del self._connections[connection.slot]
        self._drop_carried(connection)
        connection.sock.close()
        self._free.append(connection.slot)
