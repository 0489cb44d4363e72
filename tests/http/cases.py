"""What a case of the corpus is: bytes in, expected outcome out, with the section that says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from twistcorn.settings import Settings

#: What waits for its body on the thread of the test would wait for ever.
DEFAULTS = Settings(expect="early")
CRLF = b"\r\n"

#: A request that is right; behind a case it shows what the connection is worth.
NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


@dataclass(frozen=True)
class Seen:
    """A request as the intake gave it, or as a case wants it.

    :ivar fields: names in lower case, and values; a case names only those that it is about.
    :ivar absent: of a case: names of fields that must not be there.
    """

    method: str = "GET"
    path: bytes = b"/"
    query: bytes = b""
    version: tuple[int, int] = (1, 1)
    keep: bool = True
    body: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    absent: tuple[bytes, ...] = ()

    def like(self, wanted: Seen) -> Seen:
        """This one with only the fields that another is about, so that the two can be compared."""
        names = {name for name, _ in wanted.fields} | set(wanted.absent)
        return replace(self, fields=tuple(f for f in self.fields if f[0] in names), absent=wanted.absent)


@dataclass(frozen=True)
class Outcome:
    """What becomes of the bytes.

    :ivar requests: the requests that are accepted, in order.
    :ivar refused: statuses of the one refusal behind them, any of which will do; empty: nothing is refused.
    :ivar waits: behind the requests there is the beginning of another, and then the stream ends.
    """

    requests: tuple[Seen, ...] = ()
    refused: tuple[int, ...] = ()
    waits: bool = False

    @property
    def open(self) -> bool:
        """Whether the next request on the connection is answered."""
        return not self.refused and not self.waits and all(request.keep for request in self.requests)


@dataclass(frozen=True)
class Case:
    """One row of the corpus.

    :ivar section: of RFC 9110 or 9112, or of issue 3.
    """

    name: str
    section: str
    data: bytes
    outcome: Outcome
    settings: Settings = DEFAULTS


def accept(name: str, section: str, data: bytes, *requests: Seen, settings: Settings = DEFAULTS) -> Case:
    """Bytes that are so many requests."""
    return Case(name, section, data, Outcome(requests), settings)


def refuse(
    name: str,
    section: str,
    data: bytes,
    *statuses: int,
    after: Iterable[Seen] = (),
    settings: Settings = DEFAULTS,
) -> Case:
    """Bytes that are refused with one of the statuses, behind requests that are not."""
    return Case(name, section, data, Outcome(tuple(after), statuses or (400,)), settings)


def wait(name: str, section: str, data: bytes, *requests: Seen, settings: Settings = DEFAULTS) -> Case:
    """Bytes that end with a request which is not whole."""
    return Case(name, section, data, Outcome(requests, waits=True), settings)


def head(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A head of these lines; an empty `host` leaves it out."""
    return CRLF.join([line, *([host] if host else []), *fields, b"", b""])


def post(*fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    """A head and what follows it."""
    return head(*fields, line=line) + body


def chunked(body: bytes) -> bytes:
    """A request whose chunked body is these bytes, framing and all."""
    return post(b"Transfer-Encoding: chunked", body=body)


def shown(data: bytes) -> str:
    """Bytes as a part of a case's name."""
    return ascii(data)[2:-1]
