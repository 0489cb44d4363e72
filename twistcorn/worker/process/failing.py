"""Ends a worker that can no longer be trusted: loudly, at once, and so that the master can recover its requests.

Law: shuts down and answers no connection, and runs no application handler: the process ends as in a crash, and the
master recovers by the redo log. One line says what broke, in the log and in the last words.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NoReturn

from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import EXIT_DEAF, EXIT_DEAF_SINCE
from ...logs.server import flush
from ...pristine import os, threading
from . import forks
from .descriptors import LAST_WORDS, Identity

#: Seconds to wait until the log line is written: the reader may be stuck, and clients are waiting.
FLUSH_SECONDS = 0.5

_log = Logger()
#: Held by the thread that ends the process.
_ending = threading.Lock()
#: The last-words file, as it was before the application was loaded.
_box: Identity | None = None
#: Errors of a descriptor that the application has closed or replaced.
_LOST = (errno.EBADF, errno.ENOTSOCK)
#: Whether a request that runs now must have broken it.
_sure: Callable[[], bool] | None = None
#: Checks the server's descriptors; ends the worker if some are gone.
_look: Callable[[], object] | None = None


def prepare(sure: Callable[[], bool] | None = None, look: Callable[[], object] | None = None) -> None:
    """Remember the last-words file; call this before the application is loaded.

    :param sure: returns whether no request has ended since the last good check: then a request that runs now has
        broken it.
    :param look: checks the server's descriptors, and ends the worker if some are gone.
    """
    global _box, _sure, _look
    if _box is None:
        # Only once: the application may have replaced it since.
        _box = Identity.of(LAST_WORDS)
    _sure, _look = sure, look


def is_lost(problem: OSError) -> bool:
    """Whether a descriptor failed because the application closed or replaced it: others may be affected too."""
    return problem.errno in _LOST


def doubt() -> None:
    """A client's descriptor is lost: end the worker if its own are lost as well. Call this before anything is recorded
    about that client: the master holds the connection too, and answers it.
    """
    if _look is not None:
        _look()


def has_last_words() -> bool:
    """Whether the descriptor for last words still refers to their file."""
    return _box is None or _box.is_there(LAST_WORDS)


def fail(what: str, failure: Failure | None = None, sure: bool | None = None) -> NoReturn:
    """End this worker; any thread may call this, and the first one does it.

    :param what: what broke, as a phrase for the log.
    :param failure: the exception behind it.
    :param sure: whether a request that runs now must have broken it; None: ask the function given to `prepare`.
    """
    # A child that the application forked is no worker, and our state in it is not intact.
    forks.leave_if_forked()
    if not _ending.acquire(blocking=False):
        # Another thread is ending the process; this one must touch nothing more.
        threading.Event().wait()
    try:
        blames = sure if sure is not None else _sure is None or _sure()
        _say_last(what)
        text = "worker exits; other workers take over its connections: {what}"
        if failure is None:
            _log.critical(text, what=what)
        else:
            _log.failure(text, failure=failure, what=what)
        flush(FLUSH_SECONDS)
    finally:
        os._exit(EXIT_DEAF if blames else EXIT_DEAF_SINCE)


def _say_last(what: str) -> None:
    if _box is not None and has_last_words():
        try:
            os.write(LAST_WORDS, what.encode("utf-8", "backslashreplace"))
        except OSError:
            # The log has it as well.
            return
