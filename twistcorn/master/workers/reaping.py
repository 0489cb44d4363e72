"""Children that nobody started here: orphans that the kernel gave to this process, reaped when they end.

Law: for a process of its own alone. What Twisted has started is Twisted's to reap, so it is only looked at
(WNOWAIT, waitid(2)); everything else is taken.
"""

from __future__ import annotations

import contextlib
import os

from twisted.internet import process


def reap() -> None:
    """Reap what has ended."""
    while (pid := _ended()) and _take(pid):
        pass


def _ended() -> int:
    """A child that has ended and lies there; 0: there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found is not None else 0


def _take(pid: int) -> bool:
    """Reap a child, as whoever started it does; false where that did not go."""
    if pid not in process.reapProcessHandlers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return True
    # The kernel would show this one again and again.
    process.reapAllProcesses()
    return pid not in process.reapProcessHandlers
