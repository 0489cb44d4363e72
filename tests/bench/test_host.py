"""How much the machine was disturbed."""

from __future__ import annotations

from bench.host import Snapshot, disturbance, facts, parse_ticks, snapshot, stolen

BEFORE, AFTER = Snapshot(0.5, 10, 1000), Snapshot(1.25, 30, 2000)


def test_steal_is_the_eighth_figure() -> None:
    """Guest time behind it is in user time already; old kernels have fewer figures."""
    assert parse_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1") == (8, 36)
    assert parse_ticks("cpu  1 2 3 4\n") == (0, 10)


def test_disturbance_is_told() -> None:
    """Load before and after, and the part of the CPUs' time that others had."""
    assert stolen(BEFORE, AFTER) == 0.02
    line = disturbance(BEFORE, AFTER)
    assert line == "load average of the machine: 0.50 before, 1.25 after; steal time: 2.00% of its CPUs"
    assert stolen(BEFORE, BEFORE) == 0.0


def test_this_machine_can_be_read() -> None:
    """The kernel's own files are understood."""
    before = snapshot()
    assert before.ticks > 0
    assert facts(before, snapshot())["cpus"]
