"""The two streams of a connection: its socket, and how far they have come.

Law: whoever has the connection (`phases`) uses its streams, and nobody else. Bytes of a request are only looked at
until its response begins; `consume` takes them. Nothing is closed here; `poller` does that.
"""

from __future__ import annotations

from collections.abc import Callable

from ...pristine import socket, threading
from ..process import failing
from .redo_log import RedoLog

#: One send: the kernel takes what its buffer has room for.
SEND_BYTES = 1 << 18
#: A body up to here is put behind its head in memory: one copy costs less than a second piece for the kernel.
MAX_COPIED_BYTES = 65536
#: Bytes of the buffers that `consume` is given.
SCRATCH_BYTES = 65536

#: Waits until a socket takes more; false when time is over.
Wait = Callable[[socket.socket], bool]


class ClientGone(ConnectionError):
    """The client closed the connection, or took nothing for too long; there is nobody to answer."""


class Stream:
    """Both directions of one connection.

    :param consumed: where the last holder left off, zero on a connection that was lent for the first time; `written`
        likewise.
    :ivar sock: this worker's copy, non-blocking.
    :ivar consumed: bytes taken from the kernel so far; `written` bytes given to it.
    :ivar request_end: where the present request ends in the stream from the client; while it closes: how much of that
        is taken at most.
    :ivar unsent: what the client has not taken of an answer that is whole.
    :ivar keep: whether the connection goes on after the present answer.
    :ivar seen_consumed: how many of those bytes `traffic` has counted; `seen_written` likewise.
    """

    __slots__ = (
        "_redo_log", "consumed", "keep", "request_end", "seen_consumed", "seen_written", "sock", "unsent", "written",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, redo_log: RedoLog, consumed: int, written: int) -> None:
        self.sock = sock
        self._redo_log = redo_log
        self.consumed = self.request_end = self.seen_consumed = consumed
        self.written = self.seen_written = written
        self.unsent: memoryview | None = None
        self.keep = False

    def consume(self, scratch: bytearray) -> None:
        """Take the present request's bytes, all of which were seen, from the kernel.

        :raises ClientGone: they are not there any more.
        """
        left = self.request_end - self.consumed
        while left > 0:
            try:
                taken = self.sock.recv_into(scratch, min(left, len(scratch)))
            except OSError:
                # A client that has read its answer may have reset the connection.
                taken = 0
            if taken == 0:
                self.keep = False
                raise ClientGone
            left -= taken
        self.consumed = self.request_end

    def send(self, head: bytes, data: bytes, wait: Wait, last: bool) -> None:
        """Send, waiting in this thread for the client as far as that must be.

        :param head: goes before the data, in the same segment where that fits; a large body is not copied for it.
        :param wait: waits until the socket takes more; false when the client's time is over.
        :param last: the answer is whole with this: what the client does not take now becomes `unsent`, which is in
            memory anyway and needs no thread.
        :raises ClientGone: the client is gone, or took nothing for too long.
        """
        if len(data) <= MAX_COPIED_BYTES:
            head, data = b"", head + data
        try:
            sent = self.sock.sendmsg((head, data)) if head else self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.doubt(error)
            self.keep = False
            raise ClientGone from error
        self.written += sent
        if sent < len(head):
            self._send_remainder(memoryview(head)[sent:], wait, False)
            sent = len(head)
        if sent < len(head) + len(data):
            self._send_remainder(memoryview(data)[sent - len(head) :], wait, last)

    def _send_remainder(self, left: memoryview, wait: Wait, last: bool) -> None:
        if last:
            self.unsent = left
            return
        while left:
            self.await_client(wait)
            left = left[self.send_some(left) :]

    def send_some(self, data: memoryview) -> int:
        """Send what the kernel takes now; returns how many bytes that was.

        :raises ClientGone: the client is gone.
        """
        try:
            sent = self.sock.send(data[:SEND_BYTES])
        except BlockingIOError:
            return 0
        except OSError as error:
            self.doubt(error)
            self.keep = False
            raise ClientGone from error
        self.written += sent
        return sent

    def await_client(self, wait: Wait) -> None:
        """Wait until the client takes more.

        :raises ClientGone: it does not.
        """
        if not wait(self.sock):
            self.keep = False
            raise ClientGone

    def doubt(self, problem: OSError) -> None:
        """Nothing could be sent: where the application has closed the descriptor, ours may be gone, too."""
        if failing.is_lost(problem):
            # It is this request that is to be told of, whatever has become of its answer.
            self._redo_log.write_thread(threading.get_ident())
            failing.doubt()
