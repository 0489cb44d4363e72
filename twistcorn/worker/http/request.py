"""HTTP/1.1 and 1.0 requests: parses the bytes of a head into a `Request`, or refuses them.

Law: pure, no socket and no clock. Rejects, never repairs. llhttp (httptools) parses a complete head; the checks that it
leaves out are here, with the RFC's section. A head ends at the first empty line and nothing after it is read, so that
pipelined requests stay where they are.
"""

from __future__ import annotations

import re
from typing import Any

import httptools

from ...errors import HTTPError
from ...grammar import TOKEN_BYTES
from ...settings import Settings
from ...wire.statuses import OTHER_ROW, ROWS

#: Bytes peeked at while they stay in the kernel; a head must fit. As much as llhttp-based servers allow (Node: 16 KiB,
#: raised to 32 for the cookies of large sites).
PEEK_BYTES = 32768

#: RFC 9112 section 2.2: a recipient ignores at least one empty line before the request line.
_BLANK = b"\r\n"
#: Control characters and NUL, a CR or LF alone, and line folding (RFC 9112 sections 2.2 and 5.2, RFC 9110 section 5.5).
FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n[ \t]")
#: RFC 9110 section 9.1: a method is a token.
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % TOKEN_BYTES)
#: The longest registered one has 17 characters.
_MAX_METHOD_CHARS = 32
_BEHIND_VALUE = re.compile(rb"[ \t]+\r\n")
#: RFC 9112 section 6.3: digits only; 18 of them fit in 64 bits.
_LENGTH = re.compile(rb"[0-9]{1,18}")
#: RFC 3986 section 3.2: host and port, without user information.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.%vV]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)")


