"""What the tests of the master share: its parts on a clock, with workers and clients that live in this process.

Law: no reactor runs and nothing waits. `Desk` is a dispatcher with ready workers, `Stage` a supervisor with all of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import formatEvent

from tests.master.fake_sockets import Sockets
from twistcorn.errors import BootError, TwistcornError
from twistcorn.master.sockets.dispatcher import Dispatcher
from twistcorn.master.sockets.table import ConnectionRecord, ConnectionTable
from twistcorn.master.workers.heartbeats import CHECK_SECONDS
from twistcorn.master.workers.process import ExitStatus
from twistcorn.master.workers.supervisor import Supervisor
from twistcorn.policy.blame import NOBODY, Blame
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.settings import Settings
from twistcorn.testing import FakeProcess, MemorySpawner
from twistcorn.wire import amp_commands
from twistcorn.wire.channel import Lend, unpack_reports
from twistcorn.wire.scoreboard import (
    REGIONS,
    S_CONSUMED0,
    S_SINCE,
    S_THREAD,
    W_BUSY,
    W_HEARTBEAT,
    W_REQUESTS,
    Scoreboard,
    SlotState,
    pack_state,
)

SLOTS = 200


class Desk:
    """A dispatcher with its table, and the owner of its workers: what a supervisor would do, at its simplest.

    :ivar rooms: how often the dispatcher told that there is room.
    :ivar blame: what a worker dies of.
    """

    def __init__(self, real_channels: bool = False, slots: int = SLOTS, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.clock = Sockets()
        self.board = Scoreboard.create(REGIONS, slots)
        self.table = ConnectionTable(self.board)
        self.dispatcher = Dispatcher(self.clock, self.table, self.board, self._room, self.settings)
        self.spawner = MemorySpawner(real_channels)
        self.rooms = 0
        self.blame: Callable[[Worker], Blame] = lambda worker: NOBODY
        self._clients: list[socket.socket] = []

    def _room(self) -> None:
        self.rooms += 1

    # The owner

    def booted(self, worker: Worker, app: str, how: str) -> None:
        worker.state = WorkerState.READY
        self.dispatcher.admit(worker)

    def boot_failed(self, worker: Worker, message: str) -> None:
        raise AssertionError("these workers boot")

    def leaving(self, worker: Worker) -> None:
        worker.state = WorkerState.DRAINING
        self.dispatcher.dismiss(worker)

    def emptied(self, worker: Worker) -> Deferred[None]:
        return self.dispatcher.when_unneeded(worker)

    def stuck(self, worker: Worker, requests: dict[int, int]) -> None:
        raise AssertionError("these workers end their requests")

    def overdue(self, worker: Worker, name: str, age: float) -> None:
        raise AssertionError("these workers interrupt nothing")

    def reported(self, worker: Worker, data: bytes) -> None:
        self.dispatcher.handle_report(worker, data)

    def exported(self, worker: Worker, data: bytes, last: bool) -> None:
        raise AssertionError("these applications count nothing")

    def exited(self, worker: Worker, status: ExitStatus) -> None:
        worker.process.end()
        worker.state = WorkerState.GONE
        worker.blame = self.blame(worker)
        self.dispatcher.worker_died(worker)

    # What happens

    def worker(self) -> Worker:
        """A new worker, ready."""
        ident = len(self.spawner.spawned) + 1
        worker = Worker(ident, ident - 1, 1, None)
        worker.process = self.spawner.spawn(worker, self)
        boot(worker)
        self.spawner.ready(worker)
        return worker

    def workers(self, count: int) -> list[Worker]:
        """So many new workers, ready."""
        return [self.worker() for _ in range(count)]

    def busy(self, worker: Worker, requests: int) -> None:
        """The worker notes on the scoreboard how many requests are in it."""
        self.board.words[self.board.worker_base(worker.region) + W_BUSY] = requests

    def file(self, count: int, make: Callable[[], tuple[socket.socket, socket.socket]] = socket.socketpair) -> list[
        ConnectionRecord
    ]:
        """Connections that were accepted, and not given to the dispatcher yet; `client` is their other end."""
        filed = []
        for _ in range(count):
            ours, client = make()
            self._clients.append(client)
            filed.append(self.table.file_connection(ours, 0))
        return filed

    def arrive(self, count: int, make: Callable[[], tuple[socket.socket, socket.socket]] = socket.socketpair) -> list[
        ConnectionRecord
    ]:
        """So many connections arrive at once."""
        connections = self.file(count, make)
        self.dispatcher.connection_arrived(connections)
        return connections

    def client(self, number: int) -> socket.socket:
        """The client of the connection that was filed as the n-th."""
        return self._clients[number]

    def writes(
        self,
        connection: ConnectionRecord,
        state: SlotState,
        flags: int = 0,
        consumed0: int = 0,
        head: bytes = b"",
        thread: int = 0,
        since: int = 0,
    ) -> None:
        """The holder notes on the scoreboard what it does with a connection."""
        base = self.board.slot_base(connection.slot)
        self.board.words[base + S_THREAD] = thread
        self.board.words[base + S_SINCE] = since
        self.board.words[base] = pack_state(state, flags, connection.sequence)
        self.board.words[base + S_CONSUMED0] = consumed0
        self.board.write_head(base, head or b"GET /%d" % connection.slot)

    def close(self) -> None:
        """Close everything."""
        self.dispatcher.close_all()
        self.spawner.close()
        for client in self._clients:
            client.close()
        self.board.close()


class Stage(Desk):
    """A supervisor with a dispatcher, on a clock.

    :param settings: options by field name, besides three workers.
    :ivar readies: how often the supervisor told that the first worker is ready.
    :ivar fatal: the errors that it told as fatal.
    :ivar written: the settings as a reload reads them; an error: they are not valid.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"workers": 3, **settings})
        self.readies = 0
        self.fatal: list[BootError] = []
        self.written: Settings | TwistcornError = self.settings
        self.supervisor = Supervisor(
            self.clock, self.settings, self.spawner, self.dispatcher, self.table, self.board,
            [(socket.AF_INET, "127.0.0.1", 8000)], self._ready, self.fatal.append,
            self._reread,
        )  # fmt: skip

    def _ready(self) -> None:
        self.readies += 1

    def _reread(self) -> Settings:
        if isinstance(self.written, TwistcornError):
            raise self.written
        return self.written

    def write(self, **changes: Any) -> None:
        """The operator changes settings; nobody reads them before a reload."""
        self.written = replace(self.settings, **changes)

    def serve(self) -> list[Worker]:
        """Start, and have every worker ready."""
        self.supervisor.start()
        self.boot_all()
        return self.spawner.alive

    def boot_all(self) -> None:
        """Every worker that starts, and every one that starts because of that, gets ready."""
        while starting := self.starting:
            self.spawner.ready(starting[0])

    def pass_by(self, seconds: float, without: Iterable[Worker] = ()) -> None:
        """Time passes; the hearts of all workers but these beat."""
        for _ in range(round(seconds / CHECK_SECONDS)):
            for worker in set(self.spawner.alive) - set(without):
                self.board.words[self.board.worker_base(worker.region) + W_HEARTBEAT] += 1
            self.clock.advance(CHECK_SECONDS)

    def answers(self, worker: Worker, requests: int) -> None:
        """A worker notes on the scoreboard how many requests it has answered."""
        self.board.words[self.board.worker_base(worker.region) + W_REQUESTS] = requests

    def fails(self, worker: Worker, message: str = "syntax error in app.py") -> None:
        """A worker cannot load the application, and leaves."""
        self.spawner.boot_fails(worker, message)
        self.spawner.exits(worker, code=0)

    @property
    def generations(self) -> dict[int, str]:
        """How the workers of each generation that did not leave the pool are, as text."""
        found: dict[int, str] = {}
        for worker in self.supervisor.workers.values():
            if worker.state in (WorkerState.STARTING, WorkerState.READY, WorkerState.WAITING):
                found[worker.generation] = f"{found.get(worker.generation, '')} {worker.state.value}".strip()
        return found

    @property
    def starting(self) -> list[Worker]:
        """The workers that boot and were not told to go, oldest first."""
        return [worker for worker in self.spawner.alive if worker.state is WorkerState.STARTING]

    @property
    def ready(self) -> list[Worker]:
        """The workers that serve, oldest first."""
        return [worker for worker in self.spawner.alive if worker.state is WorkerState.READY]

    @property
    def newest(self) -> Worker:
        """The worker that was spawned last."""
        return self.spawner.spawned[-1]

    @property
    def states(self) -> dict[int, str]:
        """The state of each worker that the supervisor knows, by its number."""
        return {ident: worker.state.value for ident, worker in self.supervisor.workers.items()}


