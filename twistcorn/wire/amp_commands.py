"""Every AMP command between the master and a worker, on one screen.

Law: AMP carries orders to workers and reports from them, never connections and never bodies (a value has at most 65 535
bytes).
"""

from __future__ import annotations

from typing import Any

from twisted.protocols import amp

#: Most bytes of an AMP value (twisted.protocols.amp.MAX_VALUE_LENGTH), with some margin.
MAX_TEXT = 60_000


class Boot(amp.Command):
    """Order, always the first: load the application. The answer only confirms the order; `Ready` follows."""

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
    """Order: hand each connection back when it is free, take no more, then leave."""


class Stop(amp.Command):
    """Order: the server stops. Finish requests with `Connection: close`, close idle connections, send `Emptied`.

    `quick`: leave now, whatever runs.
    """

    arguments = [(b"quick", amp.Boolean())]


class Release(amp.Command):
    """Order: hand back up to this number of free connections; other workers have fewer."""

    arguments = [(b"count", amp.Integer())]


class Configure(amp.Command):
    """Order: apply these settings. Those that change only with a reload are unchanged."""

    arguments = [(b"settings", amp.String())]


class Reopen(amp.Command):
    """Order: reopen the log files."""


class Stack(amp.Command):
    """Order: send the stacks of all threads."""

    response = [(b"text", amp.Unicode())]


class Ready(amp.Command):
    """Report: the application is loaded; the worker takes connections."""

    arguments = [(b"app", amp.Unicode()), (b"how", amp.Unicode())]


class BootFailed(amp.Command):
    """Report: the application cannot be loaded; the worker exits."""

    arguments = [(b"message", amp.Unicode())]


class Leaving(amp.Command):
    """Report: the worker got SIGTERM, and drains."""


class Emptied(amp.Command):
    """Report: the server stops, and the worker holds no connection. It leaves on the answer.

    The answer comes when nothing more can reach the worker: until then another one may die, or hand back late.
    """


class Stuck(amp.Command):
    """Report: these requests timed out and cannot be ended: slot and start time of each.

    The last report counts. A worker with an order to leave does so as soon as it holds nothing else.
    """

    arguments = [(b"requests", amp.AmpList([(b"slot", amp.Integer()), (b"since", amp.Integer())]))]


class Overdue(amp.Command):
    """Report: a request timed out and was interrupted: its name, and its age in milliseconds."""

    arguments = [(b"name", amp.Unicode()), (b"age", amp.Integer())]


class SetQuarantine(amp.Command):
    """Order: answer these methods and paths with 503, each for its time in milliseconds; the last order counts."""

    arguments = [(b"names", amp.AmpList([(b"name", amp.Unicode()), (b"time", amp.Integer())]))]


class Export(amp.Command):
    """Order: send the application's prometheus_client metrics from this offset on; 0: collect anew.

    The answer is a piece of JSON (`policy.merging`), and the total size: 0 if the application has no metrics.
    """

    arguments = [(b"offset", amp.Integer())]
    response = [(b"data", amp.String()), (b"size", amp.Integer())]


class Exported(amp.Command):
    """Report: the same metrics, piece by piece, from a worker that leaves."""

    arguments = [(b"data", amp.String()), (b"last", amp.Boolean())]


class QuietAMP(amp.AMP):
    """AMP that does not log each connection: the supervisor logs what happens to a worker."""

    def makeConnection(self, transport: Any) -> None:
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Any = None) -> None:
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None


def cut(text: str) -> str:
    """Cut a text to fit an AMP value, keeping its end: the last lines of a traceback say what happened."""
    data = text.encode("utf-8", "replace")
    return data[-MAX_TEXT:].decode("utf-8", "ignore")
