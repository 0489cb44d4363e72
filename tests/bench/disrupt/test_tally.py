"""The counters of a phase and the record of them."""

from __future__ import annotations

import json

from bench.disrupt.tally import Latency, Phase, Tally, from_json, latency_of, to_json


def filled() -> Phase:
    """A phase in which some of everything happened."""
    tally = Tally("calm", 10.0)
    for number in range(1000):
        tally.answer(number / 1000, "7", "1")
    tally.failures["status 502"] += 2
    tally.failures["no answer"] += 1
    tally.cut, tally.cut_idle, tally.planned = 1, 4, 8
    return tally.phase(12.5)


def test_record_of_a_phase() -> None:
    """Each counter has its place; failed and dropped are sums."""
    phase = filled()
    assert (phase.name, phase.seconds, phase.answered, phase.planned) == ("calm", 2.5, 1000, 8)
    assert (phase.failed, phase.dropped, phase.failed_but("status 502")) == (3, 5, 1)
    assert phase.latency == Latency(0.5, 0.99, 0.999, 0.999)
    assert (phase.by_worker, phase.by_version) == ({"7": 1000}, {"1": 1000})


def test_record_goes_through_json_unchanged() -> None:
    """The clients' process writes it and the benchmark reads it, also without an answer."""
    for phase in (filled(), Tally("empty", 0.0).phase(1.0)):
        assert from_json(json.loads(json.dumps(to_json(phase)))) == phase


def test_quantiles() -> None:
    """Nothing has no latency, and one answer is all of them."""
    assert latency_of([]) is None
    assert latency_of([0.25]) == Latency(0.25, 0.25, 0.25, 0.25)
    assert latency_of([3.0, 1.0, 2.0]) == Latency(2.0, 3.0, 3.0, 3.0)
