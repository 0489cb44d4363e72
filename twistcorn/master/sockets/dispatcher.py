"""The dispatcher: lends connections to workers and takes them back.

Law: decides nothing about processes; asks `policy.dispatch` and `policy.queue` who gets a connection and `recovery`
which ones go on when their worker died. Unlent connections wait in `backlog`, idle ones in `parking`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...logs.logger import Logger
from ...policy.dispatch import MAX_UNACKNOWLEDGED, choose
from ...policy.queue import choose_free
from ...policy.worker import Worker
from ...settings import Settings
from ...wire import channel
from ...wire.channel import Kind
from ...wire.scoreboard import H_REGIONS, W_BUSY, W_INCOMING, W_SPOOLED, W_THREADS, Scoreboard
from .answers import Answers
from .backlog import Backlog
from .parking import Parking
from .recovery import Recovery
from .table import ConnectionRecord, ConnectionTable

#: Until a full channel, or too many descriptors in flight for this user (ETOOMANYREFS), is tried again.
RETRY_SECONDS = 0.01
_KINDS = frozenset(map(int, Kind))
_TRY_LATER = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)

#: Connections for each worker that gets some.
Batches = dict[Worker, list[ConnectionRecord]]


class Dispatcher:
    """Moves connections between the table and the workers.

    :param on_room: called when a connection ended, so that a listener that ran out of slots can go on.
    :ivar answers: ends connections, with the master's own answers.
    :ivar recovery: decides on the connections of dead workers.
    :ivar parking: the idle connections that no worker has.
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
        self._threads = settings.threads
        self._retry: object | None = None
        self._turn = 0
        self._emptied: list[Deferred[None]] = []
        self._unneeded: dict[Worker, Deferred[None]] = {}
        self._ending = False
        #: Connections that workers have, or that are on their way to one.
        self._lent = 0
        self.workers: list[Worker] = []
        self.answers = Answers(clock, self._close, settings)
        self.recovery = Recovery(table, scoreboard, self.answers, settings)
        self._waiting = Backlog(clock, scoreboard, self.answers, settings, self.pump)
        self.parking = Parking(clock, scoreboard, self.connection_arrived, self._close)

    def configure(self, settings: Settings) -> None:
        """Apply new settings."""
        self._threads = settings.threads
        self.parking.retime(settings.keep_alive - self.recovery.settings.keep_alive)
        self.recovery.settings = settings
        self.answers.configure(settings)
        self._waiting.configure(settings)

    def put_off(self, seconds: float) -> None:
        """The process was suspended for this many seconds: extend the time-outs of what waits here by as much."""
        self.parking.retime(seconds)
        self._waiting.put_off(seconds)

    @property
    def waiting(self) -> int:
        """Connections that no worker has, though they want one."""
        return len(self._waiting)

    def admit(self, worker: Worker) -> None:
        """A worker got ready: it takes part from now on."""
        self.workers.append(worker)
        words = self._scoreboard.words
        words[H_REGIONS] = max(words[H_REGIONS], worker.region + 1)
        self.pump()

    def connection_arrived(self, connections: Iterable[ConnectionRecord]) -> None:
        """New connections were accepted, or parked ones have something to say."""
        for worker in [worker for worker in self.workers if worker.unacknowledged]:
            # A lend that it has taken no longer counts; the report may be queued behind this connection.
            worker.process.catch_up()
        self._waiting.enqueue(connections)
        self.pump()

    def pump(self) -> None:
        """Lend what waits, as far as there are workers for it."""
        while self._waiting:
            for worker in self.workers:
                worker.busy = self._scoreboard.words[self._scoreboard.worker_base(worker.region) + W_BUSY]
            batches = self._choose_holders()
            lent = self._lend(batches, 0) | self._lend(self._choose_free(), channel.HOPPED)
            if self._retry is not None or not lent:
                break
        self._waiting.publish_queue()
        self._report_emptied()
        self._let_go()

    def _lend(self, batches: Batches, flags: int) -> bool:
        """Lend; unsent connections go back to the head of the queue. Returns whether there was anything to lend."""
        unsent = [
            c
            for worker, batch in batches.items()
            for message in self._table.messages(batch)
            if not self._send(worker, message, flags)
            for c in message
        ]
        for connection in unsent:
            connection.holder = None
        # In the order of arrival, which is that of their lends.
        self._waiting.requeue(sorted(unsent, key=lambda c: c.sequence))
        return bool(batches)

    def when_empty(self) -> Deferred[None]:
        """Fires when every connection is with a worker that has taken it, or when there is no worker to take one.

        The server stops: connections that are parked, and say nothing now, end.
        """
        self._ending = True
        self.parking.clear()
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        self._report_emptied()
        return emptied

    def _report_emptied(self) -> None:
        busy = self._waiting or any(worker.unacknowledged for worker in self.workers)
        if self._emptied and not (busy and self.workers):
            emptied, self._emptied = self._emptied, []
            for deferred in emptied:
                deferred.callback(None)

    def when_unneeded(self, worker: Worker) -> Deferred[None]:
        """Fires when nothing comes to a worker any more, which says that it holds nothing. The server stops."""
        unneeded = self._unneeded[worker] = Deferred()
        self._let_go()
        return unneeded

    def _let_go(self) -> None:
        for worker in [each for each in self._unneeded if not self._is_needed(each)]:
            self.dismiss(worker)
            self._unneeded.pop(worker).callback(None)

    def _is_needed(self, worker: Worker) -> bool:
        """Whether something is there for it, or may come: another one may die, or give back late."""
        if worker not in self.workers:
            return worker.connections > 0
        return bool(self._waiting) or self._lent > 0

    def _choose_holders(self) -> Batches:
        batches: Batches = {}
        connections = self._waiting.connections
        for _ in range(min(len(connections), MAX_UNACKNOWLEDGED * len(self.workers))):
            worker = choose(self.workers, self._turn)
            if worker is None:
                break
            self._turn += 1
            self._enter(connections.popleft(), worker, batches)
        return batches

    def _choose_free(self) -> Batches:
        batches: Batches = {}
        requests = self._waiting.requests
        while requests and (worker := choose_free(self.workers, self._threads)):
            self._enter(requests.pop(), worker, batches)
        return batches

    def _enter(self, connection: ConnectionRecord, worker: Worker, batches: Batches) -> None:
        self._table.lend(connection, worker)
        self._count(worker, 1, 1)
        batches.setdefault(worker, []).append(connection)

    def _count(self, worker: Worker, connections: int, unacknowledged: int) -> None:
        """Note what a worker has, and what is on its way to it; the other workers look at that."""
        worker.connections += connections
        self._lent += connections
        worker.unacknowledged += unacknowledged
        self._scoreboard.words[self._scoreboard.worker_base(worker.region) + W_INCOMING] = worker.unacknowledged

    def _send(self, worker: Worker, batch: list[ConnectionRecord], flags: int) -> bool:
        """Send a batch; returns whether it went."""
        lends = [self._table.as_lend(c, flags) for c in batch]
        try:
            channel.send_lends(worker.process.channel, [c.sock.fileno() for c in batch], lends)
        except OSError as error:
            self._count(worker, -len(batch), -len(batch))
            if error.errno in _TRY_LATER:
                self._retry_later()
            else:
                self._lose_channel(worker)
            return False
        return True

    def _retry_later(self) -> None:
        if self._retry is None:
            self._retry = self._clock.callLater(RETRY_SECONDS, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.pump()

    def handle_report(self, worker: Worker, data: bytes) -> None:
        """Handle a message of reports; an invalid one ends that worker, and no other."""
        try:
            closed = self._take_reports(worker, data)
        except Exception:
            self.log.failure(
                "invalid report from worker {ident} (pid {pid}); ending it", ident=worker.ident,
                pid=worker.pid,
            )  # fmt: skip
            self._lose_channel(worker)
            closed = True
        try:
            if closed:
                self._on_room()
            self.pump()
        except Exception:
            # Not this worker's fault; an exception here would remove its reader from the reactor.
            self.log.failure("internal error while lending connections; the next event retries")

    def _take_reports(self, worker: Worker, data: bytes) -> bool:
        """Do what they say; returns whether connections were closed."""
        closed = False
        bounced: list[ConnectionRecord] = []
        for kind, slot, sequence, carried in channel.unpack_reports(data):
            if kind not in _KINDS:
                raise ValueError(f"no kind of report: {kind}")
            connection = self._table.find(slot, sequence)
            if kind == Kind.CREDIT or connection is None or connection.holder is not worker:
                continue
            if not connection.taken:
                connection.taken = True
                worker.acknowledged += 1
                self._count(worker, 0, -1)
                if kind == Kind.RELEASED:
                    # The worker is at its limit of open files. The connection has waited all the time, and waits on.
                    self._count(worker, -1, 0)
                    connection.holder = None
                    bounced.append(connection)
                    continue
                connection.since = 0.0
            if kind == Kind.CLOSED:
                self._count(worker, -1, 0)
                self._table.close_reported(connection)
                closed = True
            elif kind != Kind.TAKEN:
                self._released(worker, connection, kind, carried)
        if bounced:
            self._waiting.requeue(sorted(bounced, key=lambda connection: connection.sequence))
            self._note_full(worker)
        return closed

    def _note_full(self, worker: Worker) -> None:
        """A worker sent connections back because it is out of descriptors; `heartbeats` has it replaced."""
        if self._ending:
            # It gets no replacement now. Lent back at once, the connections would bounce again and again.
            self._retry_later()
            return
        self.dismiss(worker)
        if not worker.full:
            worker.full = True
            self.log.error(
                "worker {ident} (pid {pid}) is out of file descriptors; replacing it. Find the descriptor leak in the"
                " application, or raise the limit (LimitNOFILE= in systemd, ulimit -n)",
                ident=worker.ident, pid=worker.pid, worker=worker.ident,
            )  # fmt: skip

    def _lose_channel(self, worker: Worker) -> None:
        """A worker is dying, and its exit follows; or it lives on without its channel, and `heartbeats` ends it."""
        worker.channel_failed = worker.channel_failed or self._clock.seconds()
        self.dismiss(worker)

    def _released(self, worker: Worker, connection: ConnectionRecord, kind: int, carried: bytes) -> None:
        self._count(worker, -1, 0)
        connection.holder = None
        connection.deaths = 0
        if kind == Kind.CARRIED and not self._table.carry(connection, carried):
            self.answers.answer(connection, 503, "HEAD" if carried.startswith(b"HEAD ") else "GET")
            return
        if kind == Kind.WAITS:
            self._waiting.enqueue_request(connection)
        elif kind == Kind.REFUSED:
            self._waiting.refuse_request(connection)
        elif kind == Kind.PARKED and not self._ending:
            self.parking.park(connection)
        else:
            self._waiting.enqueue([connection])

    def dismiss(self, worker: Worker) -> None:
        """Lend a worker nothing more; it keeps what it holds until it reports."""
        if worker in self.workers:
            self.workers.remove(worker)

    def worker_died(self, worker: Worker) -> str:
        """A worker is dead and its channel was read to the end: decide on each connection that it held.

        :return: what became of them, for the log: `2 lent again, 1 answered 502`; empty where it held none.
        """
        self.dismiss(worker)
        self._unneeded.pop(worker, None)
        again, words = self.recovery.recover(worker)
        self._count(worker, -worker.connections, -worker.unacknowledged)
        base = self._scoreboard.worker_base(worker.region)
        self._scoreboard.words[base + W_THREADS] = self._scoreboard.words[base + W_SPOOLED] = 0
        self._waiting.requeue(again)
        self._on_room()
        self.pump()
        return ", ".join(f"{count} {word}" for word, count in words.items())

    def _close(self, connection: ConnectionRecord) -> None:
        self._table.close(connection)
        self._on_room()

    def close_all(self) -> None:
        """The server ends: close what is left."""
        self.answers.stop()
        self.parking.clear()
        self._waiting.clear()
        for connection in self._table:
            self._table.close(connection)
