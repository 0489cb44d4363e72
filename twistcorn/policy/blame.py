"""Whose request killed a worker. Pure.

Law: blame is for deaths by the worker's own fault; a signal from outside blames no request. One request is
blamed only when it must have been that one: it ran on the thread that died, or it was the only one that ran.
A freeze is a fault: the request on the thread that holds the interpreter lock is to blame. A worker that finds itself
broken, by a request that may be over, blames none: the requests that run then are presumed innocent.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..errors import EXIT_DEAF_SINCE

#: Signals that a process brings upon itself: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS (signal(7)).
FAULTS = frozenset((4, 5, 6, 7, 8, 11, 31))
SIGKILL = 9

#: faulthandler's line above the stack of the thread that got the signal; the number is `threading.get_ident()`.
_CURRENT = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)


class Cause(enum.Enum):
    """What a worker died of."""

    FAULT = "its own fault"
    EXIT = "the application ended the process"
    MEMORY = "the kernel was out of memory for it"
    BROKEN = "it found itself broken, by what may be over"
    FROZEN = "a call that held the interpreter lock"
    OUTSIDE = "a signal from outside"
    ORDERED = "an order of the master"

    @property
    def is_fault(self) -> bool:
        """Whether a request may be to blame."""
        return self in (Cause.FAULT, Cause.EXIT, Cause.MEMORY, Cause.FROZEN)


def cause(
    code: int | None, signal: int | None, told: bool, killed: bool, out_of_memory: bool, frozen: bool = False
) -> Cause:
    """What a worker died of.

    :param code: the exit code; `signal`: the signal's number; one of them is None.
    :param told: the worker had orders to leave, at once or after handing its connections back.
    :param killed: the master killed it.
    :param out_of_memory: its cgroup counts one process more that was killed for memory.
    :param frozen: it had no heartbeat, and was not stopped from outside.
    """
    if signal in FAULTS:
        return Cause.FAULT
    if signal == SIGKILL and out_of_memory:
        return Cause.MEMORY
    if killed and frozen:
        return Cause.FROZEN
    if killed or (told and (code == 0 or signal == SIGKILL)):
        return Cause.ORDERED
    if signal is not None:
        return Cause.OUTSIDE
    return Cause.BROKEN if code == EXIT_DEAF_SINCE else Cause.EXIT


class Blame(NamedTuple):
    """What follows for the requests that were in a dead worker.

    :ivar slots: the connections whose request it died of.
    :ivar fault: whether it died by its own fault, so that bytes which it read may be the cause.
    :ivar status: what the client of a blamed request is answered (RFC 9110 section 15.6): 502, or 504 when its time
        was over and nothing else could end it.
    :ivar again: whether the other requests that were in the application may run again. Not after a freeze that cannot
        be laid to one of them: each may be the one that would freeze the next worker.
    """

    slots: frozenset[int] = frozenset()
    fault: bool = True
    status: int = 502
    again: bool = True


#: Of a death about which nothing is known.
NOBODY = Blame()


def current_thread(traceback: str) -> int | None:
    """The thread that died, in what faulthandler wrote; None when it does not say."""
    found = _CURRENT.search(traceback)
    return int(found[1], 16) if found is not None else None


def blame(
    by_fault: bool, current: int | None, running: Mapping[int, int], suspects: Collection[int] = ()
) -> frozenset[int]:
    """The slots that are to blame.

    :param by_fault: whether the worker died by a fault (`Cause.is_fault`).
    :param current: the thread that died, where that is known.
    :param running: the slots with a request in the application, and the thread of each.
    :param suspects: those of them whose method and path ran at every recent such death.
    """
    if not by_fault:
        return frozenset()
    if current is not None:
        # A background thread of the application may have died, with no request on it.
        return frozenset(slot for slot, thread in running.items() if thread == current)
    if len(running) == 1:
        return frozenset(running)
    return frozenset(suspects) if len(suspects) == 1 else frozenset()
