"""What the access log knows of one request that was answered, or refused.

Law: holds no connection, no body and nothing of the application: an entry outlives its request by a moment.
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

    :ivar start: when its turn began; `end`: when the application had answered; `waited`: how much of that it waited for
        the client; `rest`: how much longer the client took for the rest.
    :ivar queued: seconds in queues before that.
    :ivar line: None for a request that could not be read; `block` likewise.
    :ivar address: the client's, as the application saw it; empty on a UNIX socket.
    :ivar ident: the request's id, empty without one.
    :ivar code: the status; 0: nothing was answered.
    :ivar sent: bytes of the body that the kernel took.
    :ivar whole: whether all of the answer was sent; `keep`: whether the connection goes on.
    :ivar attempt: 1, or 2 when the request ran before in a worker that died.
    :ivar head: of the response, for formats that ask for its fields.
    :ivar values: of the environ, for formats that ask for them.
    :ivar base: where the body begins in the stream to the client; -1: it is not sent yet, or all of it is.
    :ivar open: whether the client has not taken all of it yet.
    """

    # Class attributes, because most entries have them as they are, and an entry is made for each request.
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
        """In the application, without what it waited for the client."""
        return self.end - self.start - self.waited

    @property
    def write_time(self) -> int:
        """Waiting for the client to take the answer."""
        return self.waited + self.rest

    @property
    def time(self) -> int:
        """In all, from when the request was whole."""
        return self.end - self.start + self.rest + int(self.queued * 1e9)
