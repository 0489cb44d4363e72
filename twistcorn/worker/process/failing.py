"""The end of a worker that can no longer be trusted: loud, at once, and such that the master makes it good.

Law: nothing of the connections is shut down or answered here, and no handler of the application's runs: the process
ends as in a crash, and the master goes by the redo log. One line says what broke, here and in the last words.
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

#: Seconds that the end waits for its line to be written: nobody may read it, and clients wait.
FLUSH_SECONDS = 0.5

_log = Logger()
#: Held by the one thread that ends the process.
_ending = threading.Lock()
#: Where the last words go, as it was before the application could touch it.
_box: Identity | None = None
#: What a descriptor fails with that the application has closed, or put something else in the place of.
_LOST = (errno.EBADF, errno.ENOTSOCK)
#: Whether what broke must have been done by a request that runs now.
_sure: Callable[[], bool] | None = None
#: Looks at the server's descriptors; ends the worker when some are gone.
_look: Callable[[], object] | None = None


def prepare(sure: Callable[[], bool] | None = None, look: Callable[[], object] | None = None) -> None:
    """Remember where last words go; before the application is loaded.

    :param sure: tells whether no request has ended since all was last known to be well: whatever broke, one that runs
        now has done it.
    :param look: looks at the server's descriptors, and ends the worker when some are gone.
    """
    global _box, _sure, _look
    if _box is None:
        # Once: the application may have put another one there since.
        _box = Identity.of(LAST_WORDS)
    _sure, _look = sure, look


def is_lost(problem: OSError) -> bool:
    """Whether a descriptor failed because it is no longer what it was: others may be gone as well."""
    return problem.errno in _LOST


def doubt() -> None:
    """A client's descriptor is lost. Where ours are as well, end the worker, before anything is noted of that client:
    the master has its connection, too, and answers it.
    """
    if _look is not None:
        _look()


def has_last_words() -> bool:
    """Whether the descriptor for last words still leads to their file."""
    return _box is None or _box.is_there(LAST_WORDS)


def fail(what: str, failure: Failure | None = None, sure: bool | None = None) -> NoReturn:
    """End this worker. Any thread may; the first one does.

    :param what: what broke, as half of a sentence.
    :param failure: the exception that says where.
    :param sure: whether a request that runs now must have done it; None: as `prepare` was told.
    """
    # In a child that the application forked nothing of ours is whole, and it is nobody's worker.
    forks.leave_if_forked()
    if not _ending.acquire(blocking=False):
        # Another thread is at it; this one must touch nothing any more.
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
