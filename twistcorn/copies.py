"""Copies of a process: what was forked from it and has not called execve(2) since, as /proc shows it.

Law: reads /proc and signals nobody. Where there is no /proc, or it says nothing of a process, there are no copies.
Workers look as well, beside an application: what is needed is taken from `pristine`.
"""

from __future__ import annotations

import contextlib

from .pristine import open_file, os

#: A flag of the kernel's (linux/sched.h, in the ninth field of proc_pid_stat(5)): forked, and no execve(2) since.
PF_FORKNOEXEC = 0x40


def image_of(pid: int) -> bytes:
    """What the last execve(2) has left in a process, and in each of its copies: the auxiliary vector (getauxval(3)).

    It holds addresses that the kernel chose at random, so that two runs of one program have different ones. Empty for a
    process that is gone, and for one that /proc keeps to itself.
    """
    return _read(f"/proc/{pid}/auxv")


def copies_of(image: bytes, parent: int) -> list[int]:
    """Children of a process, and theirs, that are copies of what has this image.

    One that has a session of its own (setsid(2)) is a daemon, and no copy any more.
    """
    if not image:
        return []
    session = os.getsid(0)
    found = []
    for pid in _children(parent):
        if _is_copy(pid, session) and image_of(pid) == image:
            found += [pid, *copies_of(image, pid)]
    return found


def _is_copy(pid: int, session: int) -> bool:
    # The name of the program, in parentheses, may hold anything.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return len(fields) > 6 and int(fields[3]) == session and bool(int(fields[6]) & PF_FORKNOEXEC)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        # An orphan is a child of any one thread of who adopts it.
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _read(path: str) -> bytes:
    try:
        with open_file(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
