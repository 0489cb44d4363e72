"""Bytes from a server to answers: enough of HTTP/1.1 for an application that we know.

Law: pure. A length is the only framing that the application uses; whatever else comes is broken.
"""

from __future__ import annotations

from dataclasses import dataclass

END = b"\r\n\r\n"


class Broken(Exception):
    """These bytes are no answer, and more of them will not make one."""


@dataclass(frozen=True)
class Answer:
    """One whole answer, and whether the server said that it closes the connection behind it."""

    status: int
    closes: bool
    body: bytes


@dataclass(frozen=True)
class Head:
    """The status, what is said of the connection, and the length of the body if it is said."""

    status: int
    closes: bool
    length: int | None


def read_head(text: bytes) -> Head:
    """Read what comes before the empty line; raise :exc:`Broken` when it is no head."""
    line, *fields = text.decode("latin-1").split("\r\n")
    words = line.split(" ", 2)
    if len(words) < 2 or words[0] not in ("HTTP/1.1", "HTTP/1.0") or not words[1].isdecimal():
        raise Broken(f"no status line: {line[:60]!r}")
    values = {
        name.strip().lower(): value.strip().lower() for name, _, value in (f.partition(":") for f in fields)
    }
    if "transfer-encoding" in values:
        raise Broken("transfer-encoding")
    length = values.get("content-length")
    if length is not None and not length.isdecimal():
        raise Broken(f"content-length {length!r}")
    said = values.get("connection", "keep-alive" if words[0] == "HTTP/1.1" else "close")
    # Without a length the end of the connection is the end of the answer: that announces it as well.
    closes = "close" in said or length is None
    return Head(int(words[1]), closes, None if length is None else int(length))


def read_answer(received: bytes, ended: bool = False) -> Answer | None:
    """The answer, or ``None`` while more has to come.

    :param ended: nothing more comes; it is whole only if it has its length, or said none.
    :raise Broken: it is no answer, or there is more than one.
    """
    text, found, body = received.partition(END)
    if not found:
        return None
    head = read_head(text)
    if head.length is None:
        return Answer(head.status, True, body) if ended else None
    if len(body) > head.length:
        raise Broken(f"{len(body) - head.length} bytes that nobody asked for")
    return Answer(head.status, head.closes, body) if len(body) == head.length else None
