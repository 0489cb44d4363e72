"""The access log of one process: takes an entry as each request ends, and writes many of them at once shortly after.

Law: adding an entry is cheap and never waits. Lines are formatted between rounds of the loop and by timer, and written
by a `sink`'s thread. A kill loses at most the last WRITE_INTERVAL_SECONDS; an orderly exit loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from ..atoms import JSON
from ..pristine import time
from ..recurring import Recurring
from .entries import Entry
from .events import as_json, own
from .lines import Lines, compile_format
from .sink import Sink, plain

#: Seconds between two writes of all entries: what a crash can lose.
WRITE_INTERVAL_SECONDS = 0.1
#: Entries that trigger a write between two rounds of the loop, and the size of one batch: half a millisecond of work.
MAX_UNWRITTEN_ENTRIES = 128


class EntryLog:
    """Writes entries as lines; on or off.

    :param worker: the number of the worker, 0 for the master.
    :param attach: called with whether the log is on, whenever that may have changed.
    """

    log = Logger()

    def __init__(self, clock: Any, worker: int, attach: Callable[[bool], None]) -> None:
        self._worker = worker
        self._attach = attach
        self._target = self._format = ""
        self._sink: Sink | None = None
        self._lines: Lines
        self._noted: deque[Entry] = deque()
        self._writing = Recurring(clock, "the access log", self.write)

    def set(self, target: str, text: str) -> None:
        """Set target and format of the log: a file, `-` for standard output, empty for off.

        If the file cannot be opened, the error is logged and the old target stays.
        """
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
        self._attach(self._sink is not None)

    def _open(self, target: str) -> Sink | None:
        """
        :raises OSError: the file cannot be opened.
        """
        if not target:
            return None
        return Sink(descriptor=1, say=self._format_loss) if target == "-" else Sink(target, say=self._format_loss)

    def _format_loss(self, text: str, lost: int) -> bytes:
        """A line of the sink itself, in JSON if the log is in JSON."""
        return as_json(own(text, lost), self._worker).encode() if self._format == JSON else plain(text, lost)

    def _change(self, sink: Sink | None) -> None:
        self.write()
        old, self._sink = self._sink, sink
        if old is not None:
            old.close(timeout=0)
        if sink is None:
            self._writing.stop()
        elif not self._writing.running:
            self._writing.start(WRITE_INTERVAL_SECONDS, now=False)

    def reopen(self) -> None:
        """Reopen the file by name: the old one was moved away."""
        if self._sink is not None:
            self.write()
            self._sink.reopen()

    def close(self) -> None:
        """Write everything; the process ends."""
        if self._sink is not None:
            self.write()
            self._sink.flush()

    def end(self) -> Sink | None:
        """Stop taking entries; returns the sink of the last lines, for a caller that can wait to close it."""
        if self._sink is None:
            return None
        self.write()
        sink, self._sink, self._target = self._sink, None, ""
        self._writing.stop()
        self._attach(False)
        return sink

    def add_entry(self, entry: Entry) -> None:
        """Add the entry of a finished request."""
        self._noted.append(entry)

    def between_rounds(self) -> None:
        """Write a batch, if there is one."""
        if len(self._noted) >= MAX_UNWRITTEN_ENTRIES:
            self._write_some(MAX_UNWRITTEN_ENTRIES)

    def write(self) -> None:
        """Write all entries."""
        while self._noted:
            self._write_some(MAX_UNWRITTEN_ENTRIES)

    def _write_some(self, most: int) -> None:
        noted, lines = self._noted, self._lines
        lines.offset = time.time_ns() - time.monotonic_ns()
        made = []
        for _ in range(min(most, len(noted))):
            entry = noted.popleft()
            # An open entry is added again when its response ends.
            if not entry.open:
                try:
                    made.append(lines.line(entry))
                except Exception:
                    # The application may have put any object into its environ.
                    self.log.failure("internal error in the access log")
        if made and self._sink is not None:
            self._sink.write("".join(made).encode("ascii", "backslashreplace"), len(made))
