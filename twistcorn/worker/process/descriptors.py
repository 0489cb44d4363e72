"""The server's own descriptors in this process, which the application can close or replace: are they still ours?

Law: looks, and touches nothing: a number that is no longer ours is somebody else's. A descriptor is known by its number
and by what it leads to, device and inode (fstat(2)): a number alone is given away again as soon as it is free. Epolls
and the like share one inode; they are known by what they do, see `echo` and `Rounds.prove`.
"""

from __future__ import annotations

import fcntl
import stat
from collections.abc import Iterable
from typing import NamedTuple

from ...pristine import os

#: What a worker inherits: ampoule's AMP pipes, the channel, the scoreboard, the file for the last words.
ORDERS, REPORTS, CHANNEL, SCOREBOARD, LAST_WORDS = range(3, 8)
STDERR = 2
INHERITED = (ORDERS, REPORTS, CHANNEL, SCOREBOARD, LAST_WORDS)


class Identity(NamedTuple):
    """What a descriptor leads to."""

    device: int
    inode: int

    @classmethod
    def of(cls, number: int) -> Identity | None:
        """What this number leads to now; None where it is closed."""
        try:
            found = os.fstat(number)
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino)

    def is_there(self, number: int) -> bool:
        """Whether the number still leads there."""
        return Identity.of(number) == self


class Descriptors:
    """The descriptors without which this worker is deaf or dumb."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, Identity]] = {}

    def watch(self, number: int, name: str) -> None:
        """This one is needed from now on; a closed one is found at the first look."""
        self._known[number] = name, Identity.of(number) or Identity(-1, -1)

    def look(self) -> str:
        """What is wrong, as half of a sentence; empty when nothing is."""
        lost = [f"{number} ({name})" for number, (name, known) in self._known.items() if not known.is_there(number)]
        if not lost:
            return ""
        several = "s" * (len(lost) > 1)
        return (
            f"the application closed or replaced the server's file descriptor{several} {', '.join(lost)};"
            " see docs/application.md, Descriptors"
        )


def lift(number: int) -> int:
    """Give a descriptor that has come as a standard one another number; those that are free get the null device.

    :raises OSError: EMFILE.
    """
    lifted = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        os.close(lifted)
        raise
    os.dup2(null, number)
    for standard in range(3):
        if Identity.of(standard) is None:
            os.dup2(null, standard)
    if null > 2:
        os.close(null)
    else:
        # It has come as a standard one itself, which programs of the application's inherit.
        os.set_inheritable(null, True)
    return lifted


def is_socket(number: int) -> bool:
    """Whether the number leads to a socket, whosever it is."""
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def inherited(numbers: Iterable[int] = (ORDERS, REPORTS, CHANNEL)) -> Descriptors:
    """Those that the master has given us, watched from now on; before the application is loaded.

    The scoreboard is not among them, because it is mapped, nor the last words, which the log has as well.
    """
    names = {ORDERS: "orders from the master", REPORTS: "reports to the master", CHANNEL: "connection channel"}
    watched = Descriptors()
    for number in numbers:
        watched.watch(number, names[number])
    return watched
