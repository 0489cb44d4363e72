"""Copies of a process: descendants forked from it without execve(2), as /proc shows them.

Law: reads /proc and sends no signal. Without /proc, or without access to a process there, finds no copies. Workers use
it too, next to an application: hence `pristine`.
"""

from __future__ import annotations

import contextlib

from .pristine import open_file, os

#: A kernel flag (linux/sched.h, in the ninth field of proc_pid_stat(5)): forked, and no execve(2) since.
PF_FORKNOEXEC = 0x40


def image_of(pid: int) -> bytes:
    """The auxiliary vector (getauxval(3)) of a process: the same in all its copies, set by the last execve(2).

    It holds addresses that the kernel chose at random, so that two runs of one program differ. Empty for a process that
    is gone, or hidden in /proc.
    """
    return _read(f"/proc/{pid}/auxv")


def copies_of(image: bytes, parent: int) -> list[int]:
    """Descendants of a process that are copies of the process with this image.

    A child in its own session (setsid(2)) is a daemon, and no longer counts as a copy.
    """
    if not image:
        return []
    session = os.getsid(0)
    found = []
    for pid in _children(parent):
        its = image_of(pid)
        if its == image and _is_copy(pid, session):
            found += [pid, *copies_of(image, pid)]
        elif not its:
            # It is exiting, and its memory is gone: its children are not yet those of its parent.
            found += copies_of(image, pid)
    return found


def _is_copy(pid: int, session: int) -> bool:
    # The name of the program, in parentheses, may hold anything.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return len(fields) > 6 and int(fields[3]) == session and bool(int(fields[6]) & PF_FORKNOEXEC)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        # An orphan becomes a child of any one thread of its adopter.
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _read(path: str) -> bytes:
    try:
        with open_file(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
