"""The head of a response: checks, serialises and frames it.

Law: pure. Raises an exception that names the fault for what the app must not send (PEP 3333, "The start_response()
Callable"), and drops what it must not decide (hop-by-hop fields).
"""

from __future__ import annotations

import enum
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...grammar import DAYS, MONTHS, TOKEN
from ...pristine import time

_STATUS = re.compile(r"[1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
_TOKEN = re.compile(TOKEN)
_BAD_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_LENGTH = re.compile(r"[0-9]{1,18}")
#: PEP 3333, "Other HTTP Features": an app must not send these (RFC 9110 section 7.6.1).
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
#: Valid status lines and header fields, with their results. Bounded, because an app may invent them; a full cache is
#: cleared.
_known_statuses: set[str] = set()
_known_fields: dict[tuple[str, str], str | _Special] = {}
_known_lists: dict[tuple[tuple[str, str], ...], Fields] = {}
_KNOWN_LIMIT = 1024
#: Characters of the longest field cached: longer ones (cookies, policies) differ each time, or are rare.
_KNOWN_CHARS = 128


class _Special(NamedTuple):
    """A field that the server interprets. `name` is in lower case; `line` is what is sent."""

    name: str
    value: str
    line: str


class Fields:
    """The app's header fields; responses that repeat them share them.

    :ivar text: the fields serialised, with line ends, without Content-Length.
    :ivar length: the Content-Length, None without one.
    :ivar has_server: whether the app sent Server.
    :ivar has_date: whether the app sent Date.
    :ivar has_ident: whether the app sent X-Request-ID.
    :ivar close: whether the app asked to close the connection.
    :ivar dropped: names of the hop-by-hop fields dropped.
    :ivar made: the last head built with them, after the key that it was built from.
    """

    __slots__ = ("close", "dropped", "has_date", "has_ident", "has_server", "length", "made", "text")

    def __init__(self) -> None:
        self.text = ""
        self.length: int | None = None
        self.has_server = False
        self.has_date = False
        self.has_ident = False
        self.close = False
        self.dropped: tuple[str, ...] = ()
        self.made: tuple[object, Head] | None = None


def check_status(status: object) -> str:
    """Check the status line's code and reason.

    :raises TypeError, ValueError: it is not what PEP 3333 requires.
    """
    if type(status) is str and status in _known_statuses:
        return status
    if type(status) is not str:
        raise TypeError(f"status must be str, not {status!r} ({type(status).__name__})")
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"status must be three digits, a space and a reason, not {status!r}")
    if len(status) < _KNOWN_CHARS:
        if len(_known_statuses) >= _KNOWN_LIMIT:
            # An application may copy client data into its reason phrases.
            _known_statuses.clear()
        _known_statuses.add(status)
    return status


def check_fields(headers: Any) -> Fields:
    """Check and serialise the app's header fields.

    :raises TypeError, ValueError: names the field that is not allowed.
    """
    try:
        key = tuple(headers)
        known = _known_lists.get(key)
    except TypeError:
        # Not a list of tuples: raises or warns.
        return _check_anew(headers)
    if known is None or type(headers) is not list:
        known = _check_anew(headers)
        if len(known.text) <= _KNOWN_CHARS * 4:
            if len(_known_lists) >= _KNOWN_LIMIT:
                _known_lists.clear()
            _known_lists[key] = known
    return known


def _check_anew(headers: Any) -> Fields:
    if type(headers) is not list:
        _tolerate(headers, f"headers must be a list, not {headers!r} ({type(headers).__name__})")
    fields = Fields()
    text = ""
    for header in headers:
        try:
            known = _known_fields.get(header)
        except TypeError:
            # Not a tuple of strings: raises or warns.
            known = None
        if known is None:
            known = _check_field(header)
        text += known if isinstance(known, str) else _note_special(fields, known)
    fields.text = text
    return fields


_SPECIAL = HOP_BY_HOP | {"content-length", "server", "date", "x-request-id"}


def _check_field(header: object) -> str | _Special:
    """Check and serialise one field."""
    name, value = _pair(header)
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"header name {name!r} is not a token")
    if _BAD_VALUE.search(value):
        raise ValueError(f"invalid character in header: {header!r}")
    line = f"{name}: {value}\r\n"
    lower = name.lower()
    if lower == "content-length" and _LENGTH.fullmatch(value) is None:
        raise ValueError(f"Content-Length {value!r} is malformed")
    made = _Special(lower, value, line) if lower in _SPECIAL else line
    if len(name) + len(value) <= _KNOWN_CHARS and type(header) is tuple:
        if len(_known_fields) >= _KNOWN_LIMIT:
            _known_fields.clear()
        _known_fields[name, value] = made
    return made


def _pair(header: object) -> tuple[str, str]:
    if type(header) is not tuple:
        _tolerate(header, f"header must be a (str, str) tuple, not {header!r} ({type(header).__name__})")
    fields: Any = header
    if len(fields) != 2:
        raise TypeError(f"header must be a (str, str) tuple, not {header!r}")
    name, value = fields
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"header must be (str, str) tuple, not {header!r}")
    return name, value


def _tolerate(given: object, complaint: str) -> None:
    """Accept another kind of sequence with a warning, as Twisted's own resource does.

    :raises TypeError: it is not a sequence.
    """
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise TypeError(complaint)
    warnings.warn(complaint.replace("must", "should", 1), RuntimeWarning, stacklevel=4)


