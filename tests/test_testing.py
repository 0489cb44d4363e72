"""The claims of twistcorn.testing: the fakes are as strict as the real thing, and compared with it where possible."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.testing import StringTransport
from twisted.protocols import amp

from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.testing import FakeProcess, ImpossibleError, MemorySpawner
from twistcorn.wire import amp_commands, channel
from twistcorn.wire.channel import MAX_REPORTS, Kind, Lend, Report, unpack_reports

if TYPE_CHECKING:
    from twistcorn.master.workers.process import ExitStatus

LEND = Lend(3, 40, 0)


class Told:
    """An owner that records its events, and releases dead processes."""

    def __init__(self, lets_go: bool = True) -> None:
        self.said: list[tuple[object, ...]] = []
        self._lets_go = lets_go

    def booted(self, worker: Worker, app: str, how: str) -> None:
        self.said.append(("booted", app, how))

    def boot_failed(self, worker: Worker, message: str) -> None:
        self.said.append(("boot failed", message))

    def leaving(self, worker: Worker) -> None:
        self.said.append(("leaving",))

    def emptied(self, worker: Worker) -> Deferred[None]:
        self.said.append(("emptied",))
        return succeed(None)

    def stuck(self, worker: Worker, requests: dict[int, int]) -> None:
        self.said.append(("stuck", requests))

    def overdue(self, worker: Worker, name: str, age: float) -> None:
        self.said.append(("overdue", name, age))

    def reported(self, worker: Worker, data: bytes) -> None:
        self.said.append(("reported", *unpack_reports(data)))

    def exported(self, worker: Worker, data: bytes, last: bool) -> None:
        self.said.append(("exported", data, last))

    def exited(self, worker: Worker, status: ExitStatus) -> None:
        if self._lets_go:
            worker.process.end()
        self.said.append(("exited", str(status)))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def spawner() -> MemorySpawner:
    return MemorySpawner()


def spawn(spawner: MemorySpawner, owner: Told, ident: int = 1, region: int = 0) -> Worker:
    """A new worker's process."""
    worker = Worker(ident, region, 1, None)
    worker.process = spawner.spawn(worker, owner)
    return worker


def boot(worker: Worker, **changed: object) -> None:
    """The first order."""
    arguments: dict[str, Any] = {
        "version": "0", "settings": b"{}", "listeners": b"[]", "worker": worker.ident, "region": worker.region,
        "generation": 1, "workers": 8, "slots": 16,
    }  # fmt: skip
    worker.process.order(amp_commands.Boot, **{**arguments, **changed})


@pytest.fixture
def worker(spawner: MemorySpawner, told: Told) -> Worker:
    """A worker that boots."""
    made = spawn(spawner, told)
    boot(made)
    return made


@pytest.fixture
def lent(spawner: MemorySpawner, worker: Worker) -> Worker:
    """A worker that is ready and was lent a connection."""
    spawner.ready(worker)
    channel.send_lends(worker.process.channel, [0], [LEND])
    return worker


class TestOrders:
    def test_order_arrives(self, worker: Worker) -> None:
        """It is recorded as the worker gets it."""
        worker.process.order(amp_commands.Stop, quick=True)

        assert worker.process.orders[-1] == (amp_commands.Stop, {"quick": True})
        assert worker.process.ordered == [amp_commands.Boot, amp_commands.Stop]

    @pytest.mark.parametrize(
        ("command", "arguments"),
        [
            (amp_commands.Stop, {}),
            (amp_commands.Stop, {"quick": True, "slow": True}),
            (amp_commands.Drain, {"quick": True}),
            (amp_commands.Boot, {"settings": "text"}),
        ],
    )
    def test_amp_refuses(self, worker: Worker, command: type[amp.Command], arguments: dict[str, Any]) -> None:
        """What amp refuses is refused with the same error."""
        real = amp.AMP()
        real.makeConnection(StringTransport())
        refusals: list[Any] = []
        maybeDeferred(real.callRemote, command, **arguments).addErrback(refusals.append)

        with pytest.raises(refusals[0].type):
            worker.process.order(command, **arguments)

    def test_value_is_too_long(self, spawner: MemorySpawner, told: Told) -> None:
        """amp's limit of 65 535 bytes holds."""
        with pytest.raises(amp.TooLong):
            boot(spawn(spawner, told), settings=b" " * 65_536)

    def test_report_is_ordered(self, worker: Worker) -> None:
        """A worker has no responder for a report."""
        with pytest.raises(ImpossibleError):
            worker.process.order(amp_commands.Leaving)

    def test_first_order(self, spawner: MemorySpawner, told: Told) -> None:
        """It is Boot, and comes once."""
        worker = spawn(spawner, told)
        with pytest.raises(ImpossibleError):
            worker.process.order(amp_commands.Drain)
        boot(worker)
        with pytest.raises(ImpossibleError):
            boot(worker)

    @pytest.mark.parametrize(
        "changed",
        [
            {"settings": b"{"}, {"settings": b'{"colour": 1}'}, {"listeners": b"[[1]]"}, {"worker": 9}, {"region": 1},
            {"workers": 0},
        ],
    )  # fmt: skip
    def test_worker_could_not_boot_with_it(self, spawner: MemorySpawner, told: Told, changed: dict[str, Any]) -> None:
        """Settings, listeners and region are what a worker can use."""
        with pytest.raises((ImpossibleError, ValueError, TypeError)):
            boot(spawn(spawner, told), **changed)

    def test_process_is_dead(self, spawner: MemorySpawner, worker: Worker) -> None:
        """Orders are lost and signals do nothing, as with the real one."""
        spawner.exits(worker)
        worker.process.order(amp_commands.Drain)
        worker.process.kill(signal.SIGKILL)

        assert (worker.process.ordered, worker.process.signals) == ([amp_commands.Boot], [])
        assert [order.command for order in worker.process.lost] == [amp_commands.Drain]

    def test_signal_does_not_exist(self, worker: Worker) -> None:
        """It is refused."""
        with pytest.raises(ValueError, match="1000"):
            worker.process.kill(1000)


