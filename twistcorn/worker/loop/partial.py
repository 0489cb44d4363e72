"""A head that comes in pieces: how far it was looked at, what of it was taken, and when it must be.

Law: a head is left in the kernel as long as that has room for the rest of it, so that another worker could still read
it. It is taken when the kernel's memory for the connection fills up with what is left there: a receive window that is
closed by a packet of which the head's first bytes are the end never opens again, and both sides would wait.
"""

from __future__ import annotations

import struct

from ...errors import HTTPError
from ...pristine import socket
from ...settings import Settings
from ..http.request import FORBIDDEN, PEEK_BYTES

#: Looks at an incomplete head before its connection waits a moment for the next: the largest head is 22 packets.
MAX_PEEKS = 16
#: Seconds of that moment.
REST_SECONDS = 0.01
#: Seconds after which the sweep looks whether a head that does not go on is held up by the kernel's memory.
STALLED_HEAD_SECONDS = 0.5

# getsockopt(SO_MEMINFO), asm-generic/socket.h: words of memory in use for receiving, and of what may be (sock_diag.h).
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=2I")
#: The window closes when half of the memory is in use, and packets are dropped when the next one does not fit (tcp(7),
#: tcp_rmem): with a quarter there is room for one more. After `STALLED_HEAD_SECONDS` a sixteenth is enough: more than
#: a short head.
_CROWDED, _LATE = 4, 16
#: A UNIX socket charges its sender for each write, and allows some 270 that nobody takes; the receiver cannot ask.
_UNIX_PEEKS = 8


class Partial:
    """The first part of a head.

    :ivar taken: its bytes that are no longer in the kernel.
    :ivar seen: how many of all its bytes were checked.
    :ivar looks: how often there was too little.
    """

    __slots__ = ("_fields", "_line", "looks", "seen", "taken")

    def __init__(self, taken: bytes = b"") -> None:
        self.taken = taken
        self.seen = 0
        self.looks = 0
        # Where the present line begins, and how many header fields are whole.
        self._line = self._fields = -1

    def find_end(self, data: bytes, settings: Settings) -> int:
        """The length of the head at the start of the data, 0 when it is not whole; looks at each byte once.

        :raises HTTPError: it can never become one within the limits.
        """
        seen = max(0, self.seen - 3)
        end = data.find(b"\r\n\r\n", max(seen, 2 if data.startswith(b"\r\n") else 0))
        if end >= 0:
            return end + 4
        if len(data) >= PEEK_BYTES:
            raise HTTPError(431, "head too large")
        # Only a CR at the end is undecided.
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
            # White space around a value does not count.
            name, _, value = data[start:end].partition(b":")
            if len(name) + len(value.strip(b" \t")) > settings.limit_request_field_size:
                raise HTTPError(431, "header field too large")

    def must_be_taken(self, sock: socket.socket, late: bool) -> bool:
        """Whether what is left in the kernel may keep the rest of the head away.

        :param late: it has not gone on for a while.
        """
        if self.taken:
            return True
        if sock.family == socket.AF_UNIX:
            return late or self.looks > _UNIX_PEEKS
        try:
            used, most = _MEMINFO.unpack_from(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except (OSError, struct.error):
            # A kernel that does not tell.
            return late or self.looks > _UNIX_PEEKS
        return bool(used * (_LATE if late else _CROWDED) > most)
