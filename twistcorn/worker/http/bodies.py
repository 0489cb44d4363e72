"""Framing of request bodies: which of the bytes received belong to a body. `spool` stores them.

Law: pure, apart from the store. Rejects, never repairs (RFC 9112 section 7.1). Never touches what follows a body:
`feed` returns how many bytes it took.
"""

from __future__ import annotations

import re

from ...errors import HTTPError
from ...grammar import TOKEN_BYTES
from .spool import Store

#: RFC 9112 section 7.1: hexadecimal digits, then extensions; 15 digits fit in 64 bits.
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b"
    rb"|\"(?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*\"))?)*" % (TOKEN_BYTES, TOKEN_BYTES)
)
#: Longest chunk-size line, extensions included: these are practically unused.
_MAX_LINE_BYTES = 256
#: Steps per call: a chunk that is not small takes three, some microseconds.
_STEPS_AT_ONCE = 300
#: Small chunks, complete and with a one-digit length. They are taken many at a time: one by one, a client that sends
#: nothing else would cost two microseconds per byte.
_SMALL_CHUNK = re.compile(
    b"|".join(
        b"[%x%X]\\r\\n[\\x00-\\xff]{%d}\\r\\n" % (size, size, size) for size in range(1, 16)
    )
)
#: A run of them, limited to half a millisecond of work.
_SMALL_CHUNKS = re.compile(b"(?:%b){2,4096}" % _SMALL_CHUNK.pattern)
_TRAILER_FIELD = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % TOKEN_BYTES)


class LengthBody:
    """A body with a Content-Length.

    :ivar left: bytes still to come.
    :ivar done: whether it is complete.
    """

    def __init__(self, length: int, store: Store) -> None:
        self.left = length
        self.store = store
        self.done = length == 0

    def feed(self, data: bytes) -> int:
        """Take the bytes that belong to the body; returns their number."""
        taken = min(self.left, len(data))
        self.store.append(data[:taken] if taken < len(data) else data)
        self.left -= taken
        self.done = self.left == 0
        return taken


class ChunkedBody:
    """A chunked body; ignores extensions, checks and drops trailer fields (RFC 9110 section 6.5.1).

    :param trailer_limit: most bytes of trailer fields.
    :ivar done: whether it is complete, trailers included.
    """

    def __init__(self, store: Store, trailer_limit: int = 8190) -> None:
        self.store = store
        self.done = False
        self._trailer_limit = trailer_limit
        self._left = 0
        self._kept = b""
        self._ending = False
        self._trailers: int | None = None

    def feed(self, data: bytes) -> int:
        """Take bytes that belong to the body; returns their number. Call again with the remainder.

        :raises HTTPError: 400 for bad framing, 413 past the limit.
        """
        kept = len(self._kept)
        if kept:
            data, self._kept = self._kept + data, b""
        pieces: list[bytes] = []
        position = 0
        for _ in range(_STEPS_AT_ONCE):
            if self.done or position == len(data):
                break
            taken = self._step(data, position, pieces)
            if taken == 0:
                # An incomplete line.
                self._kept, position = data[position:], len(data)
                break
            position += taken
        if pieces:
            self.store.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return position - kept

    def _step(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take one step, or many small ones; returns how many bytes it took, 0 if it needs more."""
        if self._left:
            piece = data[position : position + self._left]
            pieces.append(piece)
            self._left -= len(piece)
            self._ending = self._left == 0
            return len(piece)
        if self._ending:
            return self._end_of_chunk(data, position)
        end = data.find(b"\n", position, position + _MAX_LINE_BYTES + self._trailer_limit)
        if self._trailers is not None:
            return self._trailer(data, position, end)
        if (run := _SMALL_CHUNKS.match(data, position)) is not None:
            pieces += [chunk[3:-2] for chunk in _SMALL_CHUNK.findall(data, position, run.end())]
            return run.end() - position
        if (len(data) if end < 0 else end) - position > _MAX_LINE_BYTES:
            raise HTTPError(400, "chunk-size line too long")
        if end < 0:
            return 0
        found = _CHUNK_LINE.fullmatch(data, position, end - 1) if data[end - 1 : end] == b"\r" else None
        if found is None:
            raise HTTPError(400, "malformed chunk size")
        self._left = int(found[1], 16)
        if self._left == 0:
            self._trailers = 0
        return end + 1 - position

    def _end_of_chunk(self, data: bytes, position: int) -> int:
        ending = data[position : position + 2]
        if not b"\r\n".startswith(ending):
            raise HTTPError(400, "chunk longer than its declared size")
        if len(ending) < 2:
            return 0
        self._ending = False
        return 2

    def _trailer(self, data: bytes, position: int, end: int) -> int:
        assert self._trailers is not None
        size = (len(data) if end < 0 else end + 1) - position
        if self._trailers + size > self._trailer_limit + 2:
            raise HTTPError(431, "trailers too large")
        if end < 0:
            return 0
        line = data[position : end + 1]
        if line == b"\r\n":
            self.done = True
        elif not line.endswith(b"\r\n") or _TRAILER_FIELD.fullmatch(line, 0, len(line) - 2) is None:
            raise HTTPError(400, "malformed trailer field")
        self._trailers += size
        return size
