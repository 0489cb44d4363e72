"""Prefixes each line that the application prints with the number of its worker.

Law: pieces that one thread prints form one line, without pieces of other threads. The stream is otherwise unchanged:
buffer, descriptor, encoding. Output written to the descriptor itself, by C code or a child process, passes unchanged.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any

from ..logs.events import output_as_json
from ..logs.server import current
from ..pristine import os, threading, time
from ..settings import Settings
from ..shelter import hide, show

#: Characters after which an unfinished line is ended: printing dots for hours must not fill the memory.
MAX_LINE_CHARS = 65536


class LineStream(io.TextIOWrapper):
    """A text stream that writes whole lines.

    :param stream: the stream that it replaces.
    :param dress: formats a line: takes it without its line end, returns it with one.
    """

    def __init__(self, stream: io.TextIOWrapper, dress: Callable[[str], str]) -> None:
        super().__init__(
            stream.buffer, encoding=stream.encoding, errors=stream.errors, newline="\n", line_buffering=True
        )
        self.mode = stream.mode  # type: ignore[misc]
        self._dress = dress
        self._lock = threading.RLock()
        #: The unfinished line of each thread, by its identifier.
        self._parts: dict[int, str] = {}
        #: Threads whose line was ended early: the line end that `print` then writes is dropped.
        self._ended: set[int] = set()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        """Reset in a forked child: a thread that held the lock does not exist there."""
        self._lock = threading.RLock()
        self._parts = {}
        self._ended = set()

    def write(self, text: str) -> int:
        """Write the complete lines; keep the remainder."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        hidden = hide()
        try:
            return self._write(text, threading.get_ident())
        finally:
            show(hidden)

    def _write(self, text: str, me: int) -> int:
        with self._lock:
            size = len(text)
            if me in self._ended and text:
                self._ended.discard(me)
                text = text.removeprefix("\n")
            whole, end, part = (self._parts.pop(me, "") + text).rpartition("\n")
            if part and len(part) <= MAX_LINE_CHARS:
                self._parts[me] = part
            elif part:
                self._ended.add(me)
            lines = (whole.split("\n") if end else []) + ([part] if len(part) > MAX_LINE_CHARS else [])
            if lines:
                super().write("".join([self._dress(line) for line in lines]))
        return size

    def writelines(self, lines: Any) -> None:
        """Write several pieces."""
        for line in lines:
            self.write(line)

    def write_remainder(self) -> None:
        """Write the unfinished lines, at exit."""
        hidden = hide()
        try:
            with self._lock:
                parts, self._parts = self._parts, {}
                # The application may have closed or detached the stream.
                with contextlib.suppress(ValueError):
                    for part in parts.values():
                        super().write(self._dress(part))
                    self.flush()
        finally:
            show(hidden)


def begin(settings: Settings, worker: int) -> None:
    """Apply the settings to the log, and prefix the application's output with the worker's number."""
    log = current()
    if log is not None:
        log.set_form(settings.log_format, worker)
        log.set_level(settings.log_level)
    as_json = log is not None and log.as_json
    if settings.app_output != "prefix":
        return
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            dressed = LineStream(stream, _dresser(name, worker, as_json))
            setattr(sys, name, dressed)
            atexit.register(dressed.write_remainder)


def _dresser(stream: str, worker: int, as_json: bool) -> Callable[[str], str]:
    if as_json:
        return lambda line: output_as_json(time.time(), worker, stream, line)
    return lambda line: f"[worker {worker}] {line}\n"
