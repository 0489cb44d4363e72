"""Phases and outcomes for the tests.

Law: everything is well unless the test says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.disrupt.outcomes import Outcome
from bench.disrupt.tally import Latency, Phase

USUAL = Latency(0.01, 0.012, 0.015, 0.02)


def phase(
    name: str = "disrupted",
    answered: int = 100,
    failures: Mapping[str, int] | None = None,
    cut_idle: int = 0,
    planned: int = 0,
    latency: Latency | None = USUAL,
    by_worker: Mapping[str, int] | None = None,
    by_version: Mapping[str, int] | None = None,
) -> Phase:
    """One phase."""
    return Phase(
        name=name,
        seconds=10.0,
        answered=answered,
        failures=failures or {},
        cut=0,
        cut_idle=cut_idle,
        planned=planned,
        stalled=0.0,
        latency=latency,
        by_worker=by_worker or {"1": 25, "2": 25, "3": 25, "4": 25},
        by_version=by_version or {"1": 50, "2": 50},
    )


def outcome(*phases: Phase, scenario: str = "reload", server: str = "twistcorn", **more: object) -> Outcome:
    """A calm phase and these."""
    return Outcome(server, scenario, (phase("calm"), *(phases or (phase(),))), **more)  # type: ignore[arg-type]
