"""The dispatcher: lends connections to workers and takes them back.

Law: decides nothing about processes; asks `pool.dispatch` who gets a connection and `recovery` which ones go on when
their worker died. A connection that nobody can take waits here, in the order of arrival.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..pool.dispatch import MAX_UNACKNOWLEDGED, choose
from ..pool.redo import Verdict
from ..pool.worker import Worker
from ..settings import Settings
from ..wire import channel
from ..wire.scoreboard import W_BUSY, Scoreboard
from .answers import Answers
from .connections import Connection, ConnectionTable
from .recovery import Recovery

#: Until a full channel, or too many descriptors in flight for this user (ETOOMANYREFS), is tried again.
RETRY_DELAY = 0.01
_TRY_LATER = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)


class Dispatcher:
    """Moves connections between the table and the workers.

    :param on_room: called when a connection ended, so that a listener that ran out of slots can go on.
    :ivar answers: ends connections, with the master's own answers.
    :ivar recovery: decides on the connections of dead workers.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        on_room: Callable[[], None],
        settings: Settings,
    ) -> None:
        self._clock = clock
        self._table = table
        self._scoreboard = scoreboard
        self._on_room = on_room
        self._waiting: deque[Connection] = deque()
        self._retry: object | None = None
        self._turn = 0
        self._emptied: list[Deferred[None]] = []
        self.workers: list[Worker] = []
        self.answers = Answers(clock, self._close)
        self.recovery = Recovery(table, scoreboard, self.answers, settings)

    @property
    def waiting(self) -> int:
        """Connections that no worker has."""
        return len(self._waiting)

    def admit(self, worker: Worker) -> None:
        """A worker got ready: it takes part from now on."""
        self.workers.append(worker)
        self.pump()

    def arrived(self, connections: Iterable[Connection]) -> None:
        """New connections were accepted."""
        for worker in [worker for worker in self.workers if worker.unacknowledged]:
            # What it has taken already counts no longer; its report may be behind the new connection in this round.
            worker.process.catch_up()
        self._waiting.extend(connections)
        self.pump()

    def pump(self) -> None:
        """Lend what waits, as far as there are workers for it."""
        while self._waiting:
            batches = self._choose_holders()
            unsent = [c for worker, batch in batches.items() if not self._send(worker, batch) for c in batch]
            # In the order of arrival, which is that of their lends.
            for connection in sorted(unsent, key=lambda c: c.sequence, reverse=True):
                connection.holder = None
                self._waiting.appendleft(connection)
            if self._retry is not None or not batches:
                break
        self._tell_emptied()

    def when_empty(self) -> Deferred[None]:
        """Fires when every connection is with a worker that has taken it, or when there is no worker to take one."""
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        self._tell_emptied()
        return emptied

    def _tell_emptied(self) -> None:
        busy = self._waiting or any(worker.unacknowledged for worker in self.workers)
        if self._emptied and not (busy and self.workers):
            emptied, self._emptied = self._emptied, []
            for deferred in emptied:
                deferred.callback(None)

    def _choose_holders(self) -> dict[Worker, list[Connection]]:
        words = self._scoreboard.words
        for worker in self.workers:
            worker.busy = words[self._scoreboard.worker_base(worker.region) + W_BUSY]
        batches: dict[Worker, list[Connection]] = {}
        for _ in range(min(len(self._waiting), MAX_UNACKNOWLEDGED * len(self.workers))):
            worker_or_none = choose(self.workers, self._turn)
            if worker_or_none is None:
                break
            self._turn += 1
            connection = self._waiting.popleft()
            self._table.lend(connection, worker_or_none)
            worker_or_none.unacknowledged += 1
            worker_or_none.connections += 1
            batches.setdefault(worker_or_none, []).append(connection)
        return batches

    def _send(self, worker: Worker, batch: list[Connection]) -> bool:
        """Send a batch; returns whether it went."""
        lends = [channel.Lend(c.slot, c.sequence, c.listener) for c in batch]
        try:
            channel.send_lends(worker.process.channel, [c.sock.fileno() for c in batch], lends)
        except OSError as error:
            worker.unacknowledged -= len(batch)
            worker.connections -= len(batch)
            if error.errno in _TRY_LATER:
                self._retry_later()
            else:
                # The worker is dying; its exit will be told.
                self.dismiss(worker)
            return False
        return True

    def _retry_later(self) -> None:
        if self._retry is None:
            self._retry = self._clock.callLater(RETRY_DELAY, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.pump()

    def reported(self, worker: Worker, data: bytes) -> None:
        """A message of reports came from a worker."""
        closed = refused = 0
        for kind, slot, sequence in channel.unpack_reports(data):
            connection = self._table.find(slot, sequence)
            if connection is None or connection.holder is not worker:
                continue
            if not connection.taken:
                refused += kind == channel.Kind.RELEASED
                connection.taken = True
                worker.unacknowledged -= 1
            if kind == channel.Kind.CLOSED:
                worker.connections -= 1
                self._table.close_reported(connection)
                closed += 1
            elif kind == channel.Kind.RELEASED:
                self._released(worker, connection)
        if closed:
            self._on_room()
        if refused:
            # The worker is at its limit of open files: lent back at once, it would be refused again and again.
            self._retry_later()
        else:
            self.pump()

    def _released(self, worker: Worker, connection: Connection) -> None:
        worker.connections -= 1
        connection.holder = None
        connection.deaths = 0
        self._waiting.append(connection)

    def dismiss(self, worker: Worker) -> None:
        """A worker drains: it gets nothing more, what it holds stays with it until it reports."""
        if worker in self.workers:
            self.workers.remove(worker)

    def died(self, worker: Worker) -> list[str]:
        """A worker is dead and its channel was read to the end: decide on each connection that it held.

        :return: the requests that were running in it, for the log.
        """
        self.dismiss(worker)
        again, running, verdicts = self.recovery.recover(worker)
        worker.connections = worker.unacknowledged = 0
        if verdicts:
            self.log.info(
                "worker {ident} (pid {pid}) is dead; its connections: {verdicts}", ident=worker.ident, pid=worker.pid,
                verdicts=", ".join(f"{verdicts[each]} {each.word}" for each in Verdict if verdicts[each]),
            )  # fmt: skip
        self._waiting.extendleft(reversed(again))
        self._on_room()
        self.pump()
        return running

    def _close(self, connection: Connection) -> None:
        self._table.close(connection)
        self._on_room()

    def close_all(self) -> None:
        """The server ends: close what is left."""
        self.answers.stop()
        self._waiting.clear()
        for connection in self._table:
            self._table.close(connection)
