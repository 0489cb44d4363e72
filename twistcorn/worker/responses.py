"""The head of a response: checked, serialised, framed.

Law: pure. What the app may not say is refused here with an exception that names it (PEP 3333, "The start_response()
Callable"); what it may not decide (hop-by-hop fields) is dropped.
"""

from __future__ import annotations

import enum
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_STATUS = re.compile(r"[1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_LENGTH = re.compile(r"[0-9]{1,18}")
#: PEP 3333, "Other HTTP Features": an app must not send these (RFC 9110 section 7.6.1).
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
#: Names seen and found right; bounded, because an app may make names up.
_known_names: set[str] = set()
_KNOWN_LIMIT = 1024


@dataclass
class Fields:
    """The app's header fields.

    :ivar text: serialised, each with its line end, without Content-Length.
    :ivar length: what Content-Length says, None without one.
    :ivar has_server: whether the app sent Server.
    :ivar has_date: whether the app sent Date.
    :ivar close: whether the app asked to close the connection.
    :ivar dropped: names of hop-by-hop fields that were left out.
    """

    __slots__ = ("close", "dropped", "has_date", "has_server", "length", "text")
    text: str
    length: int | None
    has_server: bool
    has_date: bool
    close: bool
    dropped: tuple[str, ...]


def check_status(status: object) -> str:
    """The status line's code and reason.

    :raises TypeError, ValueError: when it is not what PEP 3333 asks for.
    """
    if type(status) is not str:
        raise TypeError(f"status must be str, not {status!r} ({type(status).__name__})")
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"status must be three digits, a space and a reason, not {status!r}")
    return status


def check_fields(headers: Any) -> Fields:
    """The header fields of the app, checked and serialised.

    :raises TypeError, ValueError: naming the field that is not allowed.
    """
    if type(headers) is not list:
        _tolerate(headers, f"headers must be a list, not {headers!r} ({type(headers).__name__})")
    lines: list[str] = []
    fields = Fields("", None, False, False, False, ())
    for header in headers:
        name, value = _pair(header)
        if name not in _known_names:
            _check_name(name)
        lower = name.lower()
        if lower in _SPECIAL and not _note(fields, lower, value):
            continue
        lines.append(f"{name}: {value}\r\n")
    fields.text = text = "".join(lines)
    # One look at everything: a field with CR or LF of its own has more of them than there are lines.
    if text.count("\r") != len(lines) or text.count("\n") != len(lines) or _BAD_VALUE.search(text.replace("\r\n", "")):
        raise ValueError(f"character that is not allowed in a header: {_culprit(headers)!r}")
    return fields


_SPECIAL = HOP_BY_HOP | {"content-length", "server", "date"}


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
    """Another sequence works as well, and gets a warning, as Twisted's own resource has it.

    :raises TypeError: it is no sequence.
    """
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise TypeError(complaint)
    warnings.warn(complaint.replace("must", "should", 1), RuntimeWarning, stacklevel=4)


def _check_name(name: str) -> None:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"header name {name!r} is not a token")
    if len(_known_names) < _KNOWN_LIMIT:
        _known_names.add(name)


def _note(fields: Fields, name: str, value: str) -> bool:
    """Note what a special field says; returns whether it goes out."""
    if name in HOP_BY_HOP:
        fields.dropped += (name,)
        fields.close = fields.close or (name == "connection" and value.strip().lower() == "close")
        return False
    if name == "content-length":
        if _LENGTH.fullmatch(value) is None or fields.length is not None:
            raise ValueError(f"Content-Length {value!r} is malformed or given twice")
        fields.length = int(value)
        return False
    elif name == "server":
        fields.has_server = True
    else:
        fields.has_date = True
    return True


def _culprit(headers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return next(header for header in headers if _BAD_VALUE.search(header[1]))


class Framing(enum.Enum):
    """How the client finds the end of the body (RFC 9112 section 6)."""

    NONE = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the end of the connection"


@dataclass
class Head:
    """A head ready to be sent.

    :ivar data: its bytes.
    :ivar framing: of the body.
    :ivar keep_alive: whether the connection lives on.
    :ivar length: of the body as declared, None when it is not.
    """

    __slots__ = ("data", "framing", "keep_alive", "length")
    data: bytes
    framing: Framing
    keep_alive: bool
    length: int | None


def make_head(
    status: str, fields: Fields, method: str, version: tuple[int, int], keep_alive: bool, whole: int | None
) -> Head:
    """The head of a final response.

    :param keep_alive: whether client and server want to keep the connection.
    :param whole: the size of the body when all of it is known now, None while it is still being produced.
    """
    code = status[:3]
    length = fields.length
    if length is None and (whole or (whole == 0 and method != "HEAD")):
        # An empty answer to HEAD says nothing of what GET would have (RFC 9110 section 9.3.2).
        length = whole
    if code == "204" or (code == "304" and fields.length is None):
        # RFC 9110 section 8.6: no length with 204; with 304 only that of the answer it stands for.
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
        extra += _date_line()
    text = f"HTTP/1.1 {status}\r\n{fields.text}{extra}\r\n"
    return Head(text.encode("latin-1"), framing, keep_alive, length)


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date: tuple[int, str] = (0, "")


def _date_line() -> str:
    """The Date field (RFC 9110 section 5.6.7), made once a second."""
    global _date
    now = int(time.time())
    made, line = _date
    if made != now:
        t = time.gmtime(now)
        line = (
            f"Date: {_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT\r\n"
        )
        _date = (now, line)
    return line


#: Reason phrases of the refusals that this server makes itself (RFC 9110 section 15).
REASONS = {
    400: "Bad Request", 408: "Request Timeout", 413: "Content Too Large", 414: "URI Too Long",
    417: "Expectation Failed", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


def plain(code: int, text: str = "") -> tuple[str, Fields, bytes]:
    """Status, fields and body of a short answer of the server's own."""
    status = f"{code} {REASONS[code]}"
    body = f"{text or status}\n".encode()
    fields = check_fields([("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return status, fields, body


def refusal(code: int, method: str = "GET") -> bytes:
    """A whole response that refuses a request; the connection ends behind it."""
    status, fields, body = plain(code)
    head = make_head(status, fields, method, (1, 1), False, len(body)).data
    return head if method == "HEAD" else head + body
