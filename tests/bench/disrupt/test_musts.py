"""What must hold: each promise is found kept, and each way to break it is found and named."""

from __future__ import annotations

import pytest

from bench.disrupt import musts
from bench.disrupt.asides import Aside
from bench.disrupt.outcomes import Outcome
from bench.disrupt.scenarios import SCENARIOS
from bench.disrupt.tally import Latency
from tests.bench.disrupt.made import USUAL, outcome, phase

JUDGES = {scenario.name: scenario.judge for scenario in SCENARIOS}
OLD = phase(by_version={"1": 100})
MENDED = phase("mended", by_version={"3": 10})
SHED = phase("flood", failures={"status 503": 900})
CALM_AGAIN = phase("recovered")
SLOW = Latency(0.01, 0.02, 0.025, 0.9)
TAIL = Latency(0.01, 0.02, 0.06, 0.07)
STUCK = {"boot": 1.2, "stack logged": 1.0}
GATEWAYS = (Aside(502, 0.1),) * 20

KEPT = {
    "reload": outcome(),
    "bad-deploy": outcome(OLD, MENDED, figures={"log tells": 1.0}),
    "crash-storm-get": outcome(figures={"killed": 60}),
    "crash-storm-post": outcome(phase(failures={"status 502": 9}), figures={"killed": 60}),
    "stuck-request": outcome(asides=(Aside(504, 6.1),), figures=STUCK),
    "poison-url": outcome(asides=GATEWAYS, figures={"reports": 20}),
    "recycle": outcome(figures={"recycled": 9}),
    "skew": outcome(figures={"workers": 4}),
    "stopped-worker": outcome(figures={"replaced after": 5.9}),
    "overload": outcome(phase(failures={"status 503": 5}), SHED, CALM_AGAIN, figures={"grown": 0}),
    "graceful-term": outcome(figures={"exit": 0, "left": 0}),
}

BROKEN = [
    ("reload", outcome(phase(failures={"no answer": 2})), "2 failed"),
    ("reload", outcome(phase(cut_idle=3)), "3 dropped"),
    ("reload", outcome(phase(planned=4)), "4 connections were asked to close"),
    ("reload", outcome(phase(latency=SLOW)), "worst 0.90 s"),
    ("reload", outcome(phase(latency=TAIL)), "99.9th percentile 4.0 times the steady one"),
    ("reload", outcome(run_twice=1), "1 ran twice"),
    ("reload", outcome(OLD), "the new code never served"),
    ("reload", outcome(ended="status 3"), "the server ended (status 3)"),
    ("bad-deploy", outcome(OLD, MENDED), "the log does not tell"),
    (
        "bad-deploy",
        outcome(OLD, OLD, phase("mended"), figures={"log tells": 1.0}),
        "the next good reload did not work",
    ),
    ("bad-deploy", outcome(phase(), MENDED, figures={"log tells": 1.0}), "not the old code alone served"),
    ("crash-storm-get", outcome(phase(failures={"status 502": 1}), figures={"killed": 60}), "1 failed"),
    ("crash-storm-get", outcome(figures={"killed": 0}), "no worker was killed"),
    (
        "crash-storm-post",
        outcome(phase(failures={"no answer": 1}), figures={"killed": 6}),
        "1 failed otherwise than by 502",
    ),
    ("crash-storm-post", outcome(run_twice=2, figures={"killed": 60}), "2 ran twice"),
    ("stuck-request", outcome(asides=(Aside(None, 5.0),), figures=STUCK), "the stuck client got no answer"),
    ("stuck-request", outcome(asides=(Aside(504, 6.3),), figures=STUCK), "the stuck client 6.30 s"),
    ("stuck-request", outcome(asides=(Aside(504, 5.0),), figures={"boot": 1.0}), "no stack in the log"),
    (
        "poison-url",
        outcome(asides=(*GATEWAYS[1:], Aside(None, 1.0)), figures={"reports": 20}),
        "1 of 20 had no 502",
    ),
    ("poison-url", outcome(asides=GATEWAYS, figures={"reports": 19}), "19 reports name the URL"),
    ("recycle", outcome(figures={"recycled": 0}), "no worker was recycled"),
    ("recycle", outcome(phase(latency=SLOW), figures={"recycled": 9}), "worst 0.90 s"),
    (
        "skew",
        outcome(phase(by_worker={"1": 14, "2": 10}), figures={"workers": 2}),
        "largest 1.40 times the smallest",
    ),
    ("skew", outcome(phase(by_worker={"1": 100}), figures={"workers": 2}), "a worker without a request"),
    ("stopped-worker", outcome(figures={"replaced after": 6.1}), "replaced after 6.10 s"),
    ("stopped-worker", outcome(), "replaced after: never"),
    ("overload", outcome(phase(), phase("flood"), CALM_AGAIN, figures={"grown": 0}), "nothing was shed"),
    ("overload", outcome(phase(), SHED, CALM_AGAIN, figures={"grown": 50 << 20}), "memory grew by 50 MiB"),
    (
        "overload",
        outcome(phase(failures={"too late": 1}), SHED, CALM_AGAIN, figures={"grown": 0}),
        "disrupted: 1 failed otherwise than by 503",
    ),
    (
        "overload",
        outcome(phase(), SHED, phase("recovered", latency=SLOW), figures={"grown": 0}),
        "recovered: worst 0.90 s",
    ),
    ("graceful-term", outcome(phase(failures={"no answer": 1}), figures={"exit": 0, "left": 0}), "1 failed"),
    ("graceful-term", outcome(figures={"exit": 1, "left": 0}), "exit 1"),
    ("graceful-term", outcome(figures={"exit": 0, "left": 2}), "2 processes left"),
]


def test_every_scenario_is_judged() -> None:
    """Each has an outcome here that keeps it, and one at least that does not."""
    assert set(KEPT) == set(JUDGES) == {name for name, _, _ in BROKEN}


@pytest.mark.parametrize("name", KEPT)
def test_promise_kept(name: str) -> None:
    """Nothing is held against a server that does as it should."""
    assert list(JUDGES[name](KEPT[name])) == []


@pytest.mark.parametrize(("name", "broken", "reason"), BROKEN)
def test_promise_broken(name: str, broken: Outcome, reason: str) -> None:
    """What is wrong, and nothing else, is named."""
    assert list(JUDGES[name](broken)) == [reason]


def test_nothing_answered_is_not_unharmed() -> None:
    """A server that lets everybody wait fails nobody, and is not well for that."""
    assert list(musts.unharmed(phase(answered=0, latency=None))) == ["nothing was answered"]
    assert list(musts.quick(outcome(phase(latency=None)))) == ["no latency is known"]
    assert list(musts.quick(outcome(phase(latency=USUAL)))) == []
