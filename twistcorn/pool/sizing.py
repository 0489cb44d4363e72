"""How many workers `--workers auto` means: the cores this process may really use.

Law: pure. Files are read by a function that is handed in, and no file, however strange, makes an error: what
cannot be understood sets no limit. There is one worker for each core, since a worker runs one thread at a
time under the GIL; a fraction of a core counts as one.

Two limits count. CPU affinity (taskset, cpuset) says which cores; the caller asks the kernel for it. A
cgroup's quota says how much time on them, and containers set it: v2 in `cpu.max`, v1 in `cpu.cfs_quota_us`.
A cgroup is bound by each of its ancestors as well, so all levels are read, and the tightest wins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

#: Reads a whole text file; None when it is not there or not for us.
Read = Callable[[str], "str | None"]

CGROUPS = "/proc/self/cgroup"
MOUNTS = "/proc/self/mountinfo"

#: Where systemd, and every container runtime after it, mounts the hierarchies; for when mountinfo names none.
USUAL_MOUNTS = {2: ("/sys/fs/cgroup",), 1: ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct")}

#: Microseconds; what the kernel takes when only the quota is written to `cpu.max`.
DEFAULT_PERIOD = 100_000


@dataclass(frozen=True)
class Quota:
    """What a cgroup allows.

    :ivar cores: CPU time per time, so 1.5 is one core and half of another.
    :ivar file: the name of the kernel's file that says so.
    """

    cores: float
    file: str


@dataclass(frozen=True)
class Mount:
    """A cgroup hierarchy that can be read.

    :ivar version: 1 or 2.
    :ivar root: the cgroup that is seen at the mount point; not `/` in a container without its own namespace.
    :ivar point: where it is mounted.
    """

    version: int
    root: PurePosixPath
    point: PurePosixPath


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
    groups = _parse_cgroups(read(CGROUPS) or "")
    mounts = _parse_mounts(read(MOUNTS) or "")
    quotas = [
        quota
        for version, quota_at in ((2, _quota_v2), (1, _quota_v1))
        for folder in _folders(groups.get(version, PurePosixPath("/")), _mounts_of(version, mounts))
        if (quota := quota_at(folder, read)) is not None
    ]
    return min(quotas, key=lambda quota: quota.cores, default=None)


def _parse_cgroups(text: str) -> dict[int, PurePosixPath]:
    """The cgroup of this process in the v2 hierarchy and in v1's cpu hierarchy, by version."""
    groups = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            groups[2] = PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            groups[1] = PurePosixPath(path)
    return groups


def _parse_mounts(text: str) -> list[Mount]:
    """The mounts that can hold a CPU quota, from mountinfo; see proc_pid_mountinfo(5) for the fields."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 6 or len(kinds) < 3:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(kinds[0])
        if version is None or (version == 1 and "cpu" not in kinds[2].split(",")):
            continue
        mounts.append(Mount(version, _unescape(fields[3]), _unescape(fields[4])))
    return mounts


def _unescape(field: str) -> PurePosixPath:
    """A path as mountinfo writes it: blanks and backslashes are three octal digits."""
    return PurePosixPath(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field))


def _mounts_of(version: int, mounts: Iterable[Mount]) -> list[Mount]:
    """The mounts of one version: as mountinfo has them, else where they usually are."""
    usual = (Mount(version, PurePosixPath("/"), PurePosixPath(point)) for point in USUAL_MOUNTS[version])
    return [mount for mount in mounts if mount.version == version] or list(usual)


def _folders(group: PurePosixPath, mounts: list[Mount]) -> Iterator[PurePosixPath]:
    """The folders of a cgroup and of its ancestors, innermost first, wherever they are mounted.

    A cgroup that no mount shows (`/../other`, seen from a foreign namespace) leaves the mount points
    themselves, which are what a container shows of its own cgroup.
    """
    seen = [mount for mount in mounts if group.is_relative_to(mount.root) and ".." not in group.parts]
    for mount in seen or mounts:
        inner = group.relative_to(mount.root) if seen else PurePosixPath()
        yield mount.point / inner
        yield from (mount.point / above for above in inner.parents)


def _quota_v2(folder: PurePosixPath, read: Read) -> Quota | None:
    """`cpu.max` holds quota and period, as in "350000 100000", or "max 100000" for no limit."""
    numbers = _numbers((read(str(folder / "cpu.max")) or "").split())
    if numbers is None or not 1 <= len(numbers) <= 2:
        return None
    return _quota(numbers[0], (*numbers, DEFAULT_PERIOD)[1], "cpu.max")


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
