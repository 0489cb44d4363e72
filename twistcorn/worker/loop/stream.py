"""The two streams of a connection: its socket, with the offsets in both directions.

Law: only the thread that has the connection (`phases`) uses its streams. Bytes of a request are only peeked at until
its response begins; `consume` takes them. Nothing is closed here; `custody` closes.
"""

from __future__ import annotations

from collections.abc import Callable

from ...pristine import socket, threading
from ..process import failing
from .redo_log import RedoLog

#: Bytes offered to one send; the kernel takes as many as its buffer has room for.
SEND_BYTES = 1 << 18
#: A body of up to this many bytes is joined to its head: one copy costs less than a second buffer for the kernel.
MAX_COPIED_BYTES = 65536
#: Size of the buffers that are passed to `consume`.
SCRATCH_BYTES = 65536

#: Waits until a socket takes more; returns false when the time is over.
Wait = Callable[[socket.socket], bool]


class ClientGone(ConnectionError):
    """The client closed the connection, or read nothing for too long; it cannot be answered."""


class Stream:
    """Both directions of one connection.

    :param consumed: the offset at which the previous worker stopped reading, 0 at the first lend; `written` likewise.
    :ivar sock: this worker's copy, non-blocking.
    :ivar consumed: bytes taken from the kernel so far; `written`: bytes given to it.
    :ivar request_end: where the present request ends in the stream from the client; while the connection lingers, the
        offset up to which its bytes are dropped.
    :ivar unsent: the part of a complete answer that the kernel has not taken yet.
    :ivar keep: whether the connection stays open after the present answer.
    :ivar seen_consumed: how many of the consumed bytes `traffic` has counted; `seen_written` likewise.
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
        """Take the bytes of the present request, all of which were peeked at, from the kernel.

        :raises ClientGone: the bytes are gone.
        """
        left = self.request_end - self.consumed
        while left > 0:
            try:
                taken = self.sock.recv_into(scratch, min(left, len(scratch)))
            except OSError:
                # The client may have reset the connection after reading its answer.
                taken = 0
            if taken == 0:
                self.keep = False
                raise ClientGone
            left -= taken
        self.consumed = self.request_end

    def send(self, head: bytes, data: bytes, wait: Wait, last: bool) -> None:
        """Send, and block this thread while the client is slow.

        :param head: sent before the data, in the same segment where it fits; a large body is not copied for that.
        :param wait: waits until the socket takes more; returns false when the client's time is over.
        :param last: this completes the answer: bytes that the kernel does not take now become `unsent`; they are in
            memory anyway, and no thread has to wait.
        :raises ClientGone: the client is gone, or read nothing for too long.
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
        """Send what the kernel takes now; returns the number of bytes.

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

        :raises ClientGone: the client's time is over.
        """
        if not wait(self.sock):
            self.keep = False
            raise ClientGone

    def doubt(self, problem: OSError) -> None:
        """A send failed: if the application closed this descriptor, check whether the server's own are gone as well."""
        if failing.is_lost(problem):
            # Attribute the end of the worker to this request, whatever became of its answer.
            self._redo_log.write_thread(threading.get_ident())
            failing.doubt()
