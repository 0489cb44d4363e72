"""The claims of twistcorn.policy.cores, on file systems that are dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.cgroups import CGROUPS, MOUNTS
from twistcorn.policy.cores import auto_workers

V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n"
)
HYBRID = V1 + "34 31 0:31 / /sys/fs/cgroup/unified rw shared:12 - cgroup2 cgroup2 rw\n"
V1_GROUPS = "5:cpuset:/\n4:cpu,cpuacct:/app\n1:name=systemd:/app\n0::/app\n"

CPU = "/sys/fs/cgroup/cpu,cpuacct"


def v1(folder: str, quota: str, period: str = "100000\n") -> dict[str, str]:
    """The two files of a v1 cgroup."""
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


#: name: (cores by affinity, the files, workers, the reason)
TABLE: dict[str, tuple[int, dict[str, str], int, str]] = {
    "no cgroup": (4, {}, 4, "4 workers: CPU affinity allows 4 cores"),
    "no cgroup and one core": (1, {}, 1, "1 worker: CPU affinity allows 1 core"),
    "affinity unknown": (0, {}, 1, "1 worker: CPU affinity allows 1 core"),
    "v2, a fraction of a core": (
        16,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "350000 100000\n"},
        4,
        "4 workers: cgroup cpu.max allows 3.5 of 16 cores",
    ),
    "v2, whole cores": (
        16,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "300000 100000\n"},
        3,
        "3 workers: cgroup cpu.max allows 3 of 16 cores",
    ),
    "v2, less than a core": (
        16,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "1000 1000000\n"},
        1,
        "1 worker: cgroup cpu.max allows 0.001 of 16 cores",
    ),
    "v2, no limit": (
        2,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "max 100000\n"},
        2,
        "2 workers: CPU affinity allows 2 cores",
    ),
    "v2, a quota above the affinity": (
        2,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "800000 100000\n"},
        2,
        "2 workers: CPU affinity allows 2 cores",
    ),
    "v2, a quota without its period": (
        16,
        {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": "200000\n"},
        2,
        "2 workers: cgroup cpu.max allows 2 of 16 cores",
    ),
    "v2, an ancestor is tighter": (
        16,
        {
            CGROUPS: "0::/web/app/main\n",
            MOUNTS: V2,
            "/sys/fs/cgroup/web/app/main/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/web/app/cpu.max": "800000 100000\n",
            "/sys/fs/cgroup/web/cpu.max": "150000 100000\n",
        },
        2,
        "2 workers: cgroup cpu.max allows 1.5 of 16 cores",
    ),
    "v2, the innermost is tighter": (
        16,
        {
            CGROUPS: "0::/web/app\n",
            MOUNTS: V2,
            "/sys/fs/cgroup/web/app/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/web/cpu.max": "800000 100000\n",
        },
        2,
        "2 workers: cgroup cpu.max allows 1.5 of 16 cores",
    ),
    "v2, a container with its own namespace": (
        16,
        {CGROUPS: "0::/\n", MOUNTS: V2, "/sys/fs/cgroup/cpu.max": "250000 100000\n"},
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, a container that is told the path of the host": (
        16,
        {
            CGROUPS: "0::/docker/abc\n",
            MOUNTS: "30 23 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
            "/sys/fs/cgroup/cpu.max": "250000 100000\n",
        },
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, a group outside the namespace": (
        16,
        {CGROUPS: "0::/../other\n", MOUNTS: V2, "/sys/fs/cgroup/cpu.max": "250000 100000\n"},
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, a second mount shows only others": (
        16,
        {
            CGROUPS: "0::/app\n",
            MOUNTS: "40 23 0:27 /other /mnt/other ro - cgroup2 cgroup2 rw\n" + V2,
            "/mnt/other/cpu.max": "100000 100000\n",
            "/sys/fs/cgroup/app/cpu.max": "250000 100000\n",
        },
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, mounted at a path with a blank": (
        16,
        {
            CGROUPS: "0::/app\n",
            MOUNTS: "30 23 0:27 / /mnt/c\\040groups rw - cgroup2 cgroup2 rw\n",
            "/mnt/c groups/app/cpu.max": "250000 100000\n",
        },
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, mountinfo cannot be read": (
        16,
        {CGROUPS: "0::/app\n", "/sys/fs/cgroup/app/cpu.max": "250000 100000\n"},
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v2, neither mountinfo nor the cgroup can be read": (
        16,
        {"/sys/fs/cgroup/cpu.max": "250000 100000\n"},
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
    "v1, a fraction of a core": (
        16,
        {CGROUPS: V1_GROUPS, MOUNTS: V1, **v1(f"{CPU}/app", "150000\n")},
        2,
        "2 workers: cgroup cpu.cfs_quota_us allows 1.5 of 16 cores",
    ),
    "v1, no limit": (
        16,
        {CGROUPS: V1_GROUPS, MOUNTS: V1, **v1(f"{CPU}/app", "-1\n")},
        16,
        "16 workers: CPU affinity allows 16 cores",
    ),
    "v1, an ancestor is tighter": (
        16,
        {
            CGROUPS: "4:cpu,cpuacct:/web/app\n",
            MOUNTS: V1,
            **v1(f"{CPU}/web/app", "-1\n"),
            **v1(f"{CPU}/web", "50000\n", "25000\n"),
        },
        2,
        "2 workers: cgroup cpu.cfs_quota_us allows 2 of 16 cores",
    ),
    "v1, a container that is told the path of the host": (
        16,
        {
            CGROUPS: "4:cpu,cpuacct:/docker/abc\n",
            MOUNTS: V1.replace("0:29 / ", "0:29 /docker/abc "),
            **v1(CPU, "150000\n"),
        },
        2,
        "2 workers: cgroup cpu.cfs_quota_us allows 1.5 of 16 cores",
    ),
    "v1, mountinfo cannot be read": (
        16,
        {CGROUPS: V1_GROUPS, **v1("/sys/fs/cgroup/cpu/app", "150000\n")},
        2,
        "2 workers: cgroup cpu.cfs_quota_us allows 1.5 of 16 cores",
    ),
    "v1, the period is missing": (
        16,
        {CGROUPS: V1_GROUPS, MOUNTS: V1, f"{CPU}/app/cpu.cfs_quota_us": "150000\n"},
        16,
        "16 workers: CPU affinity allows 16 cores",
    ),
    "hybrid, v1 limits": (
        16,
        {CGROUPS: V1_GROUPS, MOUNTS: HYBRID, **v1(f"{CPU}/app", "150000\n")},
        2,
        "2 workers: cgroup cpu.cfs_quota_us allows 1.5 of 16 cores",
    ),
    "hybrid, both limit": (
        16,
        {
            CGROUPS: V1_GROUPS,
            MOUNTS: HYBRID,
            "/sys/fs/cgroup/unified/app/cpu.max": "100000 100000\n",
            **v1(f"{CPU}/app", "150000\n"),
        },
        1,
        "1 worker: cgroup cpu.max allows 1 of 16 cores",
    ),
    "malformed mounts and groups": (
        16,
        {
            CGROUPS: "\n0\n::\n0::relative\nnonsense\n0::/app\n",
            MOUNTS: "\nshort - cgroup2\n1 2 3 4 5 6 7 8\n" + V2,
            "/sys/fs/cgroup/app/cpu.max": "250000 100000\n",
        },
        3,
        "3 workers: cgroup cpu.max allows 2.5 of 16 cores",
    ),
}

#: Contents of cpu.max that say nothing a limit can be made of.
NONSENSE = ["", "\n", "max", "0 100000", "100000 0", "-1 100000", "1.5 1", "a b", "1 2 3", "²000 1000"]
NONSENSE += ["9" * 5000]


@pytest.mark.parametrize("name", TABLE)
def test_workers_and_reason(name: str) -> None:
    """The tightest of affinity and quotas decides, and the reason names it."""
    affinity, files, workers, reason = TABLE[name]

    assert auto_workers(affinity, files.get) == (workers, reason)


@pytest.mark.parametrize("content", NONSENSE, ids=lambda content: repr(content[:12]))
def test_cpu_max_that_makes_no_sense(content: str) -> None:
    """A file that cannot be understood sets no limit."""
    files = {CGROUPS: "0::/app\n", MOUNTS: V2, "/sys/fs/cgroup/app/cpu.max": content}

    assert auto_workers(4, files.get) == (4, "4 workers: CPU affinity allows 4 cores")


@given(
    affinity=st.integers(-1, 512),
    files=st.dictionaries(
        st.sampled_from([CGROUPS, MOUNTS, "/sys/fs/cgroup/cpu.max", *v1("/sys/fs/cgroup/cpu", "")]),
        st.text() | st.from_regex(r"[0-9]{1,20} [0-9]{1,20}\n") | st.just(V2) | st.just(V1_GROUPS),
    ),
)
def test_files_of_any_content(affinity: int, files: dict[str, str]) -> None:
    """Whatever the files hold, there is at least one worker and at most one for each core."""
    workers, reason = auto_workers(affinity, files.get)

    assert 1 <= workers <= max(affinity, 1)
    assert reason.startswith(f"{workers} worker")