Step = Callable[[MemorySpawner, Worker], object]


def ready(spawner: MemorySpawner, worker: Worker) -> None:
    spawner.ready(worker)


def fails(spawner: MemorySpawner, worker: Worker) -> None:
    spawner.boot_fails(worker, "no")


def leaves(spawner: MemorySpawner, worker: Worker) -> None:
    spawner.leaves(worker)


def empties(spawner: MemorySpawner, worker: Worker) -> None:
    spawner.empties(worker)


def exits(spawner: MemorySpawner, worker: Worker) -> None:
    spawner.exits(worker)


def ends(spawner: MemorySpawner, worker: Worker) -> None:
    worker.process.end()


def reports(count: int) -> Step:
    return lambda spawner, worker: spawner.reports(worker, *[Report(Kind.TAKEN, 1, 1)] * count)


#: What cannot happen: the last step after the others.
IMPOSSIBLE: list[tuple[str, list[Step]]] = [
    ("it is ready twice", [ready, ready]),
    ("it is ready after its boot failed", [fails, ready]),
    ("its boot fails after it was ready", [ready, fails]),
    ("its boot fails twice", [fails, fails]),
    ("it is ready after its exit", [exits, ready]),
    ("its boot fails after its exit", [exits, fails]),
    ("it leaves after its exit", [exits, leaves]),
    ("it is empty before it got Stop", [ready, empties]),
    ("it exits twice", [exits, exits]),
    ("it exits by code and signal", [lambda spawner, worker: spawner.exits(worker, 1, 9)]),
    ("it reports before it is ready", [reports(1)]),
    ("it reports a lend that it does not have", [ready, reports(1)]),
    ("it reports nothing", [ready, reports(0)]),
    ("it reports too much", [ready, reports(MAX_REPORTS + 1)]),
    ("its owner releases it before its exit", [ends]),
    ("its owner releases it twice", [exits, ends]),
]

#: The same for a worker that is ready and was lent a connection.
IMPOSSIBLE_REPORTS = [
    [Report(Kind.TAKEN, 3, 40), Report(Kind.TAKEN, 3, 40)],
    [Report(Kind.CLOSED, 3, 40)],
    [Report(Kind.TAKEN, 3, 41)],
    [Report(Kind.TAKEN, 4, 40)],
    [Report(Kind.RELEASED, 3, 40), Report(Kind.TAKEN, 3, 40)],
    [Report(Kind.TAKEN, 3, 40), Report(Kind.CLOSED, 3, 40), Report(Kind.CLOSED, 3, 40)],
    [Report(9, 3, 40)],
]


