"""Strict fakes: in-memory workers and a recording channel.

Law: as strict as the real thing. Refuses what amp or a SEQPACKET socket refuses, with the same error; raises
`ImpossibleError` for what a worker's process can never do. Starts no process and runs no reactor. Only tests import
this module: `spawner = MemorySpawner()`, `Supervisor(Clock(), settings, spawner, ...).start()`, then
`spawner.ready(spawner.spawned[0])`.
"""

from __future__ import annotations

import errno
import json
import signal as signals
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.protocols import amp

from ..master.workers.process import ExitStatus, Owner
from ..policy.worker import Worker, WorkerState
from ..settings import from_json
from ..wire import amp_commands, channel
from ..wire.channel import Kind, Lend, Report
from .recording import ImpossibleError as ImpossibleError
from .recording import RecordingChannel as RecordingChannel
from .recording import demand
from .recording import sent as sent

#: The master's orders; the other commands are the workers' reports.
ORDERS: tuple[type[amp.Command], ...] = (
    amp_commands.Boot, amp_commands.Drain, amp_commands.Stop, amp_commands.Reopen, amp_commands.Release,
    amp_commands.SetQuarantine, amp_commands.Export, amp_commands.Stack, amp_commands.Configure,
)  # fmt: skip

#: The first fake pid: above the kernel's limit (4 194 304, proc(5)), so that no signal hits a real process.
FIRST_PID = 5_000_001

class Order(NamedTuple):
    """An order as it arrives at the worker: a class of `wire.amp_commands`, and the arguments by name."""

    command: type[amp.Command]
    arguments: dict[str, Any]


@dataclass(eq=False)
class FakeProcess:
    """A worker's process as the master sees it; replaces `master.workers.process.WorkerProcess`.

    :ivar owner: gets the worker's events.
    :ivar channel: the master's end: a `RecordingChannel`, or a real socket.
    :ivar far_end: the worker's end of a real channel.
    :ivar orders: the orders that arrived, oldest first.
    :ivar asked: the unanswered orders, and the Deferred of each answer.
    :ivar lost: the orders sent when the process was already dead.
    :ivar signals: the signals that arrived.
    :ivar said: what the worker reported of its boot: nothing yet, "ready" or "boot failed".
    :ivar received: the lends that it received from a real channel.
    :ivar word: its last report on each lend.
    :ivar unread: its last reports, not read yet.
    :ivar words: what faulthandler wrote when it died.
    :ivar exited: whether the process is dead.
    :ivar ended: whether the owner has released it.
    """

    worker: Worker
    owner: Owner
    pid: int
    channel: RecordingChannel | socket.socket = field(default_factory=RecordingChannel)
    far_end: socket.socket | None = None
    orders: list[Order] = field(default_factory=list)
    asked: list[tuple[Order, Deferred[Any]]] = field(default_factory=list)
    lost: list[Order] = field(default_factory=list)
    signals: list[signals.Signals] = field(default_factory=list)
    said: str = ""
    received: list[Lend] = field(default_factory=list)
    word: dict[Lend, Kind] = field(default_factory=dict)
    unread: Sequence[Report] = ()
    words: str = ""
    exited: bool = False
    ended: bool = False

    @property
    def ordered(self) -> list[type[amp.Command]]:
        """The commands of `orders`."""
        return [order.command for order in self.orders]

    @property
    def lends(self) -> list[Lend]:
        """The connections that the worker holds, oldest first: lent to it, not reported as closed or released."""
        received = self.channel.lends if isinstance(self.channel, RecordingChannel) else self.received
        return [lend for lend in received if self.word.get(lend, Kind.TAKEN) is Kind.TAKEN]

    def order(self, command: type[amp.Command], **arguments: object) -> None:
        """Send an order; one to a dead process is lost.

        :raises ImpossibleError: the command is not an order of `wire.amp_commands`, the first order is not Boot, Boot
            comes again, or a worker could not boot with these arguments.
        :raises Exception: what amp raises, see `sent`.
        """
        demand(command in ORDERS, f"{command.__name__} is not an order")
        order = Order(command, sent(command, **arguments))
        if self.exited:
            self.lost.append(order)
            return
        demand((command is amp_commands.Boot) is not bool(self.orders), "Boot must be the first order, and comes once")
        if command is amp_commands.Boot:
            _check_boot(order.arguments, self.worker)
        self.orders.append(order)

    def ask(self, command: type[amp.Command], **arguments: object) -> Deferred[Any]:
        """Send an order with an answer (`MemorySpawner.tells`): Boot gets it at once, a dead process never."""
        self.order(command, **arguments)
        answer: Deferred[Any] = Deferred()
        if command is amp_commands.Boot and not self.exited:
            answer.callback({})
            return answer
        self.asked.append((Order(command, arguments), answer))
        if self.exited:
            self.hang_up()
        return answer

    def kill(self, number: int) -> None:
        """Send a signal; a dead process gets none, and an invalid number is a ValueError."""
        if not self.exited:
            self.signals.append(signals.Signals(number))

    def catch_up(self) -> None:
        """Read pending reports: there are none, as each is delivered at once."""

    def end(self) -> None:
        """Release a dead process, once: report what it left in the channel, then close the channel."""
        demand(self.exited and not self.ended, "end() must come once, after the exit")
        self.ended = True
        if self.unread:
            self.owner.reported(self.worker, channel.pack_reports(self.unread))
        self.channel.close()

    def last_words(self) -> str:
        """What faulthandler wrote."""
        return self.words

    def hang_up(self) -> None:
        """Close the worker's ends, as its death does: lending fails with EPIPE, and no answer comes."""
        asked, self.asked = self.asked, []
        for _, answer in asked:
            if not answer.called:
                answer.errback(ConnectionDone())
        if self.far_end is not None:
            self.far_end.close()
        if isinstance(self.channel, RecordingChannel):
            self.channel.error = errno.EPIPE


