"""The claims of twistcorn.policy.cgroups about memory; where cgroups are is claimed with processors, in test_sizing."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.cgroups import CGROUPS, MOUNTS, folders, read_oom_kills

V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:30 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory\n"
EVENTS = "low 0\nhigh 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"

#: situation: the files -> how many processes were killed
TABLE: list[tuple[str, dict[str, str], int | None]] = [
    ("no cgroup", {}, None),
    ("v2", {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/memory.events": EVENTS}, 3),
    (
        "v2, only an ancestor counts",
        {CGROUPS: "0::/web/app\n", MOUNTS: V2, "/sys/fs/cgroup/web/memory.events": EVENTS},
        3,
    ),
    (
        "v2, the innermost that counts",
        {
            CGROUPS: "0::/web/app\n", MOUNTS: V2, "/sys/fs/cgroup/web/memory.events": EVENTS,
            "/sys/fs/cgroup/web/app/memory.events": "oom 1\noom_kill 1\n",
        },
        1,
    ),
    ("v2, a container with its own namespace", {CGROUPS: "0::/\n", "/sys/fs/cgroup/memory.events": EVENTS}, 3),
    ("v1", {CGROUPS: "4:memory:/app\n", MOUNTS: V1, "/sys/fs/cgroup/memory/app/memory.oom_control": CONTROL}, 5),
    (
        "both, and memory is v1's",
        {
            CGROUPS: "4:memory:/app\n0::/app\n", MOUNTS: V1 + V2,
            "/sys/fs/cgroup/memory/app/memory.oom_control": CONTROL,
        },
        5,
    ),
    (
        "a kernel that does not count kills",
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/memory.events": "low 0\noom 4\n"},
        None,
    ),
    (
        "no number",
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/memory.events": "oom_kill many\n"},
        None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "files", "kills"), TABLE, ids=[row[0] for row in TABLE])
def test_processes_killed_for_memory(situation: str, files: dict[str, str], kills: int | None) -> None:
    """The kernel's count, of the innermost cgroup that has one."""
    assert read_oom_kills(files.get) == kills


def test_all_levels() -> None:
    """A cgroup comes before its ancestors, up to the mount point, with the version of its hierarchy."""
    files = {CGROUPS: "0::/web/app\n", MOUNTS: V2}
    found = [folder for version, folder in folders(files.get, "memory") if version == 2]

    assert found == [PurePosixPath("/sys/fs/cgroup", part) for part in ("web/app", "web", "")]


@given(st.text(), st.text(), st.text())
def test_any_files(groups: str, mounts: str, events: str) -> None:
    """However strange they are, there is a number or there is none."""
    files = {CGROUPS: groups, MOUNTS: mounts}

    assert read_oom_kills(lambda path: files.get(path, events)) in (None, *range(10**6))
