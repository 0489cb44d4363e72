"""How many workers `--workers auto` means: the cores this process may really use.

Law: pure. A function passed in reads the files, and no file content raises an error: what cannot be parsed
sets no limit. There is one worker for each core, since a worker runs one thread at a
time under the GIL; a fraction of a core counts as one.

Two limits count. CPU affinity (taskset, cpuset) says which cores; the caller asks the kernel for it. A
cgroup's quota says how much time on them, and containers set it: v2 in `cpu.max`, v1 in `cpu.cfs_quota_us`.
A cgroup is bound by each of its ancestors as well, so all levels are read, and the tightest wins.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from .cgroups import Read, folders

#: Microseconds; what the kernel takes when only the quota is written to `cpu.max`.
DEFAULT_PERIOD_MICROSECONDS = 100_000


@dataclass(frozen=True)
class Quota:
    """What a cgroup allows.

    :ivar cores: CPU time per time, so 1.5 is one core and half of another.
    :ivar file: the name of the kernel's file that says so.
    """

    cores: float
    file: str


def auto_workers(affinity: int, read: Read) -> tuple[int, str]:
    """The number of workers, and the reason as a line for the log.

    :param affinity: on how many cores the kernel may schedule this process.
    :param read: how the files of the kernel are read.
    """
    cores = max(affinity, 1)
    quota = tightest_quota(read)
    if quota is None or quota.cores >= cores:
        return cores, f"{_count(cores, 'worker')}: CPU affinity allows {_count(cores, 'core')}"
    workers = math.ceil(quota.cores)
    allowed = f"{quota.cores:.4g} of {_count(cores, 'core')}"
    return workers, f"{_count(workers, 'worker')}: cgroup {quota.file} allows {allowed}"


def tightest_quota(read: Read) -> Quota | None:
    """The smallest CPU quota of this process's cgroups and their ancestors; None when there is no quota."""
    quotas = [
        quota
        for version, folder in folders(read, "cpu")
        if (quota := (_quota_v2 if version == 2 else _quota_v1)(folder, read)) is not None
    ]
    return min(quotas, key=lambda quota: quota.cores, default=None)


def _quota_v2(folder: PurePosixPath, read: Read) -> Quota | None:
    """`cpu.max` holds quota and period, as in "350000 100000", or "max 100000" for no limit."""
    numbers = _numbers((read(str(folder / "cpu.max")) or "").split())
    if numbers is None or not 1 <= len(numbers) <= 2:
        return None
    return _quota(numbers[0], (*numbers, DEFAULT_PERIOD_MICROSECONDS)[1], "cpu.max")


def _quota_v1(folder: PurePosixPath, read: Read) -> Quota | None:
    """`cpu.cfs_quota_us` over `cpu.cfs_period_us`; -1 is no limit."""
    texts = [(read(str(folder / name)) or "").strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    numbers = _numbers(texts)
    return None if numbers is None else _quota(numbers[0], numbers[1], "cpu.cfs_quota_us")


def _numbers(texts: list[str]) -> list[int] | None:
    """Whole numbers of 64 bits, or None when one of the texts is anything else."""
    if not all(re.fullmatch("[0-9]{1,18}", text) for text in texts):
        return None
    return [int(text) for text in texts]


def _quota(quota: int, period: int, file: str) -> Quota | None:
    """A quota of nothing, or over no time, is nonsense and sets no limit."""
    return Quota(quota / period, file) if quota > 0 and period > 0 else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
