"""The admin endpoint: its address, and the data behind its pages.

Law: it is bound with the listeners and closed when no worker is left, and loaded only where the operator asks for it.
It samples once a second; events are built only while a reader is connected.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import socket
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from ...errors import SettingsError
from ...logs.logger import Logger
from ...policy.samples import KEPT_SAMPLES, SAMPLE_SECONDS, Shares
from ...settings import Settings
from ...wire.scoreboard import W_CPU, W_HEARTBEAT, Scoreboard
from ..control.operations import Operations
from ..metrics.history import History
from ..sockets.binding import address, bind, release, shown
from ..sockets.dispatcher import Dispatcher
from ..workers.supervisor import Supervisor
from .feed import Feed, event
from .guard import Guard, is_loopback
from .http_server import Visits
from .pages import Pages

#: Connections that the page lists: the oldest ones.
LISTED_CONNECTIONS = 30


class Stage(enum.Enum):
    """Where it is in its life."""

    BOUND = "bound: there are no workers yet"
    RUNNING = "running: there is something to see"
    ENDED = "ended: the workers are gone"


class Exporter(Protocol):
    """The source of the metrics text."""

    def scrape(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """All metrics as text."""


class Admin:
    """The admin endpoint.

    :ivar operations: what can be asked; None before the start and after the end.
    """

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings, scoreboard: Scoreboard, dispatcher: Dispatcher) -> None:
        self._reactor = reactor
        self._settings = settings
        self._scoreboard = scoreboard
        self._dispatcher = dispatcher
        self._description = _private(settings.admin)
        self._feed = Feed(reactor)
        self._visits = Visits(reactor)
        self._port: Any = None
        self._file = ""
        self._beat = LoopingCall(self._feed_readers)
        self._beat.clock = reactor
        self._state = Stage.BOUND
        self._supervisor: Supervisor
        self._metrics: Exporter
        self._history: History
        self._shares = Shares()
        self._cpu: dict[int, float | None] = {}
        self._sample: dict[str, Any] | None = None
        self._told = 0
        self.operations: Operations | None = None

    # Its life

    def bind(self, backlog: int) -> Deferred[None]:
        """Bind, and answer from now on: the process lives, and is not ready yet.

        :raises AddressError: (in the Deferred) the address is taken, forbidden or malformed.
        :raises SettingsError: (in the Deferred) others could reach it, and there is no token.
        """
        return bind(self._reactor, self._description, backlog, self._visits).addCallback(self._bound)

    def _bound(self, port: Any) -> None:
        family, host, number = where = address(port.socket)
        self._port = port
        if family == socket.AF_UNIX:
            self._file, names = host, None
        elif not is_loopback(host) and not self._settings.admin_token:
            # Not waited for: the process may end before its reactor runs.
            self.close()
            raise SettingsError(
                f"--admin {shown(*where)} is reachable from other machines: set --admin-token, or use a loopback"
                f" address such as 127.0.0.1:{number}"
            )
        else:
            names = [host, *re.findall(r"interface=([^:\\]+)", self._description)]
        guard = Guard(self._settings.admin_token, self._settings.admin_action_token, names)
        self._visits.show(Pages(self, guard, self._feed, f"twistcorn-admin-{number}"))
        self.log.info("admin endpoint on {address}", address=shown(*where))

    def start(self, supervisor: Supervisor, operations: Operations, metrics: Exporter) -> None:
        """The workers start: look each second."""
        self._state = Stage.RUNNING
        self._supervisor = supervisor
        self.operations = operations
        self._metrics = metrics
        self._history = operations.insight.history
        self._beat.start(SAMPLE_SECONDS, now=False).addErrback(self._broken)

    def close(self) -> Deferred[None]:
        """No worker is left: end all connections and listen no more."""
        self._state = Stage.ENDED
        self.operations = None
        if self._beat.running:
            self._beat.stop()
        self._feed.close()
        self._visits.cut_all()
        if self._port is None:
            return succeed(None)
        port, self._port = self._port, None
        return release(port, self._description)

    def abandon(self) -> None:
        """The process ends now: remove the file of a UNIX socket."""
        if self._file:
            with contextlib.suppress(OSError):
                os.unlink(self._file)

    # Its data (pages.PageSource)

    def health(self, name: str) -> tuple[bool, str]:
        """See `pages.PageSource`; `name` is livez, readyz or startupz."""
        if name == "livez":
            return True, "live"
        if name == "startupz":
            started = self._state is Stage.RUNNING and self._supervisor.started
            return started, "started" if started else "starting"
        state = self._supervisor.state if self._state is Stage.RUNNING else "starting"
        if self._state is Stage.ENDED or state == "stopping" or self._scoreboard.stopping:
            return False, "stopping"
        if state == "starting":
            return False, "starting"
        ready = bool(self._dispatcher.workers)
        return ready, "ready" if ready else "no worker is ready"

    def scrape(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """See `pages.PageSource`."""
        return self._metrics.scrape(accept)

    def past(self) -> bytes:
        """See `pages.PageSource`."""
        columns = self._history.columns() if self._state is Stage.RUNNING else {}
        return json.dumps({"every": SAMPLE_SECONDS, "kept": KEPT_SAMPLES, "samples": columns}).encode()

    def events(self) -> bytes:
        """See `pages.PageSource`."""
        return b"retry: 1000\n\n" + self._recent() + self._snapshot()

    # Each second

    def _feed_readers(self) -> None:
        self._sample = self._history.latest
        if not len(self._feed):
            return
        assert self.operations is not None
        word, workers = self.operations.insight.read_word, self._supervisor.workers
        self._cpu = self._shares.compare({i: (word(w, W_HEARTBEAT), word(w, W_CPU)) for i, w in workers.items()})
        chronicle = self._supervisor.chronicle
        happened = sum(chronicle.causes.values()) + chronicle.reloads_done + chronicle.reloads_failed
        recent = self._recent() if happened != self._told else b""
        self._told = happened
        self._feed.publish(recent + self._snapshot())

    def _snapshot(self) -> bytes:
        """The present state, as an event."""
        assert self.operations is not None
        insight = self.operations.insight
        workers = insight.workers()
        for worker in workers:
            worker["cpu"] = self._cpu.get(worker["worker"])
        value = {
            "sample": self._sample,
            "status": insight.status(),
            "workers": workers,
            "connections": insight.connections(LISTED_CONNECTIONS),
        }
        return event("snapshot", value)

    def _recent(self) -> bytes:
        """Recent deaths and reloads, as an event."""
        chronicle = self._supervisor.chronicle
        value = {
            "ended": [vars(each) for each in chronicle.ended],
            "reloads": [vars(each) for each in chronicle.reloads],
        }
        return event("recent", value)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("event feed failed", failure=failure)


def _private(description: str) -> str:
    """A UNIX socket is the owner's alone unless the operator says otherwise."""
    if description.startswith("unix:") and "mode=" not in description:
        return f"{description}:mode=600"
    return description
