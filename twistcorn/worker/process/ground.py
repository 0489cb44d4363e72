"""The ground that a worker stands on: what the application may have changed of the interpreter that the server needs.

Law: looks at what lives in the interpreter and not in a name of ours. What can be put right is put right, and told;
what cannot be lived with is told in one sentence. Nothing here decides what follows.
"""

from __future__ import annotations

import _thread
from types import ModuleType

from ...pristine import signal, sys
from ...wire.testimony import TESTIFY

#: Frames that the server's own code, with Twisted's logging below it, must be able to use.
MIN_FRAMES = 200
#: Seconds that one thread may keep the interpreter while others want it; Python's own choice is 0.005. With more, the
#: thread that leads the reactor waits that long for each call that computes.
MAX_SWITCH_SECONDS = 0.1
#: Signals without which the worker cannot be told to end, nor asked where its threads are.
NEEDED = {int(signal.SIGTERM), TESTIFY}


def _identities() -> list[tuple[ModuleType, object]]:
    """How threads are told apart, by the names that `threading` itself goes by."""
    # The one that the application sees, not `pristine`'s.
    return [(place, place.get_ident) for place in (_thread, sys.modules["threading"])]


# As they are before the application is imported.
_IDENTITIES = _identities()


def green_threads() -> str:
    """Whose threads have taken the place of Python's (gevent, eventlet): the name of the package; empty: nobody's.

    They tell threads apart in another way. What only wraps the start of a thread, as monitoring does, still ends in a
    thread of the kernel, and does not count.
    """
    for place, genuine in _IDENTITIES:
        now = getattr(place, "get_ident", genuine)
        if now is not genuine:
            return (getattr(now, "__module__", None) or type(now).__module__).partition(".")[0]
    return ""


def put_right() -> list[str]:
    """Put right what can be; says what that was."""
    told = []
    if sys.getrecursionlimit() < MIN_FRAMES:
        told.append(f"a recursion limit of {sys.getrecursionlimit()} (now {MIN_FRAMES})")
        sys.setrecursionlimit(MIN_FRAMES)
    if sys.getswitchinterval() > MAX_SWITCH_SECONDS:
        told.append(f"a switch interval of {sys.getswitchinterval():g} s (now {MAX_SWITCH_SECONDS:g} s)")
        sys.setswitchinterval(MAX_SWITCH_SECONDS)
    # Of this thread; those that are started later have the same.
    if blocked := NEEDED.intersection(signal.pthread_sigmask(signal.SIG_BLOCK, ())):
        told.append("signals to be blocked that the server needs (now they are not)")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    return told
