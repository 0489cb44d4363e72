"""Lines of the access log: a compiled format turns an entry into a line.

Law: pure. No value from a client or an application can end a line, or a quoted part of one. Text that depends only on
the request line, or only on the header fields, is built once for all requests that repeat them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from ..atoms import JSON, Atom, parse
from ..grammar import MONTHS
from ..pristine import os, time
from .entries import Block, Entry, Line

#: Cached texts of request lines, header blocks and addresses; a full cache is cleared.
MAX_KNOWN = 1024
#: Characters of one value: programs that read the log have limits.
MAX_VALUE_CHARS = 4096

Get = Callable[[Entry], object]
_UNSAFE = re.compile(r'[^\x20\x21\x23-\x5b\x5d-\x7e]')


class Lines(Protocol):
    """Formats entries as lines.

    :ivar offset: nanoseconds from monotonic time to wall-clock time.
    :ivar wanted: names of the environ variables that it needs.
    :ivar wants_head: whether it needs the response's head.
    :ivar wants_past: whether it needs data from before the turn: queue time, earlier attempt.
    """

    offset: int
    wanted: tuple[str, ...]
    wants_head: bool
    wants_past: bool

    def line(self, entry: Entry) -> str:
        """The line of an entry, with its end."""


def escape(text: str) -> str:
    """A value escaped for a quoted part of a line, as Apache does: `\\"`, `\\\\` and `\\xhh`."""
    if _UNSAFE.search(text) is None and len(text) <= MAX_VALUE_CHARS:
        return text
    return _UNSAFE.sub(_escaped, text[:MAX_VALUE_CHARS])


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return "\\" + character
    coding = "latin-1" if character < "\u0100" else "utf-8"
    return "".join(f"\\x{byte:02x}" for byte in character.encode(coding, "replace"))


def field(block: Block | None, name: str) -> str:
    """The value of a request's field, empty without one."""
    wanted = name.lower().encode("latin-1", "replace")
    if block is None:
        return ""
    return ", ".join(value.decode("latin-1") for key, value in block.headers if key == wanted)


def response_field(head: bytes, name: str) -> str:
    """The value of a field of a response's head, empty without one."""
    wanted = name.lower()
    pairs = (line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:])
    return ", ".join(value for key, _, value in pairs if key.lower() == wanted)