def _note_special(fields: Fields, field: _Special) -> str:
    """Record a special field; returns what is sent of it here."""
    name, value, line = field
    if name == "content-length":
        if fields.length is not None:
            raise ValueError(f"Content-Length given twice: {value!r}")
        fields.length = int(value)
        return ""
    if name == "server":
        fields.has_server = True
    elif name == "date":
        fields.has_date = True
    elif name == "x-request-id":
        fields.has_ident = True
    else:
        fields.dropped += (name,)
        fields.close = fields.close or (name == "connection" and value.strip().lower() == "close")
        return ""
    return line


class Framing(enum.Enum):
    """How the client finds the end of the body (RFC 9112 section 6)."""

    NONE = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the end of the connection"


@dataclass
class Head:
    """A serialised head.

    :ivar data: its bytes.
    :ivar framing: of the body.
    :ivar keep_alive: whether the connection stays open.
    :ivar length: the declared length of the body, None without one.
    :ivar open: the same bytes up to the value of X-Request-ID; empty if the app sent its own.
    """

    __slots__ = ("data", "framing", "keep_alive", "length", "open")
    data: bytes
    framing: Framing
    keep_alive: bool
    length: int | None
    open: bytes


def make_head(
    status: str, fields: Fields, method: str, version: tuple[int, int], keep_alive: bool, whole: int | None
) -> Head:
    """Build the head of a final response.

    :param keep_alive: whether client and server want to keep the connection.
    :param whole: the size of the body if all of it is known now, None while it is being produced.
    """
    now = int(time.time())
    key = (now, status, method, version, keep_alive, whole)
    made = fields.made
    if made is not None and made[0] == key:
        return made[1]
    head = _make_anew(status, fields, method, version, keep_alive, whole, now)
    fields.made = (key, head)
    return head


def _make_anew(
    status: str, fields: Fields, method: str, version: tuple[int, int], keep_alive: bool, whole: int | None, now: int
) -> Head:
    code = status[:3]
    length = fields.length
    if length is None and (whole or (whole == 0 and method != "HEAD")):
        # An empty response to HEAD does not tell the length that GET would have (RFC 9110 section 9.3.2).
        length = whole
    if code == "204" or (code == "304" and fields.length is None):
        # RFC 9110 section 8.6: no length with 204; with 304 only the length of the response it stands for.
        framing, extra = Framing.NONE, ""
    elif length is not None:
        framing = Framing.NONE if code == "304" else Framing.LENGTH
        extra = f"Content-Length: {length}\r\n"
    elif method == "HEAD" and whole is not None:
        framing, extra = Framing.NONE, ""
    elif version == (1, 1):
        framing, extra = Framing.CHUNKED, "Transfer-Encoding: chunked\r\n"
    else:
        framing, extra = Framing.CLOSE, ""
    if method == "HEAD":
        framing = Framing.NONE
    keep_alive = keep_alive and not fields.close and framing is not Framing.CLOSE
    if not keep_alive:
        extra += "Connection: close\r\n"
    elif version == (1, 0):
        extra += "Connection: keep-alive\r\n"
    if not fields.has_server:
        extra += "Server: twistcorn\r\n"
    if not fields.has_date:
        extra += _date_line(now)
    data = f"HTTP/1.1 {status}\r\n{fields.text}{extra}\r\n".encode("latin-1")
    return Head(data, framing, keep_alive, length, b"" if fields.has_ident else data[:-2] + b"X-Request-ID: ")


_date: tuple[int, str] = (0, "")


def _date_line(now: int) -> str:
    """The Date field (RFC 9110 section 5.6.7), built once a second."""
    global _date
    made, line = _date
    if made != now:
        t = time.gmtime(now)
        line = (
            f"Date: {DAYS[t.tm_wday]}, {t.tm_mday:02d} {MONTHS[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT\r\n"
        )
        _date = (now, line)
    return line


#: Reason phrases of the server's own responses (RFC 9110 section 15).
REASONS = {
    400: "Bad Request", 408: "Request Timeout", 413: "Content Too Large", 414: "URI Too Long",
    417: "Expectation Failed", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}  # fmt: skip


#: Retry-After seconds when other bodies fill the spool: some of them are complete by then.
RETRY_AFTER_SECONDS = 5


def plain(code: int, text: str = "", close: bool = False, retry_after: int = 0) -> tuple[str, Fields, bytes]:
    """Status, fields and body of a short response by the server itself.

    :param close: whether it ends its connection.
    :param retry_after: seconds for Retry-After (RFC 9110 section 10.2.3); 0: none.
    """
    status = f"{code} {REASONS[code]}"
    body = f"{text or status}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if close:
        headers.append(("Connection", "close"))
    if retry_after:
        headers.append(("Retry-After", str(retry_after)))
    return status, check_fields(headers), body


def refusal(code: int, method: str = "GET") -> bytes:
    """A complete response that refuses a request and ends the connection."""
    status, fields, body = plain(code, retry_after=RETRY_AFTER_SECONDS if code == 503 else 0)
    head = make_head(status, fields, method, (1, 1), False, len(body)).data
    return head if method == "HEAD" else head + body
