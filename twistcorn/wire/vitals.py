"""A process's own resource usage: memory, processor time, threads, open descriptors.

Law: reads /proc/self (proc(5)) and keeps nothing. Master and workers both use it.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from ..pristine import open_file, os, time

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Fields of /proc/self/stat after the program's name: number of threads, resident pages.
_THREADS, _RSS = 17, 21


class Vitals(NamedTuple):
    """The cheap figures: some ten microseconds.

    :ivar rss: bytes of memory; `cpu`: nanoseconds of processor time; `threads`: all threads of the process.
    """

    rss: int
    cpu: int
    threads: int


def read_vitals() -> Vitals:
    """Measure this process; zeros for figures that the kernel withholds."""
    rss = threads = 0
    with contextlib.suppress(OSError, ValueError, IndexError), open_file("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
        rss, threads = int(fields[_RSS]) * _PAGE, int(fields[_THREADS])
    return Vitals(rss, time.process_time_ns(), threads)


def pss() -> int:
    """Bytes of memory, with shared pages divided among their processes. The kernel walks each page: up to some
    milliseconds for a large process.
    """
    with contextlib.suppress(OSError, ValueError, IndexError), open_file("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return 0


def descriptors() -> int:
    """The number of open descriptors."""
    with contextlib.suppress(OSError):
        # Linux 6.2 and later give the number; before, list them.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    return 0
