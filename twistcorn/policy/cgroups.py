"""Where the cgroups of this process are, and what they say of memory.

Law: pure. A function passed in reads the files, and no file content raises an error. A cgroup is
bound by each of its ancestors as well, so all levels are found, innermost first; v2 has one hierarchy, v1 one for each
controller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

#: Reads a whole text file; None when it is not there or not for us.
Read = Callable[[str], "str | None"]

CGROUPS = "/proc/self/cgroup"
MOUNTS = "/proc/self/mountinfo"

#: Where systemd, and every container runtime after it, mounts the hierarchies; for when mountinfo names none.
USUAL_MOUNTS = {
    (2, "cpu"): ("/sys/fs/cgroup",),
    (2, "memory"): ("/sys/fs/cgroup",),
    (1, "cpu"): ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"),
    (1, "memory"): ("/sys/fs/cgroup/memory",),
}


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


def folders(read: Read, controller: str) -> Iterator[tuple[int, PurePosixPath]]:
    """The folders of this process's cgroups for a controller and of their ancestors, with the version of each."""
    groups = _parse_cgroups(read(CGROUPS) or "", controller)
    mounts = _parse_mounts(read(MOUNTS) or "", controller)
    for version in (2, 1):
        usual = _mounts_of(version, mounts, controller)
        yield from ((version, folder) for folder in _folders(groups.get(version, PurePosixPath("/")), usual))


def read_oom_kills(read: Read) -> int | None:
    """How many processes of this cgroup were killed for memory (cgroup-v2, memory.events; v1, memory.oom_control)."""
    for version, folder in folders(read, "memory"):
        text = read(str(folder / ("memory.events" if version == 2 else "memory.oom_control"))) or ""
        found = re.search(r"^oom_kill (\d{1,18})$", text, re.MULTILINE)
        if found is not None:
            return int(found[1])
    return None


def _parse_cgroups(text: str, controller: str) -> dict[int, PurePosixPath]:
    """The cgroup of this process in the v2 hierarchy and in v1's hierarchy of a controller, by version."""
    groups = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            groups[2] = PurePosixPath(path)
        elif controller in controllers.split(","):
            groups[1] = PurePosixPath(path)
    return groups


def _parse_mounts(text: str, controller: str) -> list[Mount]:
    """The mounts that a controller can have files in, from mountinfo; see proc_pid_mountinfo(5) for the fields."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 6 or len(kinds) < 3:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(kinds[0])
        if version is None or (version == 1 and controller not in kinds[2].split(",")):
            continue
        mounts.append(Mount(version, _unescape(fields[3]), _unescape(fields[4])))
    return mounts


def _unescape(field: str) -> PurePosixPath:
    """A path as mountinfo writes it: blanks and backslashes are three octal digits."""
    return PurePosixPath(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field))


def _mounts_of(version: int, mounts: Iterable[Mount], controller: str) -> list[Mount]:
    """The mounts of one version: as mountinfo has them, else where they usually are."""
    usual = (Mount(version, PurePosixPath("/"), PurePosixPath(point)) for point in USUAL_MOUNTS[version, controller])
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
