"""The processes of one server the CPU time they took and the memory they hold, from ``/proc``.

Law: reads ``/proc`` and nothing else; starts and ends no process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
ZOMBIE = "Z"


@dataclass(frozen=True)
class Stat:
    """What we use of ``/proc/PID/stat``; ticks include those of the children already reaped."""

    pid: int
    state: str
    parent: int
    session: int
    ticks: int
    started: int


def parse_stat(text: str) -> Stat:
    """Read one stat line; the name in parentheses may itself hold blanks and parentheses."""
    pid, _, rest = text.partition(" ")
    fields = rest.rpartition(")")[2].split()
    return Stat(
        pid=int(pid),
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=sum(int(field) for field in fields[11:15]),
        started=int(fields[19]),
    )


def family(roots: Set[int], stats: Iterable[Stat]) -> list[Stat]:
    """The roots, all that descend from them, and all of their sessions, orphans included."""
    everyone = list(stats)
    members = {stat.pid for stat in everyone if stat.pid in roots or stat.session in roots}
    grown = True
    while grown:
        born = {stat.pid for stat in everyone if stat.parent in members} - members
        members |= born
        grown = bool(born)
    return [stat for stat in everyone if stat.pid in members]


def read_stats() -> Iterator[Stat]:
    """The stat of each process that is still there when we come to it."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                yield parse_stat(Path("/proc", name, "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue


def family_of(roots: Set[int]) -> list[Stat]:
    """The family as it is now."""
    return family(roots, read_stats())


def parse_pss(text: str) -> int:
    """Bytes, from ``smaps_rollup``: what is shared counts in equal parts for those who share it."""
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def tree_memory(root: int) -> int:
    """Bytes of memory of the whole family (proportional set size)."""
    total = 0
    for stat in family_of({root}):
        # Whoever has gone meanwhile, or waits to be reaped, has no memory.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += parse_pss(Path("/proc", str(stat.pid), "smaps_rollup").read_text())
    return total


def cpu_seconds(root: int) -> float:
    """User and system time of the whole family so far, its reaped children included."""
    return sum(stat.ticks for stat in family_of({root})) / TICKS_PER_SECOND