class TestLife:
    @pytest.mark.parametrize(("what", "steps"), IMPOSSIBLE, ids=[what for what, _ in IMPOSSIBLE])
    def test_impossible(self, spawner: MemorySpawner, worker: Worker, what: str, steps: list[Step]) -> None:
        """What no process can do raises."""
        *before, last = steps
        for step in before:
            step(spawner, worker)
        with pytest.raises(ImpossibleError):
            last(spawner, worker)

    def test_before_boot(self, spawner: MemorySpawner, told: Told) -> None:
        """It says nothing."""
        with pytest.raises(ImpossibleError):
            spawner.ready(spawn(spawner, told))

    @pytest.mark.parametrize("reports", IMPOSSIBLE_REPORTS)
    def test_impossible_reports(self, spawner: MemorySpawner, lent: Worker, reports: list[Report]) -> None:
        """A worker reports what it has, and each thing once."""
        with pytest.raises((ImpossibleError, ValueError)):
            spawner.reports(lent, *reports)

    def test_whole_life(self, spawner: MemorySpawner, lent: Worker, told: Told) -> None:
        """The owner gets every event, in order."""
        spawner.takes(lent)
        spawner.leaves(lent)
        spawner.closes(lent, LEND)
        spawner.exits(lent)

        report = [("reported", Report(kind, 3, 40)) for kind in (Kind.TAKEN, Kind.CLOSED)]
        assert told.said == [
            ("booted", "app:app", ""), report[0], ("leaving",), report[1], ("exited", "exit code 0"),
        ]  # fmt: skip
        assert lent.process.lends == []

    def test_last_words(self, spawner: MemorySpawner, lent: Worker, told: Told) -> None:
        """They reach the owner when it releases the process."""
        spawner.exits(lent, code=1, unread=[Report(Kind.RELEASED, 3, 40)])

        assert told.said[1:] == [("reported", Report(Kind.RELEASED, 3, 40)), ("exited", "exit code 1")]

    def test_it_was_killed(self, spawner: MemorySpawner, worker: Worker, told: Told) -> None:
        """Without anything else said it exits as it must."""
        worker.process.kill(signal.SIGKILL)
        spawner.exits(worker)

        assert told.said == [("exited", "SIGKILL")]

    def test_owner_forgets_the_process(self, spawner: MemorySpawner) -> None:
        """That would leak descriptors, and is an error."""
        forgetful = spawn(spawner, Told(lets_go=False))
        with pytest.raises(ImpossibleError):
            spawner.exits(forgetful)


class TestSpawner:
    def test_workers_are_counted(self, spawner: MemorySpawner, told: Told) -> None:
        """All of them, and the live ones; each process has its own pid, not a real one's."""
        first, second = spawn(spawner, told), spawn(spawner, told, 2, 1)
        spawner.exits(first)

        assert (spawner.spawned, spawner.alive) == ([first, second], [second])
        assert first.process.pid != second.process.pid
        with pytest.raises(ProcessLookupError):
            os.kill(first.process.pid, 0)

    @pytest.mark.parametrize(("ident", "region"), [(1, 5), (5, 0)])
    def test_two_are_the_same(self, spawner: MemorySpawner, told: Told, ident: int, region: int) -> None:
        """Two workers share neither number nor region; a region is free again after the exit."""
        first = spawn(spawner, told)
        with pytest.raises(ImpossibleError):
            spawn(spawner, told, ident, region)

        spawner.exits(first)
        spawn(spawner, told, 5, 0)

    def test_record_was_used(self, spawner: MemorySpawner, told: Told) -> None:
        """One record is one process."""
        worker = spawn(spawner, told)
        with pytest.raises(ImpossibleError):
            spawner.spawn(worker, told)
        with pytest.raises(ImpossibleError):
            spawner.spawn(Worker(2, 1, 1, None, state=WorkerState.READY), told)

    def test_system_refuses(self, spawner: MemorySpawner, told: Told) -> None:
        """The error is the test's to choose."""
        spawner.error = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        with pytest.raises(BlockingIOError):
            spawn(spawner, told)

        assert spawner.spawned == []


class TestRealChannel:
    def test_connection_arrives(self, told: Told) -> None:
        """With real channels a worker receives real descriptors, and has the lend from then on."""
        spawner = MemorySpawner(real_channels=True)
        worker = spawn(spawner, told)
        boot(worker)
        spawner.ready(worker)
        with pytest.raises(BlockingIOError):
            spawner.receives(worker)
        channel.send_lends(worker.process.channel, [0], [LEND])
        ((descriptor, lend),) = spawner.receives(worker)
        os.close(descriptor)
        spawner.takes(worker)

        assert lend == LEND
        assert told.said[-1] == ("reported", Report(Kind.TAKEN, 3, 40))
        spawner.close()

    def test_worker_dies(self, told: Told) -> None:
        """Its end is closed with it, and the owner closes the other."""
        spawner = MemorySpawner(real_channels=True)
        worker = spawn(spawner, told)
        process: FakeProcess = worker.process
        spawner.exits(worker)

        assert process.far_end is not None
        assert process.far_end.fileno() == -1
        assert isinstance(process.channel, socket.socket)
        assert process.channel.fileno() == -1
