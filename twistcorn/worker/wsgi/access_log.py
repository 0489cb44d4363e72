"""The access log of one worker: records each request that it answers or refuses.

Law: recording is cheap and never waits. `logs.access` formats the lines and writes the files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...logs.access import EntryLog
from ...logs.entries import Entry
from ...pristine import time
from ...settings import Settings
from ..loop.connection import Connection
from .reply import Reply


class AccessLog(EntryLog):
    """The access log of a worker, on or off.

    :param attach: called with the log when it is on, with None when it is off.
    """

    def __init__(self, clock: Any, worker: int, attach: Callable[[AccessLog | None], None]) -> None:
        super().__init__(clock, worker, lambda on: attach(self if on else None))

    def configure(self, settings: Settings) -> None:
        """Apply the settings."""
        self.set(settings.access_log, settings.access_log_format)

    def log_request(self, connection: Connection, reply: Reply, start: int) -> None:
        """Record a request whose thread is done with it; the client may still be reading."""
        request, environ = reply.request, reply.environ
        head = reply.head
        # The application's middleware may know the client better. Our own facts do not come from the environ.
        address = connection.peer[0] if environ is None else environ.get("REMOTE_ADDR", connection.peer[0])
        if address.__class__ is not str:
            address = _as_text(address)
        entry = connection.entry = Entry()
        entry.start, entry.end, entry.code = start, time.monotonic_ns(), reply.code
        entry.line, entry.block, entry.address = request.line, request.block, address
        entry.ident = reply.ident
        entry.keep = connection.stream.keep
        if environ is not None:
            if self._lines.wants_past:
                entry.queued, entry.attempt = reply.queued, reply.attempt
            if self._lines.wanted:
                entry.values = {name: _as_text(environ.get(name, "")) for name in self._lines.wanted}
        if head is not None and self._lines.wants_head:
            entry.head = head.data
        if connection.answer is not None:
            assert head is not None
            entry.sent = head.length or 0
        elif head is not None:
            entry.waited = reply.waited
            entry.base = connection.redo_log.written_before + reply.head_size + reply.framing_size
            entry.whole = reply.whole
            entry.sent = max(0, connection.stream.written - entry.base)
            if connection.stream.unsent is not None:
                entry.open = True
                return
        else:
            entry.whole = False
        self._noted.append(entry)

    def refused(self, connection: Connection, code: int) -> None:
        """Record a request refused before it was complete."""
        now, request = time.monotonic_ns(), connection.request
        entry = Entry()
        entry.start = entry.end = now
        entry.code, entry.address = code, connection.peer[0]
        if request is not None:
            entry.line, entry.block = request.line, request.block
        entry.keep = False
        self._noted.append(entry)

    def finished(self, connection: Connection) -> None:
        """Record a response that the client has read to the end, or abandoned."""
        entry, connection.entry = connection.entry, None
        if entry is not None and entry.open:
            entry.open = False
            entry.rest = time.monotonic_ns() - entry.end
            entry.whole = entry.whole and connection.stream.unsent is None
            entry.sent = max(0, connection.stream.written - entry.base)
            self._noted.append(entry)


def _as_text(value: object) -> str:
    """Text of an environ variable; the application may have put any object there, even one whose str() raises."""
    try:
        return str(value)
    except BaseException:
        # No exception from the application, SystemExit included, may cost a log line.
        return ""
