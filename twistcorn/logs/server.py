"""The log of a server process: one observer of Twisted's log; level and format can change at run time.

Law: the only place that begins logging. Logging never waits: lines go through a `sink`. Repeated events are counted
instead of written (`repeats`).
"""

from __future__ import annotations

import contextlib
import fcntl
from typing import Any

from twisted.logger import formatEvent
from zope.interface import implementer

from twisted import logger

from ..pristine import os, threading, time
from ..shelter import hide, show
from .events import as_json, as_text, level_of, own
from .repeats import Repeats, as_event, gist, kind_of
from .sink import FINAL_FLUSH_SECONDS, Sink

#: In ascending order of importance.
LEVELS = tuple(level.name for level in logger.LogLevel.iterconstants())
_ORDER = {name: place for place, name in enumerate(LEVELS)}


@implementer(logger.ILogObserver)
class ServerLog:
    """Writes events to a sink.

    :param path: the file; empty: standard error.
    :param apart: whether to duplicate standard error for the log: an application may close or redirect 2.
    :raises OSError: the file cannot be opened.
    :ivar as_json: whether lines are JSON.
    :ivar descriptor: the log's descriptor, unless it is a file.
    """

    def __init__(self, path: str = "", apart: bool = False) -> None:
        self.begin_anew()
        self.descriptor = 2
        self._apart = apart
        if apart:
            with contextlib.suppress(OSError):
                self.descriptor = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
        self._sink = Sink(
            path, self.descriptor, self._format_loss, idle=self._log_repeats, standby=2 if self.descriptor != 2 else -1
        )
        self._least = _ORDER["info"]
        self._worker = 0
        self.as_json = False
        self._path = path

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event (`ILogObserver`)."""
        if _ORDER.get(level_of(event), 0) >= self._least:
            # The application may log on its own thread, which may time out just then.
            hidden = hide()
            try:
                # Twisted's time stamp uses a name that the application can replace (freezegun does).
                event = {**event, "log_time": time.time()}
                if self._admits(event):
                    self._write(event)
            finally:
                show(hidden)

    def begin_anew(self) -> None:
        """Set up, at first and in a forked child: no repeats."""
        # C code, in one step: see `sink`.
        self._lock = threading.RLock()
        self._repeats = Repeats()

    def _write(self, event: dict[str, Any]) -> None:
        line = self._formatted(event)
        if line:
            self._sink.write(line.encode("utf-8", "backslashreplace"))

    def _admits(self, event: dict[str, Any]) -> bool:
        try:
            kind = kind_of(event)
            if kind is None:
                return True
            self._log_repeats()
            with self._lock:
                return self._repeats.admit(kind, time.monotonic(), lambda: gist(event))
        except BaseException:
            # The exception's class and text may be the application's: if they raise here, write the event as it is.
            return True

    def _log_repeats(self, all_of_them: bool = False) -> float | None:
        """Log the suppressed events; returns the seconds until there may be more."""
        with self._lock:
            now = time.monotonic()
            found = self._repeats.over(now, all_of_them)
            wait = self._repeats.wait(now)
        for held in found:
            self._write(as_event(held, time.time()))
        return wait

    def _formatted(self, event: dict[str, Any]) -> str:
        make = as_json if self.as_json else as_text
        try:
            return make(event, self._worker)
        except BaseException as error:
            # The application's code may run here: an exception's text, a module's source loader.
            short = {name: value for name, value in event.items() if name != "log_failure"}
            text = f"{formatEvent(short)} (cannot format the exception: {type(error).__name__})"
            return make({**short, "log_format": "{text}", "text": text}, self._worker)

    def set_level(self, name: str) -> None:
        """Set the minimum log level."""
        self._least = _ORDER[name]

    def set_form(self, form: str, worker: int = 0) -> None:
        """Set the format of the lines.

        :param form: `text`, `json`, or `auto`: text on a terminal, else JSON.
        :param worker: this process's worker number; 0: the master.
        """
        self._worker = worker
        self.as_json = form == "json" or (form == "auto" and (bool(self._path) or not _is_terminal(2)))

    def reopen(self) -> None:
        """Reopen the log file by name, if it is a file."""
        self._sink.reopen()

    def flush(self, timeout: float = FINAL_FLUSH_SECONDS) -> None:
        """Write everything before the process ends, within the time-out in seconds."""
        self._log_repeats(all_of_them=True)
        self._sink.flush(timeout)

    def _format_loss(self, text: str, lost: int) -> bytes:
        return (as_json if self.as_json else as_text)(own(text, lost), self._worker).encode()

    def say_last(self, text: str) -> None:
        """See the function of this name."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, self._format_loss(text, 0))

    def begin(self) -> None:
        """Take everything logged in this process from now on."""
        global _current
        _current = self
        logger.globalLogBeginner.beginLoggingTo([self], redirectStandardIO=False)
        if self._apart:
            add = logger.globalLogPublisher.addObserver
            publisher: Any = logger.globalLogPublisher
            publisher.addObserver = lambda observer: add(_Foreign(observer))


@implementer(logger.ILogObserver)
class _Foreign:
    """Wraps an observer of the application, so that its exceptions never reach the code that logs.

    Twisted handles and reports an Exception; this turns other ones (SystemExit) into a RuntimeError.
    """

    def __init__(self, observer: logger.ILogObserver) -> None:
        self._observer = observer

    def __call__(self, event: dict[str, Any]) -> None:
        try:
            self._observer(event)
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"a log observer raised {type(error).__name__}") from error

    def __eq__(self, other: object) -> bool:
        # The application removes the observer that it added.
        return other is self or self._observer == other

    def __hash__(self) -> int:
        return hash(self._observer)


_current: ServerLog | None = None


def current() -> ServerLog | None:
    """The log of this process; None under `twist` or in an embedding application, which log themselves."""
    return _current


def set_level(name: str) -> None:
    """Set the minimum level of this process's log, if it is ours."""
    if _current is not None:
        _current.set_level(name)


def flush(timeout: float = FINAL_FLUSH_SECONDS) -> None:
    """Flush this process's log, before the process ends."""
    if _current is not None:
        _current.flush(timeout)


def say_last(text: str) -> None:
    """Write one line at once, on this thread: the process ends, and its other threads can no longer be trusted."""
    if _current is not None:
        _current.say_last(text)


def _after_fork() -> None:
    if _current is not None:
        _current.begin_anew()


#: In a forked child, the lock might be held forever.
os.register_at_fork(after_in_child=_after_fork)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
