"""The table that is printed."""

from __future__ import annotations

import pytest

from bench.disrupt.asides import Aside
from bench.disrupt.outcomes import Absent, Outcome
from bench.disrupt.report import notes, text, unmet
from bench.disrupt.scenarios import SCENARIOS
from tests.bench.disrupt.made import outcome, phase

RELOAD = SCENARIOS[0]


def row(*results: Outcome | Absent) -> str:
    """The last line of the table of one scenario."""
    return text([RELOAD], results).splitlines()[-1]


def test_promise_of_ours_is_in_its_column() -> None:
    """Reached, or not and why."""
    assert " reached" in row(outcome())
    assert row(outcome(phase(planned=4))) == "twistcorn: NOT reached: 4 connections were asked to close"


def test_peers_are_not_judged() -> None:
    """They promised nothing: their column is empty, whatever happened."""
    bad = outcome(phase(failures={"no answer": 2}), server="granian")
    assert unmet(bad, RELOAD) is None
    assert row(bad).split()[:5] == ["granian", "100", "2", "0", "0"]


def test_result_that_is_not_there_says_why() -> None:
    """For us that is a broken promise as well."""
    assert row(Absent("uwsgi", "reload", "it would not start")).endswith("NOT RUN: it would not start")
    assert unmet(Absent("twistcorn", "reload", "it would not start"), RELOAD) == ["it would not start"]


def test_what_must_hold_stands_above_the_table() -> None:
    """A scenario without a result has no table."""
    printed = text(SCENARIOS, [outcome()])
    assert f"must: {RELOAD.must}" in printed
    assert SCENARIOS[1].must not in printed


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (outcome(phase(failures={"refused": 1, "no answer": 2})), "2 no answer, 1 refused"),
        (outcome(ended="SIGSEGV"), "THE SERVER ENDED (SIGSEGV)"),
        (outcome(run_twice=3), "3 RAN TWICE"),
        (outcome(phase(), phase("mended", cut_idle=5)), "mended: none failed, 5 dropped"),
        (
            outcome(asides=(Aside(None, 1.0), Aside(502, 0.5), Aside(None, 2.0))),
            "the request: 1 times 502, after 0.5 s at most; the request: 2 times no answer, after 2.0 s at most",
        ),
        (outcome(figures={"grown": 3 << 20}), "memory grew by 3 MiB"),
        (outcome(figures={"killed": 60}), "killed 60"),
        (
            outcome(phase(by_worker={"1": 10, "2": 30}), figures={"workers": 2}),
            "workers 2; requests by worker 10/30, 3.0 times",
        ),
        (outcome(remarks=("it sheds nothing",)), "it sheds nothing"),
    ],
)
def test_notes(told: Outcome, line: str) -> None:
    """What happened besides the figures is not dropped."""
    assert "; ".join(notes(told)) == line
