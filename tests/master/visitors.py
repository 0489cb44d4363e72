"""What the tests of the admin endpoint share: one on a stage, and visitors whose connections are in memory.

Law: the endpoint is really bound and nobody connects to it: bytes are given to the protocol that it would accept with.
"""

from __future__ import annotations

import json
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.master.stage import Stage
from twistcorn.master.admin.endpoint import Admin
from twistcorn.master.control.operations import Operations
from twistcorn.master.metrics.insight import Insight

#: The name by which the page is opened, unless a test says otherwise.
HOST = "127.0.0.1:9000"


class Transport(StringTransport):
    """A connection in memory.

    :ivar aborted: whether it was cut off.
    """

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class Answer:
    """One answer, read by Python's own client."""

    def __init__(self, data: bytes, method: str) -> None:
        response = HTTPResponse(_Socket(data), method=method)  # type: ignore[arg-type]
        response.begin()
        self.status = response.status
        self.fields = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read().decode()


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._data)


class Visitor:
    """A connection."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.protocol = factory.buildProtocol(None)
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """Send bytes; returns what comes back at once."""
        before = len(self.transport.value())
        self.protocol.dataReceived(data)
        return bytes(self.transport.value()[before:])

    def ask(self, method: str, path: str, body: str = "", **fields: str) -> Answer:
        """Send a request; underscores in the names of fields are hyphens."""
        head = {"Host": HOST, **{name.replace("_", "-"): value for name, value in fields.items()}}
        if body:
            head |= {"Content-Length": str(len(body)), "Content-Type": "application/x-www-form-urlencoded"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return Answer(self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode()), method)

    def events(self) -> list[tuple[str, Any]]:
        """The events that came; the answer is in chunks, of which each holds whole events."""
        text = self.transport.value().decode().partition("\r\n\r\n")[2]
        blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if "event: " in block]
        return [(_value(block, "event"), json.loads(_value(block, "data"))) for block in blocks]

    @property
    def producer(self) -> Any:
        """What the transport tells when it takes nothing more, and when it does again."""
        return self.transport.producer

    def leave(self) -> None:
        """The connection is lost."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


def _value(block: str, name: str) -> str:
    """A field of an event."""
    return block.partition(f"{name}: ")[2].partition("\n")[0]


class House(Stage):
    """A server with an admin endpoint.

    :ivar scraped: the metrics, when they are not there at once.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"admin": "tcp:0:interface=127.0.0.1", **settings})
        self.scraped: Deferred[tuple[str, bytes]] | None = None
        self.admin = Admin(self.clock, self.settings, self.board, self.dispatcher)
        self.bound = self.admin.bind(5)
        self._factory = next(iter(self.clock.readers)).factory if self.clock.readers else None

    def run(self) -> None:
        """The workers start."""
        insight = Insight(
            self.supervisor, self.dispatcher, self.table, self.board, lambda: ["http://x"], self.clock.seconds
        )
        insight.history.start(self.clock)
        self.admin.start(self.supervisor, Operations(self.supervisor, insight), self)
        self.serve()

    def scrape(self, accept: str) -> Deferred[tuple[str, bytes]]:
        return self.scraped or succeed(("text/plain; version=0.0.4", b"up 1\n"))

    def visitor(self) -> Visitor:
        """A new connection."""
        return Visitor(self._factory)

    def ask(self, method: str, path: str, body: str = "", **fields: str) -> Answer:
        """Ask on a connection of its own."""
        return self.visitor().ask(method, path, body, **fields)

    def get(self, path: str, **fields: str) -> Answer:
        """Ask on a connection of its own."""
        return self.ask("GET", path, **fields)

    def close(self) -> None:
        """Clear the stage."""
        self.admin.close()
        self.clock.advance(0)
        super().close()