class RequestLine:
    """A request line; requests that repeat it share it.

    :ivar method: as sent.
    :ivar target: as sent (RFC 9112 section 3.2).
    :ivar path: the target's path, undecoded, without the query; `*` for the server as a whole.
    :ivar query: after the first question mark, undecoded.
    :ivar version: (1, 0) or (1, 1).
    :ivar name: method and path, as logs and crash reports name the request.
    :ivar row: the row that counts requests of this method (`wire.statuses`).
    :ivar environ: the variables that `environ` derives from it, once it has; `route` likewise for `routes`.
    """

    __slots__ = ("environ", "method", "name", "path", "query", "route", "row", "target", "version")

    def __init__(
        self, method: str, target: bytes, path: bytes, query: bytes, version: tuple[int, int]
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.version = version
        self.name = f"{method} {path.decode('latin-1')}"
        self.environ: dict[str, Any] | None = None
        self.route: Any = None
        self.row = ROWS.get(method, OTHER_ROW)


class HeaderBlock:
    """The header fields of a request, and what they say about it; requests that repeat them share them.

    :ivar headers: names in lower case, and values, in order.
    :ivar keep_alive: whether the client wants to keep the connection.
    :ivar length: of the body; 0 without one, -1 if it is chunked.
    :ivar expects: whether the client waits for `100 Continue`.
    :ivar made: what each `environ.EnvironMaker` has derived from it.
    """

    __slots__ = ("expects", "headers", "keep_alive", "length", "made")

    def __init__(
        self, headers: list[tuple[bytes, bytes]], keep_alive: bool, length: int, expects: bool
    ) -> None:
        self.headers = headers
        self.keep_alive = keep_alive
        self.length = length
        self.expects = expects
        self.made: dict[object, Any] = {}


class Request:
    """A request. One without a body never changes, and requests that repeat it share it.

    :ivar size: bytes of its head.
    :ivar expects: whether the client may still wait for `100 Continue`, with its body incomplete.
    :ivar length: of the body; -1 while it is chunked and incomplete.
    :ivar made: the environ template of an `environ.EnvironMaker`, and which one made it.
    :ivar body: the complete body, once it is here: bytes or a `spool.Store`; or an `asked.AskedBody`.
    """

    __slots__ = ("block", "body", "expects", "length", "line", "made", "size")

    def __init__(self, line: RequestLine, block: HeaderBlock, size: int) -> None:
        self.line = line
        self.block = block
        self.size = size
        self.expects = block.expects
        self.length = block.length
        self.made: Any = None
        self.body: Any = b""


class _Collector:
    """Collects the header fields from llhttp."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def find_head(data: bytes, settings: Settings) -> int:
    """The length of the head at the start of the data, 0 while it is incomplete.

    :raises HTTPError: the data can no longer become a valid head.
    """
    start = 2 if data.startswith(_BLANK) else 0
    line = data.find(b"\r\n", start)
    if (line if line >= 0 else len(data) - data.endswith(b"\r")) - start > settings.limit_request_line:
        raise HTTPError(414, "request line too long")
    end = data.find(b"\r\n\r\n", start)
    if end >= 0:
        return end + 4
    if len(data) >= PEEK_BYTES:
        raise HTTPError(431, "head too large")
    # Refuse at once what can never become a request, without waiting for more. Only a CR at the end is undecided.
    if (bad := FORBIDDEN.search(data[:-1] if data.endswith(b"\r") else data, start)) is not None:
        raise HTTPError(400, f"forbidden character at offset {bad.start()}")
    return 0


def parse_head(head: bytes, settings: Settings) -> Request:
    """Parse a complete head.

    :raises HTTPError: 400 for a malformed head; 414, 417, 431, 501 and 505 as in RFC 9110 section 15.
    """
    size = len(head)
    if head.startswith(_BLANK):
        head = head[2:]
    if FORBIDDEN.search(head) is not None:
        raise HTTPError(400, "forbidden character in request head")
    line = head[: head.index(b"\r\n")]
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        raise HTTPError(400, "malformed request line")
    if len(parts[1]) > _MAX_METHOD_CHARS:
        raise HTTPError(501, "method too long")
    if parts[3] != b"1":
        raise HTTPError(505, "HTTP version not supported")
    version = (1, 1) if parts[4] != b"0" else (1, 0)
    method, target = parts[1].decode("ascii"), parts[2]
    block = _header_block(head, line, version, settings)
    path, query = _split_target(method, target, block.headers, version)
    return Request(RequestLine(method, target, path, query, version), block, size)


def parse_line(line: bytes, settings: Settings) -> RequestLine | None:
    """Parse a plain request line: version 1.1, a path as target, no fault; None for any other line."""
    parts = _REQUEST_LINE.fullmatch(line)
    if (
        parts is None
        or (parts[3], parts[4]) != (b"1", b"1")
        or not parts[2].startswith(b"/")
        or b"#" in parts[2]
        or len(parts[1]) > _MAX_METHOD_CHARS
        or parts[1] == b"CONNECT"
        or len(line) > settings.limit_request_line
    ):
        return None
    path, _, query = parts[2].partition(b"?")
    return RequestLine(parts[1].decode("ascii"), parts[2], path, query, (1, 1))


def _header_block(head: bytes, line: bytes, version: tuple[int, int], settings: Settings) -> HeaderBlock:
    headers = _fields(head, line, version, settings)
    length, expects, connection = _control_data(headers, version)
    keep_alive = b"close" not in connection and (version == (1, 1) or b"keep-alive" in connection)
    return HeaderBlock(headers, keep_alive, length, expects and length != 0)


def _fields(
    head: bytes, line: bytes, version: tuple[int, int], settings: Settings
) -> list[tuple[bytes, bytes]]:
    """Parse the header fields with llhttp.

    It gets a substitute request line: ours is already checked, and llhttp accepts only a fixed list of methods.
    """
    fields = head[len(line) :]
    if b" \r\n" in fields or b"\t\r\n" in fields:
        # RFC 9112 section 5.1: white space after a value is not part of it; llhttp leaves it there.
        fields = _BEHIND_VALUE.sub(b"\r\n", fields)
    collector = _Collector()
    first = b"GET / HTTP/1.1" if version == (1, 1) else b"GET / HTTP/1.0"
    try:
        httptools.HttpRequestParser(collector).feed_data(first + fields)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise HTTPError(400, f"malformed head: {error}") from None
    headers = collector.headers
    if len(headers) > settings.limit_request_fields:
        raise HTTPError(431, "too many header fields")
    # Cheap first: only a large head can hold a large field.
    limit = settings.limit_request_field_size
    if len(head) > limit and any(len(name) + len(value) > limit for name, value in headers):
        raise HTTPError(431, "header field too large")
    return headers


def _control_data(
    headers: list[tuple[bytes, bytes]], version: tuple[int, int]
) -> tuple[int, bool, set[bytes]]:
    """Framing, expectation and connection options of the header fields (RFC 9112 sections 6 and 9)."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    hosts = 0
    expects = False
    connection: set[bytes] = set()
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            connection.update(option.strip(b" \t") for option in value.lower().split(b","))
        elif name == b"host":
            hosts += 1
            if _HOST.fullmatch(value) is None:
                raise HTTPError(400, "malformed Host")
        elif name == b"expect" and version == (1, 1):
            if value.lower() != b"100-continue":
                raise HTTPError(417, "unknown expectation")
            expects = True
    if hosts > 1 or (hosts == 0 and version == (1, 1)):
        raise HTTPError(400, "exactly one Host field is required")
    return _body_length(lengths, codings, version), expects, connection


def _body_length(lengths: list[bytes], codings: list[bytes], version: tuple[int, int]) -> int:
    """The length of the body, -1 for chunked (RFC 9112 section 6.3)."""
    if codings:
        if lengths or version == (1, 0):
            raise HTTPError(400, "Transfer-Encoding with Content-Length or on HTTP/1.0")
        names = [name.strip(b" \t").lower() for name in b",".join(codings).split(b",")]
        if names == [b"chunked"]:
            return -1
        if names[-1] != b"chunked" or b"chunked" in names[:-1]:
            raise HTTPError(400, "the final transfer coding is not chunked")
        raise HTTPError(501, "unknown transfer coding")
    if not lengths:
        return 0
    if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise HTTPError(400, "malformed Content-Length")
    return int(lengths[0])


def _split_target(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]], version: tuple[int, int]
) -> tuple[bytes, bytes]:
    """Path and query of the target in its four forms (RFC 9112 section 3.2)."""
    if method == "CONNECT":
        # Only a proxy tunnels, and no other method takes the authority form.
        raise HTTPError(501, "CONNECT is not supported")
    if not target.startswith(b"/"):
        if target == b"*" and method == "OPTIONS":
            return b"*", b""
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1] or _HOST.fullmatch(absolute[1]) is None:
            raise HTTPError(400, "malformed request target")
        if any(name == b"host" and value.lower() != absolute[1].lower() for name, value in headers):
            raise HTTPError(400, "Host does not match the request target")
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if b"#" in target:
        raise HTTPError(400, "fragment in request target")
    path, _, query = target.partition(b"?")
    return path, query
