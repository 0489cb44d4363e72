"""A head that arrives in pieces: how much of it is checked, which bytes are taken, and when they must be taken.

Law: a head stays in the kernel while there is room for its remainder, so that another worker could still read it. It is
taken when it fills up the kernel's memory for the connection: the receive window closes then, and does not open again
before bytes are taken, so client and server would both wait.
"""

from __future__ import annotations

import struct

from ...errors import HTTPError
from ...pristine import socket
from ...settings import Settings
from ..http.request import FORBIDDEN, PEEK_BYTES

#: Peeks at an incomplete head before its connection rests after each: the largest head is 22 packets.
MAX_PEEKS = 16
#: Seconds of that rest.
REST_SECONDS = 0.01
#: Seconds after which the sweeper checks whether a stalled head is held up by the kernel's memory.
STALLED_HEAD_SECONDS = 0.5

# getsockopt(SO_MEMINFO), asm-generic/socket.h: the memory in use for receiving, and its limit (sock_diag.h).
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=2I")
#: Divisors of that limit. The window closes when half of the memory is in use, and packets are dropped when the next
#: does not fit (tcp(7), tcp_rmem): at a quarter there is room for one more. After `STALLED_HEAD_SECONDS` a sixteenth
#: counts as full: more than a short head.
_CROWDED, _LATE = 4, 16
#: A UNIX socket charges its sender for each write, and allows some 270 unread ones; the receiver cannot query that.
_UNIX_PEEKS = 8


class Partial:
    """An incomplete head.

    :ivar taken: those of its bytes that are no longer in the kernel.
    :ivar seen: how many of its bytes are checked.
    :ivar looks: how often it was found incomplete.
    """

    __slots__ = ("_fields", "_line", "looks", "seen", "taken")

    def __init__(self, taken: bytes = b"") -> None:
        self.taken = taken
        self.seen = 0
        self.looks = 0
        # Where the present line begins, and how many header fields are complete.
        self._line = self._fields = -1

    def find_end(self, data: bytes, settings: Settings) -> int:
        """Return the length of the head at the start of the data, 0 when incomplete; checks each byte once.

        :raises HTTPError: the data cannot become a head within the limits.
        """
        seen = max(0, self.seen - 3)
        end = data.find(b"\r\n\r\n", max(seen, 2 if data.startswith(b"\r\n") else 0))
        if end >= 0:
            return end + 4
        if len(data) >= PEEK_BYTES:
            raise HTTPError(431, "head too large")
        # Only a trailing CR is undecided.
        whole = len(data) - data.endswith(b"\r")
        if (bad := FORBIDDEN.search(data, seen, whole)) is not None:
            raise HTTPError(400, f"forbidden character at offset {bad.start()}")
        self._check_lines(data, whole, settings)
        self.seen = len(data)
        return 0

    def _check_lines(self, data: bytes, end: int, settings: Settings) -> None:
        if self._line < 0:
            if len(data) < 2:
                return
            self._line = 2 if data.startswith(b"\r\n") else 0
        while (line := data.find(b"\r\n", max(self._line, self.seen - 1))) >= 0:
            self._check_line(data, self._line, line, settings)
            self._fields += 1
            self._line = line + 2
        if self._fields > settings.limit_request_fields:
            raise HTTPError(431, "too many header fields")
        self._check_line(data, self._line, end, settings)

    def _check_line(self, data: bytes, start: int, end: int, settings: Settings) -> None:
        size = end - start
        if self._fields < 0:
            if size > settings.limit_request_line:
                raise HTTPError(414, "request line too long")
        elif size > settings.limit_request_field_size:
            # Optional white space around a value does not count.
            name, _, value = data[start:end].partition(b":")
            if len(name) + len(value.strip(b" \t")) > settings.limit_request_field_size:
                raise HTTPError(431, "header field too large")

    def must_be_taken(self, sock: socket.socket, late: bool) -> bool:
        """Whether the bytes left in the kernel may block the remainder of the head.

        :param late: no byte has arrived for a while.
        """
        if self.taken:
            return True
        if sock.family == socket.AF_UNIX:
            return late or self.looks > _UNIX_PEEKS
        try:
            used, most = _MEMINFO.unpack_from(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except (OSError, struct.error):
            # The kernel does not report it.
            return late or self.looks > _UNIX_PEEKS
        return bool(used * (_LATE if late else _CROWDED) > most)
