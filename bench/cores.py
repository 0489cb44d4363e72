"""Which CPU the server runs on and which the load generator.

Law: chooses and pins; knows nothing of servers or load.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True)
class Pins:
    """A CPU each for server and load generator, or none when there is only one."""

    server: int | None
    load: int | None
    shared_core: bool = False

    def describe(self) -> str:
        """One sentence for the head of the report."""
        if self.server is None:
            return "nothing pinned: only one CPU, which server and wrk share"
        note = ", two threads of ONE physical core" if self.shared_core else ""
        return f"server tree pinned to CPU {self.server}, wrk to CPU {self.load}{note}"


def choose(available: Sequence[int], siblings: Callable[[int], frozenset[int]]) -> Pins:
    """The first CPU for the server; for the load another, of another physical core if there is one."""
    if len(available) < 2:
        return Pins(None, None)
    server, *others = sorted(available)
    apart = [cpu for cpu in others if cpu not in siblings(server)]
    return Pins(server, (apart or others)[0], shared_core=not apart)


def parse_cpu_list(text: str) -> frozenset[int]:
    """The kernel's CPU list format, as in ``0-1,4``."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def siblings_of(cpu: int) -> frozenset[int]:
    """The CPUs which share a physical core with this one, itself included."""
    try:
        return parse_cpu_list(Path(SIBLINGS.format(cpu)).read_text())
    except OSError:
        return frozenset({cpu})


def choose_here() -> Pins:
    """The choice among the CPUs this process may use."""
    return choose(sorted(os.sched_getaffinity(0)), siblings_of)


def pinning(cpu: int | None) -> Callable[[], None] | None:
    """What a child runs before its program: bind itself, and so all its children, to one CPU."""
    if cpu is None:
        return None
    mask = {cpu}
    return lambda: os.sched_setaffinity(0, mask)
