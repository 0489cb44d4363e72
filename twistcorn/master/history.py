"""A sample of the server each second, and how much of a processor each worker takes.

Law: looks and remembers a bounded while; what the numbers mean is `pool.samples`'.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ..pool.samples import Counted, Gauges, Sample, Samples, sample

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has had (proc_pid_stat(5)); 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program, in parentheses, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return 0.0


class History:
    """The past of a server.

    :param counted: what was counted until now; `gauges`: what is so now.
    :param seconds: monotonic time, by which rates are measured.
    """

    def __init__(
        self,
        counted: Callable[[], Counted],
        gauges: Callable[[], Gauges],
        now: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted = counted
        self._gauges = gauges
        self._now = now
        self._seconds = seconds
        self._samples = Samples()
        self._at = seconds()
        self._last = counted()

    def take(self) -> dict[str, Any]:
        """Take a sample of the time since the last one, and return it as plain values."""
        at, counted = self._seconds(), self._counted()
        taken: Sample = sample(self._last, counted, max(at - self._at, 1e-3), self._now(), self._gauges())
        self._at, self._last = at, counted
        self._samples.add(taken)
        return asdict(taken)

    def columns(self) -> dict[str, list[Any]]:
        """All that is remembered, by what was measured."""
        return self._samples.columns()


class Usage:
    """The share of a processor that processes take.

    :param cpu: seconds of processor time of a process.
    """

    def __init__(
        self, cpu: Callable[[int], float] = cpu_of, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu = cpu
        self._seconds = seconds
        self._seen: dict[int, tuple[float, float]] = {}

    def look(self, pids: Iterable[int]) -> dict[int, float | None]:
        """The share of each since the last look, 1 for one processor; None for those seen for the first time."""
        at = self._seconds()
        seen = {pid: (at, self._cpu(pid)) for pid in pids}
        shares = {pid: self._share(pid, *now) for pid, now in seen.items()}
        self._seen = seen
        return shares

    def _share(self, pid: int, at: float, cpu: float) -> float | None:
        then, before = self._seen.get(pid, (at, cpu))
        return round(max(0.0, cpu - before) / (at - then), 3) if at > then else None
