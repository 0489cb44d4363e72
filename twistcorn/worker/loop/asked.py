"""A body that its client holds back until 100 Continue, which is sent when the application first reads.

Law: used on the thread of the turn, or on another one on which the application reads. Before the first read no byte of
the request is taken, and none written to disk; then the redo log is written first, and all of the body is taken, within
the usual limits. Once the answer has begun it is too late to ask the client (RFC 9110 section 10.1.1).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO, Any, cast

from ...errors import HTTPError
from ...pristine import select, socket, threading, time
from ...settings import Settings
from ...shelter import exposed_threads
from ..http.bodies import LengthBody
from ..http.request import Request
from ..http.spool import Spool, Store
from ..process import forks
from .connection import Connection
from .seats import Seat
from .stream import SCRATCH_BYTES, ClientGone

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: Bytes taken at once.
_PIECE_BYTES = 65536
#: Milliseconds after which an application's own thread checks again whether the answer has begun.
_CHECK_MILLISECONDS = 100


class AskedBody(io.BufferedIOBase):
    """`wsgi.input` of such a request (PEP 3333, "Input and Error Streams"), and its `Request.body`.

    :ivar refusal: the error to answer because the body did not arrive; None: it arrived, or was not asked for.
    :ivar gone: whether the client went away instead.
    """

    def __init__(self, connection: Connection, request: Request, settings: Settings, spool: Spool) -> None:
        self._connection = connection
        self._request = request
        self._spool = spool
        self._store = Store(settings.limit_request_body, spool)
        self._lock = threading.Lock()
        self._whole: IO[bytes] | None = None
        self._waits = True
        #: Why the body can no longer be read; empty while it can.
        self._over = ""
        self.refusal: HTTPError | None = None
        self.gone = False

    # For the server

    @property
    def file(self) -> IO[bytes]:
        """The file that the application reads."""
        return cast(IO[bytes], self)

    def end(self) -> None:
        """The answer begins before the body is complete: the client is not asked for it any more."""
        self._over = self._over or "the answer has begun"
        with self._lock:
            # Wait until another thread of the application has stopped reading.
            pass

    def drop(self) -> None:
        """The request is over."""
        self._over = self._over or "the request is over"
        with self._lock:
            self._come()
            self._store.drop()

    def _come(self) -> None:
        if self._waits:
            self._waits = False
            self._spool.has_come()

    # Asking the client

    def _all(self) -> IO[bytes]:
        """Return the whole body; the first call asks the client for it.

        :raises ClientGone: the body does not arrive, or there is no room for it.
        """
        if self._whole is not None:
            return self._whole
        if not forks.mark[0]:
            raise ClientGone("this process was forked: only its parent can read the request's body")
        found: Any = exposed_threads.get(threading.get_ident())
        seat: Seat | None = found if found is not None and found.exposed is self._connection else None
        if seat is not None:
            # Our own code follows, and waits for the client: no RequestTimeout may be raised in it.
            seat.shield()
        try:
            with self._lock:
                if self._whole is None:
                    self._whole = self._ask(seat)
                return self._whole
        finally:
            if seat is not None:
                self._connection.redo_log.restart_clock(time.monotonic_ns())
                seat.exposed = self._connection

    def _ask(self, seat: Seat | None) -> IO[bytes]:
        try:
            if not self._over:
                self._begin(seat)
                self._receive(seat)
        except HTTPError as error:
            self.refusal, self._over = error, error.reason
        except (ClientGone, OSError):
            # If the answer has begun meanwhile, reading stopped for that reason.
            self.gone = not self._over
            self._over = self._over or "the client is gone"
        self._come()
        if self._over:
            self._store.drop()
            raise ClientGone(f"request body not received: {self._over}")
        self._request.expects = False
        return self._store.close_body().file

    def _begin(self, seat: Seat | None) -> None:
        """Take the head, and send 100 Continue unless the client has begun to send the body."""
        connection = self._connection
        connection.redo_log.write_asked()
        connection.stream.consume(bytearray(SCRATCH_BYTES) if seat is None else seat.scratch)
        try:
            begun = bool(connection.stream.sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            begun = False
        if not begun:
            connection.stream.send(
                b"", CONTINUE, lambda sock: self._wait(seat, select.POLLOUT) and not self._over, False
            )

    def _receive(self, seat: Seat | None) -> None:
        connection, body = self._connection, LengthBody(self._request.block.length, self._store)
        while not body.done and not self._over:
            try:
                data = connection.stream.sock.recv(min(body.left, _PIECE_BYTES))
            except BlockingIOError:
                if not self._wait(seat, select.POLLIN):
                    raise HTTPError(408, "the client took too long to send the request") from None
                continue
            if not data:
                raise ClientGone
            connection.stream.request_end += len(data)
            connection.stream.consumed += len(data)
            connection.redo_log.restart_clock(time.monotonic_ns())
            body.feed(data)

    def _wait(self, seat: Seat | None, event: int) -> bool:
        """Wait for the client, while a stand-in may run instead; returns False after the body time-out."""
        timeout = self._spool.settings.body_timeout
        if seat is not None:
            return seat.await_client(self._connection.stream.sock, timeout, event)
        poll = select.poll()
        poll.register(self._connection.stream.sock, event)
        end = time.monotonic() + timeout
        while not self._over and time.monotonic() < end:
            if poll.poll(_CHECK_MILLISECONDS):
                return True
        return bool(self._over)

    # For the application

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._all().read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def readinto(self, buffer: Any, /) -> int:
        return cast(Any, self._all()).readinto(buffer)  # type: ignore[no-any-return]

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._all().readline(-1 if size is None else size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        return self._all().readlines(-1 if hint is None else hint)

    def __next__(self) -> bytes:
        return next(self._all())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._all().seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._whole is None else self._whole.tell()

    def fileno(self) -> int:
        return self._all().fileno()

    def write(self, data: Any, /) -> int:
        raise io.UnsupportedOperation("write")

    def writelines(self, lines: Iterable[Any], /) -> None:
        raise io.UnsupportedOperation("write")
