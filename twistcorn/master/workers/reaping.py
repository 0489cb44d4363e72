"""Reaps orphans: descendants that the kernel made children of this process.

Law: standalone only. Twisted reaps the processes that it started, so those are only peeked at (WNOWAIT, waitid(2)); all
others are reaped here.
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
    """Reap a child, through Twisted where Twisted started it; false if it is still there."""
    if pid not in process.reapProcessHandlers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return True
    # The kernel would show this one again and again.
    process.reapAllProcesses()
    return pid not in process.reapProcessHandlers
