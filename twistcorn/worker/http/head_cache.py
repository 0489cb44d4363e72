"""A cache of parsed request heads: clients repeat them, on one connection and between connections.

Law: pure. An entry has passed all checks of `request`, and matches byte for byte, so that a repeated head means what it
meant before. New limits clear the cache. Bounded in number and size.
"""

from __future__ import annotations

from ...settings import Settings
from .request import HeaderBlock, Request, RequestLine, find_head, parse_head, parse_line

#: Cached request lines, and header blocks. A full cache is cleared: clients that never repeat a head cost the others
#: next to nothing.
MAX_LINES = 1024
MAX_BLOCKS = 512
#: Bytes of the longest one cached; with what is derived from it, a block of this size takes some 8 KiB.
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
        """Apply the settings, and clear what was read under other limits."""
        self._settings = settings
        for known in (self._whole, self._lines, self._blocks):
            known.clear()

    def read(self, data: bytes) -> Request | None:
        """The request whose head starts the data; None while the head is incomplete.

        :raises HTTPError: the request is refused.
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
            # It never changes, so all requests with this head share it.
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
        # Not after an empty line, as the block then starts elsewhere; 1.1 only, as a block's meaning depends on it.
        if end > 0 and size - end <= MAX_BLOCK_BYTES and request.line.version == (1, 1):
            if len(self._blocks) >= MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[data[end:size]] = request.block
        return request
