"""Checks that the server's own descriptors, which the application can close or replace, are still the server's.

Law: checks only, and touches no descriptor: a number that is no longer ours may belong to the application. Number,
device and inode (fstat(2)) identify a descriptor: the kernel reuses a number as soon as it is free. Epolls and other
anonymous files share one inode; `echo` and `Rounds.prove` check that those work.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from typing import NamedTuple

from ...pristine import os

#: What a worker inherits: ampoule's AMP pipes, the channel, the scoreboard, the last-words file.
ORDERS, REPORTS, CHANNEL, SCOREBOARD, LAST_WORDS = range(3, 8)
STDERR = 2
INHERITED = (ORDERS, REPORTS, CHANNEL, SCOREBOARD, LAST_WORDS)


class Identity(NamedTuple):
    """The file behind a descriptor."""

    device: int
    inode: int

    @classmethod
    def of(cls, number: int) -> Identity | None:
        """The file behind this number now; None if it is closed."""
        try:
            found = os.fstat(number)
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino)

    def is_there(self, number: int) -> bool:
        """Whether the number still refers to this file."""
        return Identity.of(number) == self


class Descriptors:
    """The descriptors that this worker cannot work without."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, Identity]] = {}

    def watch(self, number: int, name: str) -> None:
        """Watch a descriptor; one that is already closed shows at the first check."""
        self._known[number] = name, Identity.of(number) or Identity(-1, -1)

    def check(self) -> str:
        """What is wrong, as a phrase for the log; empty if all is well."""
        lost = [f"{number} ({name})" for number, (name, known) in self._known.items() if not known.is_there(number)]
        if not lost:
            return ""
        several = "s" * (len(lost) > 1)
        return (
            f"the application closed or replaced the server's file descriptor{several} {', '.join(lost)};"
            " see docs/application.md, Descriptors"
        )


def lift(number: int) -> int:
    """Move a descriptor off a standard number (0-2); free standard numbers get the null device.

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
        # The null device itself has a standard number, which the application's child programs inherit.
        os.set_inheritable(null, True)
    return lifted


def inherited(numbers: Iterable[int] = (ORDERS, REPORTS, CHANNEL)) -> Descriptors:
    """Watch the descriptors inherited from the master; call this before the application is loaded.

    Not the scoreboard, which is mapped, nor the last words, which the log has as well.
    """
    names = {ORDERS: "orders from the master", REPORTS: "reports to the master", CHANNEL: "connection channel"}
    watched = Descriptors()
    for number in numbers:
        watched.watch(number, names[number])
    return watched
