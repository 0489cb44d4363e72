"""Calls a WSGI application: the same code for every source of requests (PEP 3333).

Law: knows the app's side only. The response goes to an `Out`: one of the worker's own connections (`reply.Reply`), or a
`twisted.web` request (`resource.RequestOut`). `close()` is always called, exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import RequestTimeout
from ...pristine import sys, time
from ...shelter import hide, leave, show
from ..http import responses
from ..http.responses import Fields
from ..loop.stream import ClientGone
from ..process import forks
from .files import FileWrapper

#: Bodies of these types are complete if they have one piece; they have no close().
_KNOWN = (list, tuple)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


#: Nanoseconds of empty pieces between two checks of the client: nothing is sent that would reveal a closed connection.
CHECK_NANOSECONDS = 100_000_000


class NoBodyIsDue(ClientGone):
    """The response ends with its head (HEAD, 204, 304): no client would read a further write."""


class Out(Protocol):
    """Where a response goes: one `begin`, any number of `more`, then either `end` or `cut`.

    :ivar is_head: whether the request is a HEAD, which gets no body.
    :ivar name: method, path and request id, for the log.
    """

    @property
    def is_head(self) -> bool:
        """See above."""

    @property
    def name(self) -> str:
        """See above; built on demand."""

    def begin(self, status: str, fields: Fields, data: bytes, whole: bool) -> None:
        """Send the head and the first bytes; `whole`: nothing follows."""

    def send_file(self, status: str, fields: Fields, descriptor: int, offset: int, size: int) -> bool:
        """Send a part of a file as the complete response, without `end`; returns whether the file had all of it."""

    def more(self, data: bytes) -> None:
        """Send more of the body."""

    def check_client(self) -> None:
        """Check the client: the body has produced nothing for a while.

        :raises ClientGone: the client has closed the connection.
        """

    def end(self) -> None:
        """End a complete body."""

    def cut(self) -> None:
        """End a truncated body, in a way that the client notices."""


class Call:
    """One call of the application.

    :param out: where the response goes.
    :param sends_files: whether `out` can send files.
    """

    log = Logger()
    _status: str | None = None
    _fields: Fields
    _begun = False
    _left: int | None = None
    _bodiless = False
    _surplus = False
    _looked = 0

    def __init__(self, out: Out, sends_files: bool = False) -> None:
        self.out = out
        self._sends_files = sends_files

    def run(self, application: Application, environ: dict[str, Any]) -> None:
        """Call the application and send its response. Raises nothing."""
        iterable: Any = None
        try:
            iterable = application(environ, self.start_response)
            if not forks.mark[0]:
                forks.leave()
            if iterable.__class__ in _KNOWN and len(iterable) == 1 and not self._begun:
                chunk, iterable = iterable[0], None
                self._first(chunk, True)
                if self._left:
                    self._close_reply()
                else:
                    self.out.end()
                return
            if type(iterable) is FileWrapper and not self._begun and self._send_file(iterable):
                return
            if not self._bodiless:
                self._iterate(iterable)
            # The body is complete, whatever close() does now; but close() comes before the client sees the end.
            closing, iterable = iterable, None
            self._close(closing)
            forks.leave_if_forked()
            self._close_reply()
        except NoBodyIsDue:
            forks.leave_if_forked()
            self.out.end()
        except ClientGone:
            forks.leave_if_forked()
        except BaseException:
            # Any exception of the app, SystemExit included, ends this request and nothing else.
            self._failed()
        finally:
            if iterable is not None:
                self._close(iterable)
                forks.leave_if_forked()

    def _iterate(self, iterable: Iterable[bytes]) -> None:
        """Send all pieces; stop early when no body is sent, or Content-Length is reached."""
        for chunk in iterable:
            if not forks.mark[0]:
                forks.leave()
            if chunk:
                self.write(chunk)
                if self._bodiless or self._surplus:
                    return
            elif self._status is not None and self._is_bodiless():
                return
            else:
                self._check_client_sometimes()

    def _check_client_sometimes(self) -> None:
        """An empty piece: check now and then that the client is still there."""
        now = time.monotonic_ns()
        if not self._looked:
            self._looked = now
        elif now - self._looked > CHECK_NANOSECONDS:
            self._looked = now
            self.out.check_client()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[..., None]:
        """The `start_response` callable of PEP 3333."""
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        checked = responses.check_status(status)
        self._fields = fields = responses.check_fields(headers)
        self._status = checked
        if fields.dropped:
            hidden = hide()
            try:
                self.log.warn(
                    "{name}: dropped {fields} sent by the application: only the server sets them",
                    name=self.out.name, fields=", ".join(fields.dropped),
                )  # fmt: skip
            finally:
                show(hidden)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body now.

        :raises ClientGone: the client is gone.
        """
        if not forks.mark[0]:
            raise ClientGone("this process was forked: only its parent can answer")
        if not self._begun:
            self._first(data, False)
            return
        if self._bodiless:
            raise NoBodyIsDue("the response has no body: it is complete")
        if self._left is not None:
            data = self._police(data)
        if data:
            self.out.more(data)
        else:
            self._check_client_sometimes()

    def _first(self, data: bytes, whole: bool) -> None:
        if self._status is None:
            raise AssertionError("the application did not call start_response")
        if self._status[0] == "1":
            # The client would keep waiting for the final response (RFC 9110 section 15.2).
            raise ValueError(f"status must be final, not {self._status!r}")
        if data.__class__ is not bytes and not isinstance(data, bytes):
            raise TypeError(f"Can only write bytes to a transport, not {data!r}")
        fields = self._fields
        if not whole:
            self._bodiless = self._is_bodiless()
        if fields.length is not None:
            if fields.length == len(data):
                self._left = 0
                whole = True
            else:
                self._left = fields.length
                data = self._police(data)
                whole = self._left == 0
        self._begun = True
        self.out.begin(self._status, fields, data, whole)

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Send a file without reading it, if possible; returns whether it was sent."""
        part = wrapper.part()
        if part is None or self._status is None or not self._sends_files:
            return False
        descriptor, offset, size = part
        wanted = self._fields.length
        if wanted is not None and wanted < size:
            size = wanted
        self._begun = True
        whole = self.out.send_file(self._status, self._fields, descriptor, offset, size)
        if not whole or (wanted is not None and wanted > size and not self._is_bodiless()):
            self.log.warn("{name}: file shorter than its Content-Length; closing connection", name=self.out.name)
            self.out.cut()
        return True

    def _police(self, data: bytes) -> bytes:
        """Cut the data off at Content-Length."""
        assert self._left is not None
        if not isinstance(data, bytes):
            raise TypeError(f"Can only write bytes to a transport, not {data!r}")
        if len(data) > self._left:
            if not self._surplus:
                self._surplus = True
                hidden = hide()
                try:
                    self.log.warn("{name}: body longer than its Content-Length; truncated", name=self.out.name)
                finally:
                    show(hidden)
            data = data[: self._left]
        self._left -= len(data)
        return data

    def _close_reply(self) -> None:
        if not self._begun:
            self._first(b"", True)
        if self._left and not self._is_bodiless():
            leave()
            self.log.warn(
                "{name}: body {left} bytes shorter than its Content-Length; closing connection",
                name=self.out.name, left=self._left,
            )  # fmt: skip
            self.out.cut()
        else:
            self.out.end()

    def _is_bodiless(self) -> bool:
        """Whether no body is sent, so that Content-Length describes another response (RFC 9110 section 6.4.1)."""
        return self.out.is_head or (self._status or "")[:3] in ("204", "304")

    def _failed(self) -> None:
        leave()
        kind, value, traceback = sys.exc_info()
        forks.leave_if_forked(value)
        late = isinstance(value, RequestTimeout)
        self.log.failure(
            "{name}: the application {did}", failure=Failure(value, kind, traceback), name=self.out.name,
            did="took too long" if late else "raised",
        )  # fmt: skip
        try:
            if self._begun and (self._left == 0 or self._is_bodiless()):
                # The application raised after its last byte: the response is complete.
                self.out.end()
            elif self._begun:
                self.out.cut()
            else:
                self._begun = True
                self.out.begin(*responses.plain(504 if late else 500), True)
                self.out.end()
        except ClientGone:
            pass

    def _close(self, iterable: Any) -> None:
        try:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        except BaseException:
            leave()
            self.log.failure("{name}: close() of the application's iterable raised", name=self.out.name)

