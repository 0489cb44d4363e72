"""The access log of one worker: what is noted of a request that it answered, or refused.

Law: a note costs little and never waits; lines and files are `logs.access`'.
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

    :param attach: is told the log when it is on, and None when it is off.
    """

    def __init__(self, clock: Any, worker: int, attach: Callable[[AccessLog | None], None]) -> None:
        super().__init__(clock, worker, lambda on: attach(self if on else None))

    def configure(self, settings: Settings) -> None:
        """Be as the settings say from now on."""
        self.set(settings.access_log, settings.access_log_format)

    def note(self, connection: Connection, reply: Reply, start: int) -> None:
        """A request was answered, as far as its thread is concerned."""
        request, environ = reply.request, reply.environ
        head = reply.head
        # Its own middleware may know the client better. What is ours is not taken from there.
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
        """A request was refused before it was whole."""
        now, request = time.monotonic_ns(), connection.request
        entry = Entry()
        entry.start = entry.end = now
        entry.code, entry.address = code, connection.peer[0]
        if request is not None:
            entry.line, entry.block = request.line, request.block
        entry.keep = False
        self._noted.append(entry)

    def finished(self, connection: Connection) -> None:
        """The client has taken the rest of an answer, or never will."""
        entry, connection.entry = connection.entry, None
        if entry is not None and entry.open:
            entry.open = False
            entry.rest = time.monotonic_ns() - entry.end
            entry.whole = entry.whole and connection.stream.unsent is None
            entry.sent = max(0, connection.stream.written - entry.base)
            self._noted.append(entry)


def _as_text(value: object) -> str:
    """A variable of the environ: the application may have put anything there, also what is no text and cannot be."""
    try:
        return str(value)
    except BaseException:
        # Whatever the application raises there, SystemExit too, takes no line from the log.
        return ""
