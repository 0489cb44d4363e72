"""The log of a process of ours: one observer of Twisted's log, whose level and form can change while it runs.

Law: the only place that begins logging. Whoever logs never waits: lines go through a `sink`. What repeats itself is
counted in place of being written (`repeats`).
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
from .repeats import Repeats, gist, kind_of, tell
from .sink import FINAL_FLUSH_SECONDS, Sink

#: From the least to the most important.
LEVELS = tuple(level.name for level in logger.LogLevel.iterconstants())
_ORDER = {name: place for place, name in enumerate(LEVELS)}


@implementer(logger.ILogObserver)
class ServerLog:
    """Writes events to a sink.

    :param path: the file; empty: standard error.
    :param apart: whether the log keeps a descriptor of its own for that: an application may close or redirect 2.
    :raises OSError: it cannot be opened.
    :ivar as_json: whether lines are JSON.
    :ivar descriptor: where it goes, if not to a file.
    """

    def __init__(self, path: str = "", apart: bool = False) -> None:
        self.begin_anew()
        self.descriptor = 2
        self._apart = apart
        if apart:
            with contextlib.suppress(OSError):
                self.descriptor = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
        self._sink = Sink(
            path, self.descriptor, self._say, idle=self._tell_repeats, standby=2 if self.descriptor != 2 else -1
        )
        self._least = _ORDER["info"]
        self._worker = 0
        self.as_json = False
        self._path = path

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event (`ILogObserver`)."""
        if _ORDER.get(level_of(event), 0) >= self._least:
            # The application may log on its own thread, whose time may be over just then.
            hidden = hide()
            try:
                # Twisted's stamp comes from a name that the application can replace (freezegun does).
                event = {**event, "log_time": time.time()}
                if self._admits(event):
                    self._write(event)
            finally:
                show(hidden)

    def begin_anew(self) -> None:
        """Nothing was repeated: at first, and in a child that was forked."""
        # By C code, in one step: see `sink`.
        self._lock = threading.RLock()
        self._repeats = Repeats()

    def _write(self, event: dict[str, Any]) -> None:
        line = self._made(event)
        if line:
            self._sink.write(line.encode("utf-8", "backslashreplace"))

    def _admits(self, event: dict[str, Any]) -> bool:
        try:
            kind = kind_of(event)
            if kind is None:
                return True
            self._tell_repeats()
            with self._lock:
                return self._repeats.admit(kind, time.monotonic(), lambda: gist(event))
        except BaseException:
            # The text of an exception, and its class, are the application's own: what raises here is told as it is.
            return True

    def _tell_repeats(self, all_of_them: bool = False) -> float | None:
        """Write what stands for events that were not; returns after how many seconds there may be more of that."""
        with self._lock:
            now = time.monotonic()
            found = self._repeats.over(now, all_of_them)
            wait = self._repeats.wait(now)
        for held in found:
            self._write(tell(held, time.time()))
        return wait

    def _made(self, event: dict[str, Any]) -> str:
        make = as_json if self.as_json else as_text
        try:
            return make(event, self._worker)
        except BaseException as error:
            # What an exception is shown by may be the application's own: its text, the source of its modules.
            short = {name: value for name, value in event.items() if name != "log_failure"}
            text = f"{formatEvent(short)} (cannot format the exception: {type(error).__name__})"
            return make({**short, "log_format": "{text}", "text": text}, self._worker)

    def set_level(self, name: str) -> None:
        """The least level that is logged from now on."""
        self._least = _ORDER[name]

    def set_form(self, form: str, worker: int = 0) -> None:
        """How lines look.

        :param form: `text`, `json`, or `auto`: text on a terminal, else JSON.
        :param worker: the number of the worker that this process is; 0: it is the master.
        """
        self._worker = worker
        self.as_json = form == "json" or (form == "auto" and (bool(self._path) or not _is_terminal(2)))

    def reopen(self) -> None:
        """Go on in a new file under the name, if it is a file."""
        self._sink.reopen()

    def flush(self, timeout: float = FINAL_FLUSH_SECONDS) -> None:
        """Before the end of the process: wait so many seconds at most for what is not yet written."""
        self._tell_repeats(all_of_them=True)
        self._sink.flush(timeout)

    def _say(self, text: str, lost: int) -> bytes:
        return (as_json if self.as_json else as_text)(own(text, lost), self._worker).encode()

    def say_last(self, text: str) -> None:
        """See the function of this name."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, self._say(text, 0))

    def begin(self) -> None:
        """From now on, all that is logged in this process."""
        global _current
        _current = self
        logger.globalLogBeginner.beginLoggingTo([self], redirectStandardIO=False)
        if self._apart:
            add = logger.globalLogPublisher.addObserver
            publisher: Any = logger.globalLogPublisher
            publisher.addObserver = lambda observer: add(_Foreign(observer))


@implementer(logger.ILogObserver)
class _Foreign:
    """An observer of the application's: whoever logs, code of ours as well, is not hit by what it raises.

    Twisted sees to exceptions, and tells them; this makes exceptions of what are none (SystemExit).
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
        # Who removes it knows it by its own name.
        return other is self or self._observer == other

    def __hash__(self) -> int:
        return hash(self._observer)


_current: ServerLog | None = None


def current() -> ServerLog | None:
    """The log of this process; None where somebody else logs (`twist`, an embedding application)."""
    return _current


def set_level(name: str) -> None:
    """The least level of this process's log, if that is ours."""
    if _current is not None:
        _current.set_level(name)


def flush(timeout: float = FINAL_FLUSH_SECONDS) -> None:
    """Before the end of the process."""
    if _current is not None:
        _current.flush(timeout)


def say_last(text: str) -> None:
    """One line at once, on this thread: the process ends, and its other threads are not to be trusted any more."""
    if _current is not None:
        _current.say_last(text)


def _after_fork() -> None:
    if _current is not None:
        _current.begin_anew()


#: In a child that the application forks the lock might be held for ever.
os.register_at_fork(after_in_child=_after_fork)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
