"""HTTP for the admin endpoint: Twisted's own server, with bounds.

Law: bodies, connections and their idle time are bounded. Every answer forbids caching, sniffing, framing and content
from other origins. Nothing here is logged.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from ...errors import HTTPError

#: Bytes of a body that are taken: a form with a token or a number has less.
MAX_BODY_BYTES = 4096
#: Bytes that are read and dropped, so that the client reads why it is refused; a client that sends more is cut off.
MAX_DROPPED_BYTES = 1 << 20
#: Connections at once: readers, scrapes, health checks of load balancers.
MAX_CONNECTIONS = 128
#: Seconds that an idle connection is kept.
IDLE_SECONDS = 60

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"

#: Fields of every answer. The page has no code, style or picture but its own (Content Security Policy, level 3).
_FIELDS = {
    "Server": "twistcorn",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # None at all would take the field Origin from our own forms (Fetch Standard, section 3.2).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


class Visit(Request):
    """A request to the admin endpoint.

    :ivar whole: it was read to its end; it is being answered.
    """

    whole = False

    def gotLength(self, length: int | None) -> None:
        """The head was read: room for the body, whatever length it announces."""
        self.content = self._body = BytesIO()
        self._size = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Bytes of the body: those that are too many are dropped."""
        self._size += len(data)
        if self._size <= MAX_BODY_BYTES:
            self._body.write(data)
        elif self._size - len(data) <= MAX_DROPPED_BYTES < self._size:
            # Once: more pieces may have come with this one.
            channel: Any = self.channel
            channel.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")
            channel.loseConnection()

    def process(self) -> None:
        """All of it is there: answer it."""
        self.whole = True
        if self._size > MAX_BODY_BYTES:
            refuse(self, HTTPError(413, f"body too large: at most {MAX_BODY_BYTES} bytes"))
        elif self.path == b"*":
            # Twisted would answer by itself, without our fields.
            refuse(self, HTTPError(404, "not found"))
        else:
            super().process()

    def field(self, name: str) -> str:
        """The value of a header field, empty when it is not there; bytes that are no UTF-8 are escaped."""
        value = self.getHeader(name.encode())
        return value.decode("utf-8", "surrogateescape") if value is not None else ""

    def argument(self, name: str) -> str:
        """The first value of a parameter of the query or the form, empty when it is not there."""
        value: bytes = (self.args or {}).get(name.encode(), [b""])[0]
        return value.decode("utf-8", "surrogateescape")


def answer(request: Any, body: str | bytes, kind: str = PLAIN, status: int = 200, **fields: str) -> int:
    """Answer a request with a whole body.

    :param fields: further fields of the head: `Set_Cookie="..."`.
    :return: what a resource returns that has answered.
    """
    data = body if isinstance(body, bytes) else body.encode("utf-8", "replace")
    request.setResponseCode(status)
    begin(request, kind, **fields)
    request.setHeader("Content-Length", str(len(data)))
    if request.method != b"HEAD":
        request.write(data)
    request.finish()
    return int(NOT_DONE_YET)


def begin(request: Any, kind: str, **fields: str) -> None:
    """The fields of an answer whose body follows."""
    for name, value in {**_FIELDS, **fields, "Content-Type": kind}.items():
        request.setHeader(name.replace("_", "-"), value)


def refuse(request: Any, error: HTTPError, **fields: str) -> int:
    """Answer with an error, in one plain line."""
    return answer(request, f"{error.reason}\n", status=error.status, **fields)


class Visits(WrappingFactory[ProtocolWrapper]):
    """Accepts the connections."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._site = _Quiet(Resource(), requestFactory=Visit, timeout=IDLE_SECONDS, reactor=clock)
        super().__init__(self._site)

    def show(self, resource: Resource) -> None:
        """From now on this answers."""
        self._site.resource = resource

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection; at the limit it replaces the oldest idle one, or is refused when none is idle."""
        open_ones = [each for each in self.protocols if not _channel(each).cut]
        if len(open_ones) >= MAX_CONNECTIONS:
            idle = next((each for each in open_ones if not _channel(each).answering), None)
            if idle is None:
                return None
            # Idle connections must not keep out a health check.
            _channel(idle).cut = True
            cast(Any, idle.transport).abortConnection()
        return super().buildProtocol(addr)

    def logPrefix(self) -> str:
        return "admin"

    def cut_all(self) -> None:
        """End every connection, once what was written is sent."""
        for protocol in list(self.protocols):
            protocol.transport.loseConnection()


class _Channel(HTTPChannel):
    """A connection, by HTTP/1.

    :ivar cut: it was aborted, and its end is under way.
    """

    cut = False

    @property
    def answering(self) -> bool:
        """Whether a whole request waits for its answer."""
        return any(request.whole for request in self.requests)

    def timeoutConnection(self) -> None:
        """Close an idle connection. Twisted would log each, and wait for a client that does not read."""
        cast(Any, self.transport).abortConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is too long: say so, rather than nothing."""
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.loseConnection()


def _channel(protocol: ProtocolWrapper) -> _Channel:
    """What speaks HTTP on a connection."""
    return cast(_Channel, protocol.wrappedProtocol)


class _Quiet(Site):
    """A site without an access log, and without the clock that writes its times."""

    noisy = False
    protocol = cast(Any, _Channel)

    def startFactory(self) -> None:
        """There is no log to open."""

    def stopFactory(self) -> None:
        """Nothing was opened."""

    def log(self, request: Any) -> None:
        """Write no access log."""
