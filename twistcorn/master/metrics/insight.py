"""What the server does right now, as plain values for the console and the admin page.

Law: reads the table, the scoreboard and the records of the workers, and changes nothing. It returns dicts, lists, texts
and numbers only, which is JSON; ages and times are seconds, sizes bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ... import __version__
from ...policy.samples import Counted, Gauges
from ...policy.worker import Worker, WorkerState
from ...settings import Settings
from ...wire.scoreboard import W_BUSY, W_LED_REQUESTS, W_REQUESTS, Scoreboard, Slot, SlotState
from ..sockets import tcp_info
from ..sockets.dispatcher import Dispatcher
from ..sockets.table import ConnectionRecord, ConnectionTable
from ..workers.heartbeats import rss_of
from ..workers.supervisor import Supervisor
from .history import History

#: What `status` tells of the requests of the last seconds.
_REQUESTS = ("rate", "errors", "p50", "p95", "p99")
#: In which a thread is at work on a request.
_RUNNING = (SlotState.IN_APP, SlotState.RESPONDING)
#: Connections that are listed at most: the oldest ones.
MAX_LISTED_CONNECTIONS = 1000

JSON = dict[str, Any]


class Insight:
    """A read-only view of a running master.

    :param listeners: where it listens, as the log says it.
    :param seconds: the supervisor's clock, in which workers are born.
    :param now: monotonic nanoseconds, as the workers write them.
    :param wall: seconds since the epoch, for people.
    :ivar history: a sample each second, once it is started.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        dispatcher: Dispatcher,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        listeners: Callable[[], list[str]],
        seconds: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._supervisor = supervisor
        self._dispatcher = dispatcher
        self._table = table
        self._scoreboard = scoreboard
        self._listeners = listeners
        self._seconds = seconds
        self._now = now
        self._wall = wall
        self._began = seconds()
        self.history = History(self.counted, self.gauges, wall, seconds)

    @property
    def settings(self) -> Settings:
        """The settings that count."""
        return self._supervisor.settings

    def status(self) -> JSON:
        """The server as a whole.

        `workers` counts them by state, with `target`; `threads` are those of ready workers, `busy` the requests in
        them; `queue`: requests that wait for a thread or a worker; `requests`: the last seconds, in requests per second
        and seconds.
        """
        supervisor, dispatcher = self._supervisor, self._dispatcher
        workers = list(supervisor.workers.values())
        ready = [worker for worker in workers if worker.state is WorkerState.READY]
        seconds, recent = self.history.recent()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": supervisor.state,
            "time": self._wall(),
            "uptime": self._seconds() - self._began,
            "app": self.settings.app,
            "listeners": self._listeners(),
            "generation": supervisor.fleet.generation,
            "workers": {
                "target": supervisor.target,
                **{each.value: sum(worker.state is each for worker in workers) for each in WorkerState},
            },
            "threads": len(ready) * self.settings.threads,
            "busy": sum(self.read_word(worker, W_BUSY) for worker in ready),
            "queue": recent.queue,
            "requests": {"seconds": seconds, **{each: getattr(recent, each) for each in _REQUESTS}},
            "memory": recent.memory,
            "connections": len(self._table),
            "waiting": dispatcher.waiting,
            "parked": len(dispatcher.parking),
            "ending": dispatcher.answers.ending,
            "lag": {"last": supervisor.lag.last, "worst": supervisor.lag.worst},
            "reload": {"running": supervisor.fleet.reloading, "last": self.last_reload()},
            "recycling_paused": supervisor.fleet.paused,
            "quarantine": supervisor.forensics.quarantine.quarantined(self._seconds()),
        }

    def last_reload(self) -> JSON | None:
        """The latest reload that has ended; None before the first."""
        reloads = self._supervisor.chronicle.reloads
        return _entry(reloads[-1]) if reloads else None

    def counted(self) -> Counted:
        """What has been counted so far: answers of the workers, and the master's own 502, 503 and 504."""
        totals, own = self._supervisor.tally.totals(), self._dispatcher.answers.sent.total()
        return Counted(totals.requests + own, totals.statuses[-1] + own, totals.latency)

    def gauges(self) -> Gauges:
        """The present load and memory of the server as a whole."""
        threads = self.settings.threads
        workers = list(self._supervisor.workers.values())
        busy = [self.read_word(worker, W_BUSY) for worker in workers if worker.state is WorkerState.READY]
        return Gauges(
            busy=sum(min(each, threads) for each in busy),
            threads=len(busy) * threads,
            queue=self._dispatcher.waiting + sum(max(0, each - threads) for each in busy),
            connections=len(self._table),
            memory=rss_of(os.getpid()) + sum(worker.rss for worker in workers),
        )

    def workers(self) -> list[JSON]:
        """Every worker, in the order of their numbers, with the requests that run in it: `doing`, oldest first."""
        running = self._running()
        return [
            self._worker(worker, running.get(worker.ident, []))
            for worker in sorted(self._supervisor.workers.values(), key=lambda worker: worker.ident)
        ]

    def _worker(self, worker: Worker, doing: list[JSON]) -> JSON:
        return {
            "worker": worker.ident,
            "pid": worker.pid,
            "generation": worker.generation,
            "state": worker.state.value,
            "outdated": worker.outdated.value if worker.outdated else "",
            "age": self._seconds() - worker.born,
            "busy": self.read_word(worker, W_BUSY),
            "threads": self.settings.threads,
            "connections": worker.connections,
            "requests": self.read_word(worker, W_REQUESTS) + self.read_word(worker, W_LED_REQUESTS),
            "rss": worker.rss,
            "doing": sorted(doing, key=lambda each: -each["age"]),
        }

    def read_word(self, worker: Worker, number: int) -> int:
        """A word of a worker's region of the scoreboard."""
        return int(self._scoreboard.words[self._scoreboard.worker_base(worker.region) + number])

    def _running(self) -> dict[int, list[JSON]]:
        """The requests that run, by the number of their worker."""
        found: dict[int, list[JSON]] = {}
        now = self._now()
        for connection in self._table:
            if connection.holder is None or self._scoreboard.slot_state(connection.slot) not in _RUNNING:
                continue
            slot = self._scoreboard.read_live(connection.slot)
            if slot is not None and slot.state in _RUNNING and slot.thread:
                entry = {"request": slot.head, "age": _age(now, slot.since), "slot": connection.slot}
                found.setdefault(connection.holder.ident, []).append(entry)
        return found

    def connections(self, most: int = MAX_LISTED_CONNECTIONS) -> list[JSON]:
        """Every connection, the oldest first; `state` is the worker's, or `waiting` where no worker has it."""
        oldest = sorted(self._table, key=lambda connection: connection.accepted)
        return [self._connection(connection) for connection in oldest[:most]]

    def _connection(self, connection: ConnectionRecord) -> JSON:
        slot = self._scoreboard.read_live(connection.slot)
        now = self._now()
        received, sent = _bytes(connection, slot)
        entry: JSON = {
            "slot": connection.slot,
            "peer": _peer(connection),
            "listener": connection.listener,
            "worker": connection.holder.ident if connection.holder is not None else None,
            "age": _age(now, int(connection.accepted * 1e9)),
            "received": received,
            "sent": sent,
            "state": "waiting",
            "request": "",
            "request_age": 0.0,
        }
        if slot is not None and connection.holder is not None:
            entry["state"] = slot.state.name.lower()
            entry["request"] = slot.head
            if slot.state in _RUNNING:
                entry["request_age"] = _age(now, slot.since)
        return entry

    def snapshot(self) -> JSON:
        """All that a live view shows: status, workers, the connections that last, deaths and reloads."""
        chronicle = self._supervisor.chronicle
        return {
            "status": self.status(),
            "workers": self.workers(),
            "ended": [_entry(each) for each in chronicle.ended],
            "reloads": [_entry(each) for each in chronicle.reloads],
        }


def _entry(record: Any) -> JSON:
    """A record of the chronicle, as JSON has it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(record).items()}


def _age(now: int, since: int) -> float:
    return max(0.0, (now - since) / 1e9)


def _peer(connection: ConnectionRecord) -> str:
    """The client's address: host and port, empty on a UNIX socket."""
    try:
        name = connection.sock.getpeername()
    except OSError:
        return ""
    if not isinstance(name, tuple):
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _bytes(connection: ConnectionRecord, slot: Slot | None) -> tuple[int, int]:
    """Bytes received and sent: what the kernel counts; on a UNIX socket what the worker noted at its last request."""
    facts = tcp_info.facts(connection.sock)
    if facts.consumed is not None and facts.written is not None:
        return facts.consumed + facts.unread, facts.written
    return (slot.consumed0, slot.written_end) if slot is not None else (0, 0)
