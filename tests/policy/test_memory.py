"""The claims of twistcorn.policy.memory, on file systems that are dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.cgroups import CGROUPS
from twistcorn.policy.memory import room

MIB = 1 << 20
MACHINE = {"/proc/meminfo": "MemTotal:       2048 kB\nMemAvailable:    1024 kB\nBuffers:  1 kB\n"}
V2 = {CGROUPS: "0::/app/web\n"}
V1 = {CGROUPS: "4:memory:/app\n"}


def files(folder: str, limit: int | str, used: int, kept: int = 0, version: int = 2) -> dict[str, str]:
    """What a cgroup says."""
    names = {2: ("max", "current", "inactive_file"), 1: ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")}
    most, current, inactive = names[version]
    return {
        f"{folder}/memory.{most}": f"{limit}\n",
        f"{folder}/memory.{current}": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\n{inactive} {kept}\nfile 7\n",
    }


@pytest.mark.parametrize(
    ("situation", "there", "left"),
    [
        ("nobody knows", {}, None),
        ("only the machine has a limit", MACHINE, MIB),
        ("no limit", {**MACHINE, **V2, **files("/sys/fs/cgroup/app/web", "max", 5)}, MIB),
        ("the cgroup's", {**MACHINE, **V2, **files("/sys/fs/cgroup/app/web", 1000, 900)}, 100),
        ("what the kernel gives back", {**V2, **files("/sys/fs/cgroup/app/web", 1000, 900, 50)}, 150),
        ("an ancestor's", {**V2, **files("/sys/fs/cgroup/app/web", 999, 9), **files("/sys/fs/cgroup/app", 99, 9)}, 90),
        ("more is used than allowed", {**V2, **files("/sys/fs/cgroup/app/web", 10, 20)}, 0),
        ("version 1", {**MACHINE, **V1, **files("/sys/fs/cgroup/memory/app", 1000, 900, 50, version=1)}, 150),
    ],
)
def test_room(situation: str, there: dict[str, str], left: int | None) -> None:
    """The least of what the machine has and what each cgroup leaves."""
    assert room(there.get) == left


@given(st.text())
def test_strange_files(text: str) -> None:
    """What cannot be understood sets no limit."""
    left = room(lambda path: text if path != CGROUPS else "0::/app\n")

    assert left is None or left >= 0
