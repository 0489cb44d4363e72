"""The application's signal handlers: what one of them raises is the application's affair, and ends nothing of ours.

Law: stands in the place of `signal.signal` and `signal.getsignal` while the application is served. Python runs handlers
on the main thread between any two lines, of the server's code as well: what is raised there is told in one line and
goes no further; in the application it goes where it always would. Our own handlers are not touched.
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
#: Whether the application is served: while it is imported, and at its end, the main thread is its own.
_serving = False
#: Takes a SIGTERM handler of the application's, and returns the one before; what it raises is raised.
_on_term: Callable[[Any], Any] | None = None


class Guarded:
    """A handler of the application's, as the interpreter calls it."""

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
                # The application is just logging, say: it is raised as soon as that is done.
                thread.owed = error
            else:
                tell(error, signal.Signals(number).name, number)


def tell(error: BaseException, name: str = "signal", number: int = 0) -> None:
    """A handler of the application's has raised this in our code."""
    now = time.monotonic()
    if now - _told.get(number, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
        _told[number] = now
        _log.warn(
            "the application's {name} handler raised {kind} outside application code: ignored",
            name=name, kind=type(error).__name__,
        )  # fmt: skip


def begin() -> None:
    """Before the application is imported."""
    # The one that the application sees, not `pristine`'s.
    module: Any = sys.modules["signal"]
    module.signal = functools.wraps(signal.signal)(_set)
    module.getsignal = functools.wraps(signal.getsignal)(_get)
    os.register_at_fork(after_in_child=end)


def serve(on_term: Callable[[Any], Any]) -> None:
    """The application is imported."""
    global _serving, _on_term
    _serving, _on_term = True, on_term


def end() -> None:
    """The loop is over, or this is a child that the application forked: nothing of ours can be hit any more."""
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


#: Where our own handlers are: who gets one of them as the one before may put it back.
_OURS = ("__main__", "twistcorn.worker.__main__", "twisted.internet._signals", "twisted.internet.process")
