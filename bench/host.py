"""The machine that figures belong to, and how much it was disturbed while they were taken.

Law: reads ``/proc``; measures and starts nothing.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

#: In the first line of ``/proc/stat``: user, nice, system, idle, iowait, irq, softirq, steal. What follows them
#: (guest time) is in user and nice already.
STEAL, TICKS = 7, 8


@dataclass(frozen=True)
class Snapshot:
    """The machine at one moment: its load average of a minute, and ticks of its CPUs since boot."""

    load: float
    steal: int
    ticks: int


def parse_ticks(text: str) -> tuple[int, int]:
    """Steal and all ticks, from the text of ``/proc/stat``; old kernels tell fewer."""
    ticks = [int(word) for word in text.partition("\n")[0].split()[1:]]
    return (ticks[STEAL] if len(ticks) > STEAL else 0), sum(ticks[:TICKS])


def snapshot() -> Snapshot:
    """The machine now."""
    return Snapshot(os.getloadavg()[0], *parse_ticks(Path("/proc/stat").read_text()))


def stolen(before: Snapshot, after: Snapshot) -> float:
    """The part of the CPUs' time that the hypervisor gave to others."""
    return (after.steal - before.steal) / max(1, after.ticks - before.ticks)


def disturbance(before: Snapshot, after: Snapshot) -> str:
    """One line for the end of a report."""
    loads = f"load average of the machine: {before.load:.2f} before, {after.load:.2f} after"
    return f"{loads}; steal time: {stolen(before, after):.2%} of its CPUs"


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def facts(before: Snapshot, after: Snapshot) -> dict[str, object]:
    """All of it, for ``--json``."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_average": [before.load, after.load],
        "steal": stolen(before, after),
    }