def _check_boot(arguments: dict[str, Any], worker: Worker) -> None:
    from_json(arguments["settings"])
    demand(all(len(entry) == 3 for entry in json.loads(arguments["listeners"])), "a listener is family, host, port")
    told = (arguments["worker"], arguments["region"])
    demand(told == (worker.ident, worker.region), f"Boot gives worker {worker.ident} the identity {told}")
    demand(0 <= worker.region < arguments["workers"], f"region {worker.region} is not on the scoreboard")


class MemorySpawner:
    """Starts workers in memory; replaces `master.workers.process.WorkerStarter`.

    Each method after `spawn` makes an event happen to a worker. They raise `ImpossibleError` if its process is dead,
    and, except `exits`, if it got no Boot.

    :param real_channels: give each worker a real SEQPACKET pair, not a `RecordingChannel`; `close` closes them.
    :ivar spawned: all workers, the oldest first; the `process` of each is a `FakeProcess`.
    :ivar error: what `spawn` raises, as at the limit of processes or descriptors; None: it succeeds.
    """

    def __init__(self, real_channels: bool = False) -> None:
        self._real_channels = real_channels
        self._processes: dict[Worker, FakeProcess] = {}
        self.error: OSError | None = None

    @property
    def spawned(self) -> list[Worker]:
        return list(self._processes)

    @property
    def alive(self) -> list[Worker]:
        """The workers whose process is alive."""
        return [worker for worker, process in self._processes.items() if not process.exited]

    def spawn(self, worker: Worker, owner: Owner) -> FakeProcess:
        """Start the process of a worker; `owner` gets its events.

        :raises OSError: `error`.
        :raises ImpossibleError: the record is not new, or a live worker has its region of the scoreboard.
        """
        if self.error is not None:
            raise self.error
        demand(worker.state is WorkerState.STARTING and worker.process is None, f"worker {worker.ident} is not new")
        demand(all(other.ident != worker.ident for other in self._processes), f"another worker {worker.ident}")
        demand(all(other.region != worker.region for other in self.alive), f"region {worker.region} is taken")
        process = FakeProcess(worker, owner, FIRST_PID + len(self._processes))
        if self._real_channels:
            process.channel, process.far_end = channel.pair()
        self._processes[worker] = process
        return process

    def ready(self, worker: Worker, app: str = "app:app", how: str = "") -> None:
        """It has loaded the application; impossible if it has already reported the outcome of its boot."""
        self._says(worker, "ready").owner.booted(worker, **sent(amp_commands.Ready, app=app, how=how))

    def boot_fails(self, worker: Worker, message: str) -> None:
        """It reports that it cannot load the application; its exit is a separate event. Impossible as `ready`."""
        self._says(worker, "boot failed").owner.boot_failed(worker, **sent(amp_commands.BootFailed, message=message))

    def leaves(self, worker: Worker) -> None:
        """It got SIGTERM: it reports that to the master, and drains."""
        self._live(worker).owner.leaving(worker)

    def empties(self, worker: Worker) -> Deferred[None]:
        """It got Stop, and holds nothing; the result fires when it may leave.

        Impossible before Stop, and while it holds a connection that it has reported as taken.
        """
        process = self._live(worker)
        demand(amp_commands.Stop in process.ordered, f"worker {worker.ident} got no Stop")
        demand(not any(lend in process.word for lend in process.lends), f"worker {worker.ident} holds connections")
        return process.owner.emptied(worker)

    def tells(self, worker: Worker, command: type[amp.Command], **answer: object) -> None:
        """It answers the oldest unanswered order; impossible without one."""
        process = self._live(worker)
        demand(bool(process.asked), f"worker {worker.ident} owes no answer")
        box = command.makeResponse(answer, cast("amp.AMP", None))
        _, waiting = process.asked.pop(0)
        if not waiting.called:
            waiting.callback(command.parseResponse(box, cast("amp.AMP", None)))

    def sticks(self, worker: Worker, requests: dict[int, int]) -> None:
        """It cannot end these requests: slot and start time of each."""
        sent(amp_commands.Stuck, requests=[{"slot": slot, "since": since} for slot, since in requests.items()])
        self._live(worker).owner.stuck(worker, requests)

    def exports(self, worker: Worker, data: bytes, last: bool = True) -> None:
        """It leaves, and sends its application's metrics."""
        self._live(worker).owner.exported(worker, **sent(amp_commands.Exported, data=data, last=last))

    def reports(self, worker: Worker, *reports: Report) -> None:
        """It reports on connections, in one message.

        Impossible before it is ready; for a connection that it does not hold, by this sequence; to take one twice or
        close one that it did not take; and for zero or more than `wire.channel.MAX_REPORTS` reports.
        """
        process = self._noted(worker, reports)
        process.owner.reported(worker, channel.pack_reports(reports))

    def takes(self, worker: Worker) -> None:
        """It reports each connection that is new to it as taken."""
        process = self._live(worker)
        self._report(worker, Kind.TAKEN, *[lend for lend in process.lends if lend not in process.word])

    def closes(self, worker: Worker, *lends: Lend) -> None:
        """It reports connections that it has taken as closed."""
        self._report(worker, Kind.CLOSED, *lends)

    def releases(self, worker: Worker, *lends: Lend) -> None:
        """It hands connections back, or could not take them."""
        self._report(worker, Kind.RELEASED, *lends)

    def receives(self, worker: Worker) -> list[tuple[int, Lend]]:
        """It receives one message from its real channel (or BlockingIOError); the caller closes the descriptors."""
        process = self._live(worker)
        descriptors, lends = channel.receive_lends(cast(socket.socket, process.far_end))
        process.received += lends
        return list(zip(descriptors, lends, strict=True))

    def exits(
        self, worker: Worker, code: int | None = None, signal: int | None = None, unread: Sequence[Report] = ()
    ) -> None:
        """Its process ends and is reaped. Default: by SIGKILL if it got one, else with code 0.

        :param unread: its last reports, which the owner reads when it releases the process.
        :raises ImpossibleError: there are both a code and a signal, it could not send these reports, or the owner does
            not release the process (`FakeProcess.end`).
        """
        process = self._processes[worker]
        demand(not process.exited, f"worker {worker.ident} is dead")
        demand(code is None or signal is None, "a process ends by an exit code or by a signal")
        if code is None and signal is None:
            code, signal = (None, signals.SIGKILL) if signals.SIGKILL in process.signals else (0, None)
        if unread:
            self._noted(worker, unread).unread = unread
        process.exited = True
        process.hang_up()
        process.owner.exited(worker, ExitStatus(code, None if signal is None else int(signal)))
        demand(process.ended, f"the owner of worker {worker.ident} did not release its process")

    def close(self) -> None:
        """Close the real channels, without an event."""
        for process in self._processes.values():
            process.hang_up()
            process.channel.close()

    def _live(self, worker: Worker) -> FakeProcess:
        process = self._processes[worker]
        demand(not process.exited, f"worker {worker.ident} is dead")
        demand(bool(process.orders), f"worker {worker.ident} got no Boot")
        return process

    def _says(self, worker: Worker, what: str) -> FakeProcess:
        process = self._live(worker)
        demand(not process.said, f"worker {worker.ident}: {what} after {process.said}")
        process.said = what
        return process

    def _report(self, worker: Worker, kind: Kind, *lends: Lend) -> None:
        self.reports(worker, *[Report(kind, lend.slot, lend.sequence) for lend in lends])

    def _noted(self, worker: Worker, reports: Sequence[Report]) -> FakeProcess:
        process = self._live(worker)
        demand(process.said == "ready", f"worker {worker.ident} is not ready")
        demand(0 < len(reports) <= channel.MAX_REPORTS, f"{len(reports)} reports in a message")
        for kind, slot, sequence, _ in reports:
            held = [lend for lend in process.lends if (lend.slot, lend.sequence) == (slot, sequence)]
            demand(bool(held), f"worker {worker.ident} does not have slot {slot}, sequence {sequence}")
            demand(kind != Kind.TAKEN or held[0] not in process.word, f"{held[0]} is taken twice")
            demand(kind != Kind.CLOSED or held[0] in process.word, f"{held[0]} is closed, but was not taken")
            process.word[held[0]] = Kind(kind)
        return process
