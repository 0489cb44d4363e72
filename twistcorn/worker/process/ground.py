"""Interpreter state that the server depends on, and that the application may have changed.

Law: checks state that lives in the interpreter, not in our own names. Repairs what it can, and reports each repair and
each fatal change in one phrase. Decides nothing.
"""

from __future__ import annotations

import _thread
from types import ModuleType

from ...pristine import signal, sys
from ...wire.testimony import TESTIFY

#: Stack depth that the server's own code needs, with Twisted's logging below it.
MIN_FRAMES = 200
#: Seconds for which one thread may keep the interpreter while others wait; Python's default is 0.005. The thread that
#: leads the reactor waits this long for each computing thread.
MAX_SWITCH_SECONDS = 0.1
#: Signals that the master needs, to end the worker and to ask for its stacks.
NEEDED = {int(signal.SIGTERM), TESTIFY}


def _identities() -> list[tuple[ModuleType, object]]:
    """The functions that identify threads, under the names that `threading` itself uses."""
    # The module that the application sees, not the copy in `pristine`.
    return [(place, place.get_ident) for place in (_thread, sys.modules["threading"])]


# Taken before the application is imported.
_IDENTITIES = _identities()


def green_threads() -> str:
    """The name of the package whose green threads have replaced Python's (gevent, eventlet); empty: none.

    Such a package identifies threads in another way. A wrapper of a thread's start, as in monitoring, still starts a
    kernel thread and does not count.
    """
    for place, genuine in _IDENTITIES:
        now = getattr(place, "get_ident", genuine)
        if now is not genuine:
            return (getattr(now, "__module__", None) or type(now).__module__).partition(".")[0]
    return ""


def put_right() -> list[str]:
    """Repair what can be repaired; returns a phrase for each repair."""
    told = []
    if sys.getrecursionlimit() < MIN_FRAMES:
        told.append(f"a recursion limit of {sys.getrecursionlimit()} (now {MIN_FRAMES})")
        sys.setrecursionlimit(MIN_FRAMES)
    if sys.getswitchinterval() > MAX_SWITCH_SECONDS:
        told.append(f"a switch interval of {sys.getswitchinterval():g} s (now {MAX_SWITCH_SECONDS:g} s)")
        sys.setswitchinterval(MAX_SWITCH_SECONDS)
    # Of this thread; threads that it starts inherit the mask.
    if blocked := NEEDED.intersection(signal.pthread_sigmask(signal.SIG_BLOCK, ())):
        told.append("signals to be blocked that the server needs (now they are not)")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    return told
