"""What is to be reached, and whether it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.options import server_groups, workload_groups
from bench.report import summarise
from bench.targets import NOBODY, TARGETS, Figure, Target, Verdict, judge, measured, verdict_table
from bench.workloads import Case, Persistence, Workload

LESS = Target("hello-keepalive", Figure.CPU, "granian", bound=1.1, aim=0.7)
EMPTY = summarise([], Workload(Case("hello", "hello", b""), Persistence.KEEP_ALIVE), ["any"], connections=32)[
    0
]
MORE = Target("wait1ms-keepalive", Figure.RATE, "granian", bound=0.95, aim=1.05)


@pytest.mark.parametrize(
    ("target", "value", "reached"),
    [
        (LESS, 1.2, "NO"),
        (LESS, 1.1, "yes"),
        (LESS, 0.7, "yes, and the aim"),
        (MORE, 0.94, "NO"),
        (MORE, 0.95, "yes"),
        (MORE, 1.05, "yes, and the aim"),
    ],
)
def test_bound_and_aim(target: Target, value: float, reached: str) -> None:
    """The bound itself is reached; of requests per second more is better, of all else less."""
    assert Verdict(target, value).reached == reached


def test_targets_name_what_there_is() -> None:
    """Each row can be measured: its workload and its peer exist."""
    for target in TARGETS:
        assert target.workload in workload_groups()
        assert target.against in {*server_groups(), NOBODY}


def test_only_what_was_measured_is_judged() -> None:
    """A row without one of its two figures has no ratio, and no verdict."""
    rows = [replace(EMPTY, server="granian", cpu_ratio=0.9), replace(EMPTY, server="uwsgi")]
    verdicts = judge(measured(rows))
    assert [(verdict.target.against, verdict.value) for verdict in verdicts] == [("granian", 0.9)]


def test_table_says_it_in_words() -> None:
    """Each line tells the bound and whether it was kept; without any there is one line that says so."""
    text = verdict_table({("wait1ms-keepalive", Figure.RATE, "granian"): 0.9})
    assert text.split("\n")[-1].split() == [
        *("wait1ms-keepalive", "requests", "per", "second", "granian", "0.90"),
        *("at", "least", "0.95", "1.05", "NO"),
    ]
    assert verdict_table({}) == "targets: none of them was measured"
