"""Which CPUs the server runs on and which the load generator.

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
    """CPUs for the server, one for the load generator; or none when there are not enough of them."""

    server: tuple[int, ...]
    load: int | None
    shared_core: bool = False
    why_none: str = "fewer CPUs than workers and load generator, which share them"

    def describe(self) -> str:
        """One sentence for the head of the report."""
        if not self.server:
            return f"nothing pinned: {self.why_none}"
        note = ", two threads of ONE physical core" if self.shared_core else ""
        plural = "s" if len(self.server) > 1 else ""
        cpus = ", ".join(map(str, self.server))
        return f"server tree pinned to CPU{plural} {cpus}, load generator to CPU {self.load}{note}"


def choose(available: Sequence[int], siblings: Callable[[int], frozenset[int]], workers: int = 1) -> Pins:
    """The first CPUs for the server, one a worker; for the load another, of another physical core if there is one."""
    if len(available) < workers + 1:
        return Pins((), None)
    everyone = sorted(available)
    server, others = tuple(everyone[:workers]), everyone[workers:]
    taken = frozenset[int]().union(*map(siblings, server))
    apart = [cpu for cpu in others if cpu not in taken]
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


def choose_here(workers: int = 1) -> Pins:
    """The choice among the CPUs this process may use."""
    return choose(sorted(os.sched_getaffinity(0)), siblings_of, workers)


#: A server whose threads can use another CPU may then do so.
NO_PINS = Pins((), None, why_none="the kernel places everything")


def pinning(*cpus: int | None) -> Callable[[], None] | None:
    """What a child runs before its program: bind itself, and so all its children, to these CPUs; to none: nothing."""
    mask = {cpu for cpu in cpus if cpu is not None}
    if not mask:
        return None
    return lambda: os.sched_setaffinity(0, mask)
