"""The application's signal handlers: an exception from one of them interrupts no server code.

Law: replaces `signal.signal` and `signal.getsignal` while the application is served. Python runs handlers on the main
thread between any two lines, including the server's: an exception raised there is logged in one line and goes no
further; inside application code it propagates as usual. Our own handlers are not wrapped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.logger import Logger

from ...pristine import os, signal, sys, threading, time
from ...shelter import exposed_threads

#: Seconds between two lines about the same signal: a timer may fire a thousand times a second.
LOG_INTERVAL_SECONDS = 60.0

_log = Logger()
_told: dict[int, float] = {}
#: Whether the application is being served; during its import and at exit, it owns the main thread.
_serving = False
#: Takes the application's new SIGTERM handler and returns the previous one; its exceptions propagate.
_on_term: Callable[[Any], Any] | None = None


class Guarded:
    """Wraps a handler of the application for the interpreter to call."""

    __slots__ = ("handler",)

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        thread = exposed_threads.get(threading.get_ident())
        if not _serving or (thread is not None and thread.exposed is not None):
            self.handler(number, frame)
            return
        try:
            self.handler(number, frame)
        except BaseException as error:
            if thread is not None and thread.sheltered is not None:
                # The application is in a sheltered call, such as logging: raise the exception right after it.
                thread.owed = error
            else:
                report(error, signal.Signals(number).name, number)


def report(error: BaseException, name: str = "signal", number: int = 0) -> None:
    """Log an exception that a handler of the application raised in server code."""
    now = time.monotonic()
    if now - _told.get(number, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
        _told[number] = now
        _log.warn(
            "the application's {name} handler raised {kind} outside application code: ignored",
            name=name, kind=type(error).__name__,
        )  # fmt: skip


def begin() -> None:
    """Install the wrappers, before the application is imported."""
    # The module that the application sees, not the copy in `pristine`.
    module: Any = sys.modules["signal"]
    module.signal = functools.wraps(signal.signal)(_set)
    module.getsignal = functools.wraps(signal.getsignal)(_get)
    os.register_at_fork(after_in_child=end)


def serve(on_term: Callable[[Any], Any]) -> None:
    """The application is imported and served from now on."""
    global _serving, _on_term
    _serving, _on_term = True, on_term


def end() -> None:
    """The loop has ended, or this is a forked child: no server code is left to protect."""
    global _serving, _on_term
    _serving, _on_term = False, None


def _set(number: Any, handler: Any, /) -> Any:
    if _on_term is not None and number == signal.SIGTERM:
        return _bare(_on_term(handler))
    ours = getattr(handler, "__module__", None) in _OURS
    return _bare(signal.signal(number, Guarded(handler) if callable(handler) and not ours else handler))


def _get(number: Any, /) -> Any:
    return _bare(signal.getsignal(number))


def _bare(handler: Any) -> Any:
    return handler.handler if isinstance(handler, Guarded) else handler


#: Modules with our own handlers: code that got one from `getsignal` may set it again.
_OURS = ("__main__", "twistcorn.worker.__main__", "twisted.internet._signals", "twisted.internet.process")
