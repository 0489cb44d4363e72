"""The choice of CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.cores import NO_PINS, Pins, choose, parse_cpu_list, pinning


def pairs(cpu: int) -> frozenset[int]:
    """CPUs 0 and 1 are one physical core, 2 and 3 the next."""
    return frozenset({cpu, cpu ^ 1})


@pytest.mark.parametrize(
    ("available", "workers", "pins"),
    [
        ([], 1, Pins((), None)),
        ([3], 1, Pins((), None)),
        ([0, 1], 1, Pins((0,), 1, shared_core=True)),
        ([3, 2, 1, 0], 1, Pins((0,), 2)),
        ([1, 2], 1, Pins((1,), 2)),
        ([0, 1], 2, Pins((), None)),
        ([0, 1, 2, 3], 2, Pins((0, 1), 2)),
        ([0, 1, 2, 3], 3, Pins((0, 1, 2), 3, shared_core=True)),
    ],
)
def test_choice(available: list[int], workers: int, pins: Pins) -> None:
    """A CPU for each worker and one for the load, of another physical core where there is one; or none for anybody."""
    assert choose(available, pairs, workers) == pins


def test_sharing_is_told() -> None:
    """What was pinned stands in the report, with what makes it weaker."""
    assert "nothing pinned: fewer CPUs" in Pins((), None).describe()
    assert NO_PINS.describe() == "nothing pinned: the kernel places everything"
    assert "CPU 0," in Pins((0,), 1).describe()
    assert "CPUs 0, 1," in Pins((0, 1), 2).describe()
    assert "ONE physical core" in Pins((0,), 1, shared_core=True).describe()


def test_kernel_cpu_list() -> None:
    """Ranges, single CPUs, and the trailing newline."""
    assert parse_cpu_list("0-2,5\n") == {0, 1, 2, 5}
    assert parse_cpu_list("\n") == frozenset()


def test_pinned_child() -> None:
    """The child is bound before its program starts; without a CPU nothing is done."""
    cpu = min(os.sched_getaffinity(0))
    show = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    assert subprocess.check_output(show, preexec_fn=pinning(cpu), text=True).strip() == str({cpu})
    assert pinning(None) is None
