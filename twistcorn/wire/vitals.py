"""What a process can say of itself: memory, processor time, threads, open descriptors.

Law: reads the kernel's account of the own process (proc(5)), and keeps nothing. Master and workers say it alike.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from ..pristine import open_file, os, time

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Fields of /proc/self/stat behind the name of the program: number of threads, pages in memory.
_THREADS, _RSS = 17, 21


class Vitals(NamedTuple):
    """What is cheap to know: some ten microseconds.

    :ivar rss: bytes of memory; `cpu`: nanoseconds of processor time; `threads`: of the process, whoever made them.
    """

    rss: int
    cpu: int
    threads: int


def look() -> Vitals:
    """At the own process; zeros where the kernel does not tell."""
    rss = threads = 0
    with contextlib.suppress(OSError, ValueError, IndexError), open_file("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
        rss, threads = int(fields[_RSS]) * _PAGE, int(fields[_THREADS])
    return Vitals(rss, time.process_time_ns(), threads)


def pss() -> int:
    """Bytes of memory, where what several processes share counts in parts. The kernel looks at each page: up to some
    milliseconds for a large process.
    """
    with contextlib.suppress(OSError, ValueError, IndexError), open_file("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return 0


def descriptors() -> int:
    """How many files the process has open."""
    with contextlib.suppress(OSError):
        # Linux 6.2 and later tell the number; before that they have to be listed.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    return 0
