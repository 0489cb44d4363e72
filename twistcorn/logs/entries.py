"""The data of one answered or refused request in the access log.

Law: holds no connection, no body and no application object: an entry briefly outlives its request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Line(Protocol):
    """A request line (`worker.http.RequestLine`)."""

    @property
    def method(self) -> str: ...

    @property
    def target(self) -> bytes: ...

    @property
    def path(self) -> bytes: ...

    @property
    def query(self) -> bytes: ...

    @property
    def version(self) -> tuple[int, int]: ...


class Block(Protocol):
    """The header fields of a request: names in lower case, and values (`worker.http.HeaderBlock`)."""

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...


class Entry:
    """One request. Times are monotonic nanoseconds.

    :ivar start: when its turn began; `end`: when the application was done; `waited`: how much of that it waited for the
        client; `rest`: how much longer the client took to read the remainder.
    :ivar queued: seconds in queues before that.
    :ivar line: None for an unreadable request; `block` likewise.
    :ivar address: the client's, as the application saw it; empty on a UNIX socket.
    :ivar ident: the request's id; empty: none.
    :ivar code: the status; 0: no response.
    :ivar sent: bytes of the body that the kernel accepted.
    :ivar whole: whether the response was sent completely; `keep`: whether the connection stays open.
    :ivar attempt: 1, or 2 if the request ran before in a worker that died.
    :ivar head: of the response, for formats that use its fields.
    :ivar values: environ variables, for formats that use them.
    :ivar base: offset of the body in the stream to the client; -1: not sent yet, or sent completely.
    :ivar open: whether the client has yet to read some of it.
    """

    # Class attributes: an entry is created per request, and most keep these defaults.
    start = end = waited = rest = 0
    queued = 0.0
    line: Line | None = None
    block: Block | None = None
    address = ident = ""
    code = sent = 0
    whole = keep = True
    attempt = 1
    head = b""
    values: dict[str, str] | None = None
    base = -1
    open = False

    @property
    def app_time(self) -> int:
        """Nanoseconds in the application, without its waits for the client."""
        return self.end - self.start - self.waited

    @property
    def write_time(self) -> int:
        """Nanoseconds that the response waited for the client to read."""
        return self.waited + self.rest

    @property
    def time(self) -> int:
        """Nanoseconds in all, from the complete request on."""
        return self.end - self.start + self.rest + int(self.queued * 1e9)
