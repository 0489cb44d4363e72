"""Every AMP command between the master and a worker, on one screen.

Law: AMP carries orders and reports about workers, never connections and never bodies (a value has at most 65 535
bytes). Orders go from the master to the worker, reports the other way.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols import amp

#: Most bytes of an AMP value (twisted.protocols.amp.MAX_VALUE_LENGTH), less some room.
MAX_TEXT = 60_000


class Boot(amp.Command):
    """Order, first of all: load the application. The answer only says that the order came; `Ready` follows."""

    arguments = [
        (b"version", amp.Unicode(optional=True)),
        (b"settings", amp.String()),
        (b"listeners", amp.String()),
        (b"worker", amp.Integer()),
        (b"region", amp.Integer()),
        (b"generation", amp.Integer()),
        (b"workers", amp.Integer()),
        (b"slots", amp.Integer()),
    ]


class Drain(amp.Command):
    """Order: hand every connection back as it gets free, take no more, then leave."""


class Stop(amp.Command):
    """Order: the server stops. Answer what runs with `Connection: close`, close what is idle, then say `Emptied`.

    `quick`: leave now, whatever runs.
    """

    arguments = [(b"quick", amp.Boolean())]


class Release(amp.Command):
    """Order: hand so many connections back, if so many are free just now; others have fewer."""

    arguments = [(b"count", amp.Integer())]


class Configure(amp.Command):
    """Order: these settings count from now on. Those that count with a reload only are as they were."""

    arguments = [(b"settings", amp.String())]


class Reopen(amp.Command):
    """Order: reopen the log files."""


class Stack(amp.Command):
    """Order: say where all threads are."""

    response = [(b"text", amp.Unicode())]


class Ready(amp.Command):
    """Report: the application is loaded, connections may come."""

    arguments = [(b"app", amp.Unicode()), (b"how", amp.Unicode())]


class BootFailed(amp.Command):
    """Report: the application cannot be loaded. The worker leaves by itself."""

    arguments = [(b"message", amp.Unicode())]


class Leaving(amp.Command):
    """Report: the worker was told from outside (SIGTERM) to go; it drains."""


class Emptied(amp.Command):
    """Report: the server stops, and the worker holds nothing any more. It leaves with the answer.

    The answer comes when nothing is on its way to the worker, nor will be: another one may die, or give back late.
    """


class Stuck(amp.Command):
    """Report: these requests are past their time and cannot be ended: the slot, and since when each runs.

    The last report counts. A worker that is told to go leaves as soon as it holds nothing else.
    """

    arguments = [(b"requests", amp.AmpList([(b"slot", amp.Integer()), (b"since", amp.Integer())]))]


class Overdue(amp.Command):
    """Report: the time of a request was over, and it was interrupted: its name, and its milliseconds so far."""

    arguments = [(b"name", amp.Unicode()), (b"age", amp.Integer())]


class SetQuarantine(amp.Command):
    """Order: answer 503 to these, methods and paths, for so many milliseconds from now on; the last order counts."""

    arguments = [(b"names", amp.AmpList([(b"name", amp.Unicode()), (b"time", amp.Integer())]))]


class Export(amp.Command):
    """Order: tell what the application has counted with prometheus_client, from this offset on; 0: count anew.

    The answer is a piece of JSON (`policy.merging`) and the size of all of it, 0 when the application counts nothing.
    """

    arguments = [(b"offset", amp.Integer())]
    response = [(b"data", amp.String()), (b"size", amp.Integer())]


class Exported(amp.Command):
    """Report: the same, piece by piece, from a worker that leaves."""

    arguments = [(b"data", amp.String()), (b"last", amp.Boolean())]


class QuietAMP(amp.AMP):
    """AMP that does not log each connection: the supervisor tells what becomes of a worker."""

    def makeConnection(self, transport: Any) -> None:
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Any = None) -> None:
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None


def cut(text: str) -> str:
    """A text that fits an AMP value, its end kept: the last lines of a traceback say what happened."""
    data = text.encode("utf-8", "replace")
    return data[-MAX_TEXT:].decode("utf-8", "ignore")
