"""The access log of one worker: requests are noted as they end, and written a moment later, many at once.

Law: a note costs little and never waits; lines are made between rounds of the loop and by timer, on the leader's
thread, and written by a `sink`'s. What is not written when the process is killed is at most what the last moment
brought; in an orderly end everything is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..atoms import JSON
from ..logs.events import as_json, own
from ..logs.sink import Sink, plain
from ..settings import Settings
from .connection import Connection
from .entries import Entry
from .lines import Lines, compile_format
from .reply import Reply

#: Seconds between two times at which all that was noted is written: what a crash can lose.
MOMENT = 0.1
#: Entries that are written between two rounds of the loop, when there are so many: half a millisecond of work.
BATCH = 128


class AccessLog:
    """The access log, on or off.

    :param attach: is told the log when it is on, and None when it is off.
    """

    log = Logger()

    def __init__(self, clock: Any, worker: int, attach: Callable[[AccessLog | None], None]) -> None:
        self._worker = worker
        self._attach = attach
        self._target = self._format = ""
        self._sink: Sink | None = None
        self._lines: Lines
        self._noted: deque[Entry] = deque()
        self._writing = LoopingCall(self.write)
        self._writing.clock = clock

    # What there is and how it looks

    def configure(self, settings: Settings) -> None:
        """Be as the settings say from now on; a file that cannot be opened is told, and what was there stays."""
        target, text = settings.access_log, settings.access_log_format
        if target != self._target:
            try:
                sink = self._open(target)
            except OSError as problem:
                self.log.error(
                    "cannot open the access log {path}: {why}", path=target, why=problem.strerror or str(problem)
                )
                return
            self._change(sink)
            self._target = target
        if text != self._format:
            self.write()
            self._lines, self._format = compile_format(text, self._worker), text
        self._attach(self if self._sink is not None else None)

    def _open(self, target: str) -> Sink | None:
        """
        :raises OSError: the file cannot be opened.
        """
        if not target:
            return None
        return Sink(descriptor=1, say=self._say) if target == "-" else Sink(target, say=self._say)

    def _say(self, text: str, lost: int) -> bytes:
        """A line of the sink's own: whoever reads JSON gets nothing else."""
        return as_json(own(text, lost), self._worker).encode() if self._format == JSON else plain(text, lost)

    def _change(self, sink: Sink | None) -> None:
        self.write()
        old, self._sink = self._sink, sink
        if old is not None:
            old.close(timeout=0)
        if sink is None:
            self._writing.stop()
        elif not self._writing.running:
            self._writing.start(MOMENT, now=False)

    def reopen(self) -> None:
        """Go on in a new file under the name: the old one was moved away."""
        if self._sink is not None:
            self.write()
            self._sink.reopen()

    def close(self) -> None:
        """The process ends: write everything."""
        if self._sink is not None:
            self.write()
            self._sink.flush()

    # What happened

    def note(self, connection: Connection, reply: Reply, start: int) -> None:
        """A request was answered, as far as its thread is concerned."""
        request, environ = reply.request, reply.environ
        head = reply.head
        address = connection.peer[0] if environ is None else environ.get("REMOTE_ADDR", "")
        if address.__class__ is not str:
            address = _as_text(address)
        entry = connection.entry = Entry()
        entry.start, entry.end, entry.code = start, time.monotonic_ns(), reply.code
        entry.line, entry.block, entry.address = request.line, request.block, address
        entry.ident = reply.ident
        entry.keep = connection.keep
        if environ is not None:
            if self._lines.wants_past:
                entry.queued = environ.get("twistcorn.queue_time", 0.0)
                entry.attempt = environ.get("twistcorn.attempt", 1)
            if self._lines.wanted:
                entry.values = {name: _as_text(environ.get(name, "")) for name in self._lines.wanted}
        if head is not None and self._lines.wants_head:
            entry.head = head.data
        if connection.made is not None:
            assert head is not None
            entry.sent = head.length or 0
        elif head is not None:
            entry.waited = reply.waited
            entry.base = connection.written_before + reply.head_size + reply.framing_size
            entry.whole = reply.whole
            entry.sent = max(0, connection.written - entry.base)
            if connection.rest is not None:
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
            entry.whole = entry.whole and connection.rest is None
            entry.sent = max(0, connection.written - entry.base)
            self._noted.append(entry)

    # Lines

    def between_rounds(self) -> None:
        """Write some, when there are many."""
        if len(self._noted) >= BATCH:
            self._write_some(BATCH)

    def write(self) -> None:
        """Write all that was noted."""
        while self._noted:
            self._write_some(BATCH)

    def _write_some(self, most: int) -> None:
        noted, lines = self._noted, self._lines
        lines.offset = time.time_ns() - time.monotonic_ns()
        made = []
        for _ in range(min(most, len(noted))):
            entry = noted.popleft()
            # An open one comes again when it is over.
            if not entry.open:
                try:
                    made.append(lines.line(entry))
                except Exception:
                    # The application may have put anything into its environ.
                    self.log.failure("internal error in the access log")
        if made and self._sink is not None:
            self._sink.write("".join(made).encode("ascii", "backslashreplace"), len(made))


def _as_text(value: object) -> str:
    """A variable of the environ: the application may have put anything there, also what is no text and cannot be."""
    try:
        return str(value)
    except Exception:
        return ""
