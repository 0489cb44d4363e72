"""Strict fakes: workers that live in memory, and a channel that records.

Law: as strict as the real thing. What amp or a SEQPACKET socket refuses is refused here with the same error; what a
worker's process can never do raises `ImpossibleError`. No process is started and no reactor runs; only tests import
this module. A test of the supervisor goes like this::

    spawner = MemorySpawner()
    supervisor = Supervisor(Clock(), settings, spawner, ...)
    supervisor.start()
    spawner.ready(spawner.spawned[0].record)
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal as signals
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from twisted.protocols import amp

from .master.process import ExitStatus, Owner
from .pool.worker import State, Worker
from .settings import from_json
from .wire import channel, commands
from .wire.channel import Kind, Lend, Report

#: What the master may order; the other commands are the workers' reports.
ORDERS: tuple[type[amp.Command], ...] = (commands.Boot, commands.Drain, commands.Stop, commands.Reopen)

#: The first pid that is given out: above the kernel's limit (4 194 304, proc(5)), so that no signal hits anybody.
FIRST_PID = 5_000_001

Ancillary = tuple[int, int, Any]


class ImpossibleError(AssertionError):
    """A sequence that the real thing never produces, or that it would not survive."""


def _demand(fact: bool, otherwise: str) -> None:
    if not fact:
        raise ImpossibleError(otherwise)


def sent(command: type[amp.Command], **arguments: object) -> dict[str, Any]:
    """The arguments of a command as they arrive on the other side, by name.

    :raises Exception: what amp raises: InvalidSignature for an argument that the command does not have, KeyError for
        one that is missing, TooLong for one over 65 535 bytes, others for a wrong type.
    """
    box = command.makeArguments(arguments, None)
    box.serialize()
    return cast("dict[str, Any]", command.parseArguments(box, None))


class _Message:
    """One message on its way, for the real receiving code of `wire.channel`."""

    def __init__(self, data: bytes, ancillary: Iterable[Ancillary]) -> None:
        self._data = data
        self._ancillary = [(level, kind, bytes(payload)) for level, kind, payload in ancillary]

    def recvmsg(self, size: int, room: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        taken = sum(socket.CMSG_SPACE(len(payload)) for _, _, payload in self._ancillary)
        _demand(len(self._data) <= size and taken <= room, "the message is longer than a worker receives")
        return self._data, self._ancillary, 0, None


class RecordingChannel:
    """The master's end of a channel, in memory: takes lends as a SEQPACKET socket does, and records them.

    :ivar messages: what went through, a list of lends for each message.
    :ivar descriptors: the descriptors that went with them, in the same order; they are not duplicated.
    :ivar error: an errno that sending fails with: EAGAIN, ETOOMANYREFS, EPIPE...; 0: it succeeds.
    :ivar closed: whether `close` was called.
    """

    def __init__(self) -> None:
        self.messages: list[list[Lend]] = []
        self.descriptors: list[int] = []
        self.error = 0
        self.closed = False

    @property
    def lends(self) -> list[Lend]:
        """Every lend that went through, in order."""
        return [lend for message in self.messages for lend in message]

    def sendmsg(self, buffers: Iterable[bytes], ancillary: Iterable[Ancillary] = ()) -> int:
        """As `socket.sendmsg`.

        :raises OSError: with `error`; EBADF when this channel or a descriptor is closed.
        :raises ImpossibleError: for what no worker could read: not exactly one descriptor for each lend, no lend at
            all, more than `wire.channel.MAX_LENDS`, ancillary data other than one SCM_RIGHTS.
        """
        if self.closed or self.error:
            number = errno.EBADF if self.closed else self.error
            raise OSError(number, os.strerror(number))
        data, rights = b"".join(buffers), list(ancillary)
        kinds = [(level, kind) for level, kind, _ in rights]
        _demand(kinds == [(socket.SOL_SOCKET, socket.SCM_RIGHTS)], f"ancillary data other than one SCM_RIGHTS: {kinds}")
        descriptors, lends = channel.receive_lends(cast(socket.socket, _Message(data, rights)))
        _demand(bool(lends), "an empty message means the end of the channel")
        _demand(len(descriptors) == len(lends), f"{len(lends)} lends came with {len(descriptors)} descriptors")
        for descriptor in descriptors:
            os.fstat(descriptor)
        self.messages.append(lends)
        self.descriptors += descriptors
        return len(data)

    def close(self) -> None:
        """As `socket.close`."""
        self.closed = True


class Order(NamedTuple):
    """An order as it arrives at the worker.

    :ivar command: the class of `wire.commands`.
    :ivar arguments: by name.
    """

    command: type[amp.Command]
    arguments: dict[str, Any]


class FakeProcess:
    """A worker's process as the master holds it: in the place of `master.process.WorkerProcess`.

    :ivar channel: the master's end: a `RecordingChannel`, or a real socket.
    :ivar orders: the orders that arrived, oldest first.
    :ivar lost: the orders that were sent when the process was already dead.
    :ivar signals: the signals that arrived.
    :ivar exited: whether the process is dead.
    :ivar ended: whether the owner has let go of it.
    """

    def __init__(self, worker: FakeWorker, pid: int, channel: RecordingChannel | socket.socket) -> None:
        self._worker = worker
        self._pid = pid
        self.channel = channel
        self.orders: list[Order] = []
        self.lost: list[Order] = []
        self.signals: list[signals.Signals] = []
        self.exited = False
        self.ended = False

    @property
    def pid(self) -> int:
        """The process id, 0 once the process is dead."""
        return 0 if self.exited else self._pid

    @property
    def ordered(self) -> list[type[amp.Command]]:
        """The commands of `orders`."""
        return [order.command for order in self.orders]

    def order(self, command: type[amp.Command], **arguments: object) -> None:
        """Send an order; one to a dead process is lost.

        :raises ImpossibleError: when the command is no order of `wire.commands`, when the first is not Boot or Boot
            comes again, and when a worker could not boot with these arguments.
        :raises Exception: what amp raises, see `sent`.
        """
        _demand(command in ORDERS, f"{command.__name__} is not an order")
        order = Order(command, sent(command, **arguments))
        if self.exited:
            self.lost.append(order)
            return
        _demand((command is commands.Boot) is not bool(self.orders), "Boot is the first order, and comes once")
        if command is commands.Boot:
            _check_boot(order.arguments, self._worker.record)
        self.orders.append(order)

    def kill(self, number: int) -> None:
        """Send a signal; to a dead process nothing happens.

        :raises ValueError: when there is no such signal.
        """
        known = signals.Signals(number)
        if not self.exited:
            self.signals.append(known)

    def end(self) -> None:
        """The process is dead: what the worker left in the channel is reported, then the channel is closed.

        :raises ImpossibleError: before the process is dead, and the second time.
        """
        _demand(self.exited and not self.ended, "end() comes once, after the exit")
        self.ended = True
        self._worker.tell_unread()
        self.channel.close()


def _check_boot(arguments: dict[str, Any], worker: Worker) -> None:
    from_json(arguments["settings"])
    _demand(all(len(entry) == 3 for entry in json.loads(arguments["listeners"])), "a listener is family, host, port")
    told = (arguments["worker"], arguments["region"])
    _demand(told == (worker.ident, worker.region), f"worker {worker.ident} is told to be {told}")
    _demand(0 <= worker.region < arguments["workers"], f"region {worker.region} is not on the scoreboard")


class FakeWorker:
    """The far side: what the process of one worker does. Each method is something that happens now.

    All raise `ImpossibleError` when the process is dead, and all but `exits` when it was not told to boot.

    :ivar record: the master's record of it.
    :ivar process: the master's handle on it.
    :ivar far_end: the worker's end of a real channel; None with a `RecordingChannel`.
    """

    def __init__(self, record: Worker, owner: Owner, pid: int, real_channel: bool) -> None:
        ours, self.far_end = channel.pair() if real_channel else (RecordingChannel(), None)
        self.record = record
        self.process = FakeProcess(self, pid, ours)
        self._owner = owner
        self._said = ""
        self._received: list[Lend] = []
        self._word: dict[Lend, Kind] = {}
        self._unread: Sequence[Report] = ()

    @property
    def lends(self) -> list[Lend]:
        """The connections that it has, oldest first: lent to it, and not reported as closed or released."""
        ours = self.process.channel
        received = ours.lends if isinstance(ours, RecordingChannel) else self._received
        return [lend for lend in received if self._word.get(lend, Kind.TAKEN) is Kind.TAKEN]

    def receive(self) -> list[tuple[int, Lend]]:
        """Receive one message from a real channel; the descriptors are the caller's to close.

        :raises BlockingIOError: when there is none.
        """
        _demand(self.far_end is not None, "a recording channel keeps what it gets in `messages`")
        descriptors, lends = channel.receive_lends(cast(socket.socket, self.far_end))
        self._received += lends
        return list(zip(descriptors, lends, strict=True))

    def ready(self, app: str = "app:app", how: str = "") -> None:
        """It loaded the application; impossible when it said already what became of its boot."""
        self._say("ready")
        self._owner.booted(self.record, **sent(commands.Ready, app=app, how=how))

    def boot_fails(self, message: str) -> None:
        """It cannot load the application and says so; its exit follows, as another event. Impossible as `ready`."""
        self._say("boot failed")
        self._owner.boot_failed(self.record, **sent(commands.BootFailed, message=message))

    def leaves(self) -> None:
        """Somebody sent it SIGTERM: it tells the master, and drains."""
        self._must_live()
        self._owner.leaving(self.record)

    def reports(self, *reports: Report) -> None:
        """It reports on connections, in one message.

        Impossible before it is ready, for a connection that it does not have under this sequence, to take one twice,
        to close one that it did not take, and for no or more than `wire.channel.MAX_REPORTS` reports.
        """
        self._note(reports)
        self._owner.reported(self.record, channel.pack_reports(reports))

    def takes(self) -> None:
        """It reports every connection that is new to it as taken."""
        self._report(Kind.TAKEN, *[lend for lend in self.lends if lend not in self._word])

    def closes(self, *lends: Lend) -> None:
        """It is done with connections that it has taken."""
        self._report(Kind.CLOSED, *lends)

    def releases(self, *lends: Lend) -> None:
        """It gives connections back, or could not take them."""
        self._report(Kind.RELEASED, *lends)

    def exits(self, code: int | None = None, signal: int | None = None, unread: Sequence[Report] = ()) -> None:
        """Its process ends and is reaped. Without code and signal: by SIGKILL if it got one, else with code 0.

        :param unread: its last reports, which the owner reads when it lets go of the process.
        :raises ImpossibleError: for a code and a signal at once, for reports that it could not make, and when the
            owner does not let go of the process (`FakeProcess.end`).
        """
        _demand(not self.process.exited, f"worker {self.record.ident} is dead")
        _demand(code is None or signal is None, "a process ends by an exit code or by a signal")
        if code is None and signal is None:
            code, signal = (None, signals.SIGKILL) if signals.SIGKILL in self.process.signals else (0, None)
        if unread:
            self._note(unread)
            self._unread = unread
        self.process.exited = True
        self.close()
        self._owner.exited(self.record, ExitStatus(code, None if signal is None else int(signal)))
        _demand(self.process.ended, f"the owner of worker {self.record.ident} did not let go of its process")

    def tell_unread(self) -> None:
        """What it had reported when it died reaches the owner; `FakeProcess.end` calls this."""
        if self._unread:
            self._owner.reported(self.record, channel.pack_reports(self._unread))

    def close(self) -> None:
        """Close its end of a real channel, as its death does."""
        if self.far_end is not None:
            self.far_end.close()

    def _must_live(self) -> None:
        _demand(not self.process.exited, f"worker {self.record.ident} is dead")
        _demand(bool(self.process.orders), f"worker {self.record.ident} was not told to boot")

    def _say(self, what: str) -> None:
        self._must_live()
        _demand(not self._said, f"{what} after {self._said}")
        self._said = what

    def _report(self, kind: Kind, *lends: Lend) -> None:
        self.reports(*[Report(kind, lend.slot, lend.sequence) for lend in lends])

    def _note(self, reports: Sequence[Report]) -> None:
        self._must_live()
        _demand(self._said == "ready", f"worker {self.record.ident} is not ready")
        _demand(0 < len(reports) <= channel.MAX_REPORTS, f"{len(reports)} reports in a message")
        for kind, slot, sequence in reports:
            lend = next((lend for lend in self.lends if lend[:2] == (slot, sequence)), None)
            if lend is None:
                raise ImpossibleError(f"slot {slot}, sequence {sequence} is not with worker {self.record.ident}")
            _demand(kind != Kind.TAKEN or lend not in self._word, f"{lend} is taken twice")
            _demand(kind != Kind.CLOSED or lend in self._word, f"{lend} is closed, but was not taken")
            self._word[lend] = Kind(kind)


class MemorySpawner:
    """Starts workers in memory: in the place of `master.process.WorkerStarter`.

    Its methods after `spawn` make things happen to a worker, and are those of its `FakeWorker`.

    :param real_channels: give each worker a real SEQPACKET pair instead of a `RecordingChannel`; `close` closes them.
    :ivar spawned: all workers, the oldest first.
    :ivar error: what `spawn` raises, as the system does without a process or descriptor left; None: it succeeds.
    """

    def __init__(self, real_channels: bool = False) -> None:
        self._real_channels = real_channels
        self._pids = itertools.count(FIRST_PID)
        self.spawned: list[FakeWorker] = []
        self.error: OSError | None = None

    @property
    def alive(self) -> list[FakeWorker]:
        """The workers whose process lives."""
        return [worker for worker in self.spawned if not worker.process.exited]

    def spawn(self, worker: Worker, owner: Owner) -> FakeProcess:
        """Start the process of a worker; `owner` hears of what this spawner's methods make happen.

        :raises OSError: `error`.
        :raises ImpossibleError: for a record that is not new, and a region of the scoreboard that a live worker has.
        """
        if self.error is not None:
            raise self.error
        _demand(worker.state is State.STARTING and worker.process is None, f"worker {worker.ident} is not new")
        _demand(all(w.record.ident != worker.ident for w in self.spawned), f"another worker {worker.ident}")
        _demand(all(w.record.region != worker.region for w in self.alive), f"region {worker.region} is taken")
        self.spawned.append(FakeWorker(worker, owner, next(self._pids), self._real_channels))
        return self.spawned[-1].process

    def of(self, worker: Worker) -> FakeWorker:
        """The far side of a worker."""
        return next(spawned for spawned in self.spawned if spawned.record is worker)

    def ready(self, worker: Worker, app: str = "app:app", how: str = "") -> None:
        self.of(worker).ready(app, how)

    def boot_fails(self, worker: Worker, message: str) -> None:
        self.of(worker).boot_fails(message)

    def leaves(self, worker: Worker) -> None:
        self.of(worker).leaves()

    def reports(self, worker: Worker, *reports: Report) -> None:
        self.of(worker).reports(*reports)

    def exits(self, worker: Worker, code: int | None = None, signal: int | None = None) -> None:
        self.of(worker).exits(code, signal)

    def close(self) -> None:
        """Close what is open of real channels; nobody hears of it."""
        for worker in self.spawned:
            worker.close()
            worker.process.channel.close()