def user(block: Block | None) -> str:
    """The user name of Basic authentication (RFC 7617), not verified; empty without one."""
    scheme, _, data = field(block, "authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(data.strip(), validate=True).partition(b":")[0].decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def request_line(line: Line | None) -> str:
    """The request line as sent."""
    if line is None:
        return ""
    return f"{line.method} {line.target.decode('latin-1')} HTTP/{line.version[0]}.{line.version[1]}"


def _or_dash(text: str) -> str:
    return escape(text) or "-"


def _quoted(text: str) -> str:
    """For an unquoted value: a space would look like the end of it."""
    return _or_dash(text).replace(" ", "\\x20")


#: Atoms that depend only on the request line, only on the header fields, and on the whole entry.
_OF_LINE: dict[str, Callable[[Line | None], str]] = {
    "m": lambda line: line.method if line else "-",
    "U": lambda line: _or_dash(line.path.decode("latin-1") if line else ""),
    "q": lambda line: escape(line.query.decode("latin-1") if line else ""),
    "r": lambda line: _or_dash(request_line(line)),
    "H": lambda line: f"HTTP/{line.version[0]}.{line.version[1]}" if line else "-",
}
_OF_BLOCK: dict[str, Callable[[Block | None], str]] = {
    "u": lambda block: _quoted(user(block)),
    "f": lambda block: _or_dash(field(block, "referer")),
    "a": lambda block: _or_dash(field(block, "user-agent")),
}
_OF_ENTRY: dict[str, Get] = {
    "s": lambda entry: entry.code or "-",
    "B": lambda entry: entry.sent,
    "b": lambda entry: entry.sent or "-",
    "T": lambda entry: entry.time // 1_000_000_000,
    "M": lambda entry: entry.time // 1_000_000,
    "D": lambda entry: entry.time // 1000,
    "L": lambda entry: seconds(entry.time),
    "queue": lambda entry: f"{entry.queued:.6f}",
    "app": lambda entry: seconds(entry.app_time),
    "write": lambda entry: seconds(entry.write_time),
    "attempt": lambda entry: f"{entry.attempt:d}",
    "id": lambda entry: entry.ident or "-",
    "X": lambda entry: "X" if not entry.whole else "+" if entry.keep else "-",
}


def seconds(nanoseconds: int) -> str:
    """A duration as text."""
    return f"{nanoseconds / 1e9:.6f}"


def _of_line(make: Callable[[Line | None], str]) -> Get:
    """Cache a text that depends only on the request line; a hit costs no further call."""
    known: dict[Line | None, str] = {}

    def get(entry: Entry) -> str:
        return known.get(entry.line) or _learn(known, entry.line, make)

    return get


def _of_block(make: Callable[[Block | None], str]) -> Get:
    """Likewise, for the header fields."""
    known: dict[Block | None, str] = {}

    def get(entry: Entry) -> str:
        return known.get(entry.block) or _learn(known, entry.block, make)

    return get


def _of_address(make: Callable[[str], str]) -> Get:
    """Likewise, for the client's address."""
    known: dict[str, str] = {}

    def get(entry: Entry) -> str:
        return known.get(entry.address) or _learn(known, entry.address, make)

    return get


def _learn(known: dict[Any, str], key: Any, make: Callable[[Any], str]) -> str:
    if len(known) >= MAX_KNOWN:
        known.clear()
    text = known[key] = make(key)
    return text


_REMEMBERING: dict[str, Callable[[Any], Get]] = {"line": _of_line, "block": _of_block, "address": _of_address}


#: Atoms that need data from before the turn: those that include queue time, and the attempt.
_OF_PAST = frozenset(("T", "M", "D", "L", "queue", "attempt"))


class TextLines:
    """Lines of a text format.

    :param pieces: the format.
    :param worker: the worker's number.
    """

    def __init__(self, pieces: list[Atom], worker: int) -> None:
        self.offset = 0
        self.wanted = tuple(piece.name for piece in pieces if piece.kind == "e")
        self.wants_head = any(piece.kind == "o" for piece in pieces)
        self.wants_past = any(piece.kind == "atom" and piece.name in _OF_PAST for piece in pieces)
        self._fixed = {"l": "-", "p": f"<{os.getpid()}>", "worker": str(worker)}
        self._second, self._stamp = -1, ""
        self._template = ""
        self._getters: list[Get] = []
        self._compile(pieces)

    def _compile(self, pieces: list[Atom]) -> None:
        """Merge neighbours that depend on the same part of a request, with the text between them."""
        between = ""
        part, makers = "", list[Any]()
        for piece in [*pieces, Atom("end", "")]:
            if piece.kind == "text" or (piece.kind == "atom" and piece.name in self._fixed):
                between += piece.name if piece.kind == "text" else self._fixed[piece.name]
                continue
            its_part, make = _maker(piece)
            if its_part and its_part == part:
                makers += [between, make]
            else:
                if makers:
                    self._add_getter(_REMEMBERING[part](_joined(makers)))
                self._template += between.replace("%", "%%")
                part, makers = its_part, [make] if its_part else []
                if not its_part and piece.kind != "end":
                    self._add_getter(self._getter(piece))
            between = ""
        self._template += "\n"

    def _add_getter(self, getter: Get) -> None:
        self._template += "%s"
        self._getters.append(getter)

    def _getter(self, piece: Atom) -> Get:
        name = piece.name
        if piece.kind == "o":
            return lambda entry: _or_dash(
                response_field(entry.head, name) or (entry.ident if name.lower() == "x-request-id" else "")
            )
        if piece.kind == "e":
            return lambda entry: _or_dash(entry.values.get(name, "") if entry.values else "")
        return self._time if name == "t" else _OF_ENTRY[name]

    def _time(self, entry: Entry) -> str:
        """The start time in Apache's format, local time."""
        second = (entry.start + self.offset) // 1_000_000_000
        if second != self._second:
            t = time.localtime(second)
            self._stamp = time.strftime(f"[%d/{MONTHS[t.tm_mon - 1]}/%Y:%H:%M:%S %z]", t)
            self._second = second
        return self._stamp

    def line(self, entry: Entry) -> str:
        """The line of an entry, with its end."""
        return self._template % tuple([get(entry) for get in self._getters])


def _maker(piece: Atom) -> tuple[str, Callable[[Any], str] | None]:
    """The only part of a request that a piece depends on, and its formatter; empty if it depends on more."""
    kind, name = piece
    if kind == "i":
        return "block", lambda block: _or_dash(field(block, name))
    if kind == "atom" and name == "h":
        return "address", _quoted
    if kind == "atom" and name in _OF_LINE:
        return "line", _OF_LINE[name]
    if kind == "atom" and name in _OF_BLOCK:
        return "block", _OF_BLOCK[name]
    return "", None


def _joined(makers: list[Any]) -> Callable[[Any], str]:
    """Join makers and the texts between them into one maker."""
    return lambda part: "".join([make if isinstance(make, str) else make(part) for make in makers])


class JsonLines:
    """One JSON object per entry; docs/logging.md documents the names of its members."""

    wanted: tuple[str, ...] = ()
    wants_head = False
    wants_past = True

    def __init__(self, worker: int) -> None:
        self.offset = 0
        self._worker = worker
        self._of_line = _of_line(_line_members)
        self._of_block = _of_block(_block_members)
        self._of_address = _of_address(json.dumps)
        self._second, self._stamp = -1, ""

    def line(self, entry: Entry) -> str:
        """The line of an entry, with its end."""
        second, rest = divmod(entry.start + self.offset, 1_000_000_000)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        taken, rested = entry.end - entry.start, entry.rest
        waited = entry.waited
        return (
            f'{{"time": "{self._stamp}.{rest // 1_000_000:03d}Z", "event": "access", "worker": {self._worker}, '
            f'"remote_addr": {self._of_address(entry)}, {self._of_line(entry)}, "status": {entry.code}, '
            f'"bytes": {entry.sent}, "duration": {(taken + rested) / 1e9 + entry.queued:.6f}, '
            f'"queue_time": {entry.queued:.6f}, "app_time": {(taken - waited) / 1e9:.6f}, '
            f'"write_time": {(waited + rested) / 1e9:.6f}, "attempt": {entry.attempt:d}, '
            f'"request_id": "{entry.ident}", "aborted": {"false" if entry.whole else "true"}, '
            f"{self._of_block(entry)}}}\n"
        )


def _line_members(line: Line | None) -> str:
    version = "" if line is None else f"HTTP/{line.version[0]}.{line.version[1]}"
    members = {
        "method": line.method if line else "",
        "path": line.path.decode("latin-1")[:MAX_VALUE_CHARS] if line else "",
        "query": line.query.decode("latin-1")[:MAX_VALUE_CHARS] if line else "",
        "protocol": version,
    }
    return json.dumps(members)[1:-1]


def _block_members(block: Block | None) -> str:
    members = {
        "referer": field(block, "referer")[:MAX_VALUE_CHARS],
        "user_agent": field(block, "user-agent")[:MAX_VALUE_CHARS],
        "user": user(block)[:MAX_VALUE_CHARS],
    }
    return json.dumps(members)[1:-1]


def compile_format(text: str, worker: int) -> Lines:
    """Compile a format.

    :param text: a format, or the name of one.
    """
    return JsonLines(worker) if text == JSON else TextLines(parse(text), worker)
