"""The heads of requests, with those seen lately at hand: clients repeat them on a connection, and among each other.

Law: pure; what is remembered was read by `http` and passed all its checks, byte for byte, so that a repeated head means
what it meant before; with other limits all is forgotten. Bounded in number and size.
"""

from __future__ import annotations

from ...settings import Settings
from .request import HeaderBlock, Request, RequestLine, find_head, parse_head, parse_line

#: Request lines, and blocks of header fields, that are remembered. When there are more, all are forgotten: clients that
#: never repeat themselves cost the others little more than nothing.
MAX_LINES = 1024
MAX_BLOCKS = 512
#: Bytes of the longest that is remembered; with what is made of it a block of this size takes some 8 KiB.
MAX_LINE_BYTES = 512
MAX_BLOCK_BYTES = 2048


class Heads:
    """Reads heads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._whole: dict[bytes, Request] = {}
        self._lines: dict[bytes, RequestLine] = {}
        self._blocks: dict[bytes, HeaderBlock] = {}

    def configure(self, settings: Settings) -> None:
        """From now on these limits count: what was read with others is forgotten."""
        self._settings = settings
        for known in (self._whole, self._lines, self._blocks):
            known.clear()

    def read(self, data: bytes) -> Request | None:
        """The request whose head stands at the start of the data; None while that is not whole.

        :raises HTTPError: it is refused.
        """
        request = self._whole.get(data)
        if request is not None:
            return request
        end = data.find(b"\r\n")
        size = data.find(b"\r\n\r\n", end) + 4
        block = self._blocks.get(data[end:size])
        if block is None:
            return self._read_anew(data)
        line = self._lines.get(data[:end])
        if line is None:
            line = self._learn_line(data[:end])
            if line is None:
                return self._read_anew(data)
        request = Request(line, block, size)
        if block.length == 0 and size == len(data) <= MAX_BLOCK_BYTES:
            # Nothing in it changes, so that all who ask for this can share it.
            if len(self._whole) >= MAX_LINES:
                self._whole.clear()
            self._whole[data] = request
        return request

    def _learn_line(self, text: bytes) -> RequestLine | None:
        line = parse_line(text, self._settings)
        if line is not None and len(text) <= MAX_LINE_BYTES:
            if len(self._lines) >= MAX_LINES:
                self._lines.clear()
            self._lines[text] = line
        return line

    def _read_anew(self, data: bytes) -> Request | None:
        size = find_head(data, self._settings)
        if size == 0:
            return None
        request = parse_head(data[:size], self._settings)
        end = data.find(b"\r\n")
        # One behind an empty line is not at the start, and what a block says depends on the version.
        if end > 0 and size - end <= MAX_BLOCK_BYTES and request.line.version == (1, 1):
            if len(self._blocks) >= MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[data[end:size]] = request.block
        return request
