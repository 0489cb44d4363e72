"""How much memory is available before the kernel kills something for it.

Law: pure. A function passed in reads the files, and no file content raises an error: what cannot be parsed sets no
limit. The least counts of what the machine has and what each cgroup leaves.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from .cgroups import Read, folders

#: Limit, usage, and what of that the kernel gives back when asked, by version (cgroup-v2, cgroup-v1/memory).
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def room(read: Read) -> int | None:
    """Bytes of available memory; None when unknown."""
    machine = _number(re.search(r"^MemAvailable:\s+(\d{1,18}) kB$", read("/proc/meminfo") or "", re.MULTILINE))
    rooms = [machine * 1024] if machine is not None else []
    for version, folder in folders(read, "memory"):
        left = _left(read, folder, *_FILES[version])
        if left is not None:
            rooms.append(left)
    return min(rooms, default=None)


def _left(read: Read, folder: PurePosixPath, limit: str, usage: str, spare: str) -> int | None:
    """What a cgroup leaves of its limit."""
    most = _number(re.fullmatch(r"(\d{1,19})\s*", read(str(folder / limit)) or ""))
    used = _number(re.fullmatch(r"(\d{1,19})\s*", read(str(folder / usage)) or ""))
    if most is None or used is None:
        return None
    kept = _number(re.search(rf"^{spare} (\d{{1,18}})$", read(str(folder / "memory.stat")) or "", re.MULTILINE))
    return max(0, most - used + (kept or 0))


def _number(found: re.Match[str] | None) -> int | None:
    return None if found is None else int(found[1])