class Told:
    """An owner that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def booted(self, worker: Worker, app: str, how: str) -> None:
        self.said.append(("booted", worker.ident, app, how))

    def boot_failed(self, worker: Worker, message: str) -> None:
        self.said.append(("boot failed", worker.ident, message))

    def leaving(self, worker: Worker) -> None:
        self.said.append(("leaving", worker.ident))

    def emptied(self, worker: Worker) -> Deferred[None]:
        self.said.append(("emptied", worker.ident))
        return succeed(None)

    def stuck(self, worker: Worker, requests: dict[int, int]) -> None:
        self.said.append(("stuck", worker.ident, requests))

    def overdue(self, worker: Worker, name: str, age: float) -> None:
        self.said.append(("overdue", worker.ident, name, age))

    def reported(self, worker: Worker, data: bytes) -> None:
        self.said.append(("reported", worker.ident, *unpack_reports(data)))

    def exported(self, worker: Worker, data: bytes, last: bool) -> None:
        self.said.append(("exported", worker.ident, data, last))

    def exited(self, worker: Worker, status: ExitStatus) -> None:
        self.said.append(("exited", worker.ident, str(status)))


def boot(worker: Worker) -> None:
    """Order a worker to boot, as the supervisor does."""
    worker.process.order(
        amp_commands.Boot, version="0", settings=b"{}", listeners=b"[]", worker=worker.ident, region=worker.region,
        generation=1, workers=REGIONS, slots=SLOTS,
    )  # fmt: skip


def process(worker: Worker) -> FakeProcess:
    """The fake process of a worker."""
    found: FakeProcess = worker.process
    return found


def slots(lends: Sequence[Lend]) -> list[int]:
    """The slots of some lends."""
    return [lend.slot for lend in lends]


def tcp() -> tuple[socket.socket, socket.socket]:
    """A TCP connection over loopback: the server's end, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)
    client.settimeout(5)
    return server, client


def texts(logged: Iterable[Any]) -> list[str]:
    """What the log says."""
    return [formatEvent(event) for event in logged]
