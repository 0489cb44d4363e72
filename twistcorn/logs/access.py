"""The access log of one process: entries are added as requests end, and written a moment later, many at once.

Law: adding costs little and never waits; lines are made between rounds of a loop and by timer, and written by a
`sink`'s thread. What is not written when the process is killed is at most what the last moment brought; in an orderly
end everything is.
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

#: Seconds between two times at which all that was added is written: what a crash can lose.
WRITE_INTERVAL_SECONDS = 0.1
#: Entries that are written between two rounds of the loop, when there are so many: half a millisecond of work.
MAX_UNWRITTEN_ENTRIES = 128


class EntryLog:
    """Entries to lines, on or off.

    :param worker: the number of the worker, 0 for the master.
    :param attach: is told whether it is on, whenever that may have changed.
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
        """Write there from now on, `-` is standard output, nothing is nowhere; and in this format.

        A file that cannot be opened is told, and what was there stays.
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
            self._writing.start(WRITE_INTERVAL_SECONDS, now=False)

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

    def end(self) -> Sink | None:
        """Take nothing any more; returns where the last lines go, for somebody who can wait to close."""
        if self._sink is None:
            return None
        self.write()
        sink, self._sink, self._target = self._sink, None, ""
        self._writing.stop()
        self._attach(False)
        return sink

    def add(self, entry: Entry) -> None:
        """A request is over."""
        self._noted.append(entry)

    def between_rounds(self) -> None:
        """Write some, when there are many."""
        if len(self._noted) >= MAX_UNWRITTEN_ENTRIES:
            self._write_some(MAX_UNWRITTEN_ENTRIES)

    def write(self) -> None:
        """Write all that was added."""
        while self._noted:
            self._write_some(MAX_UNWRITTEN_ENTRIES)

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
