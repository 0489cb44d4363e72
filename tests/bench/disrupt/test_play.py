"""A whole run, short, with twistcorn itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.disrupt.contestants import CONTESTANTS
from bench.disrupt.outcomes import Absent, Outcome
from bench.disrupt.play import Setting, play
from bench.disrupt.scenarios import SCENARIOS
from bench.disrupt.stage import Pace
from bench.homes import Installation
from bench.servers import Home
from tests.bench.disrupt.made import outcome, phase

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
HERE = Installation(Path(sys.executable), {"twistcorn": "0"})
NOWHERE = Installation(Path(sys.executable), {})
SETTING = Setting(Pace(seconds=1.0, boot=0.0, clients=4), {Home.OWN: HERE, Home.PEERS: NOWHERE}, None)
TWISTCORN, GUNICORN, *_, GRANIAN = CONTESTANTS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reload", "graceful-term"])
def test_scenario_with_twistcorn(name: str) -> None:
    """The clients have their answers before and during the disruption, and it counts what happens."""
    result = play(BY_NAME[name], TWISTCORN, SETTING)
    assert isinstance(result, Outcome)
    assert result.calm.answered > 0
    assert result.disrupted.answered > 0
    assert (result.disrupted.failed, result.disrupted.dropped, result.run_twice) == (0, 0, 0)
    if name == "reload":
        assert set(result.disrupted.by_version) == {"1", "2"}
    else:
        assert (result.figures["exit"], result.figures["left"]) == (0, 0)


def test_server_that_is_not_installed() -> None:
    """It has a row with the reason."""
    result = play(BY_NAME["reload"], GUNICORN, SETTING)
    assert isinstance(result, Absent)
    assert result.reason.startswith("gunicorn is not installed")
    assert not result.by_nature


def test_server_that_lacks_what_the_scenario_is_about() -> None:
    """That is no failure of the benchmark."""
    result = play(BY_NAME["recycle"], GRANIAN, SETTING)
    assert isinstance(result, Absent)
    assert result.by_nature


def test_run_in_which_the_clients_stood_still_is_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kept them from asking, the figures are not the server's."""
    runs = [replace(outcome(), phases=(replace(phase("calm"), stalled=seconds),)) for seconds in (0.9, 0.1)]
    monkeypatch.setattr("bench.disrupt.play.on_stage", lambda *ignored: runs.pop(0))
    result = play(BY_NAME["reload"], TWISTCORN, SETTING)
    assert isinstance(result, Outcome)
    assert result.stalled is None


def test_clients_never_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three such runs there is no figure."""
    spoilt = replace(outcome(), phases=(replace(phase("calm"), stalled=0.9),))
    monkeypatch.setattr("bench.disrupt.play.on_stage", lambda *ignored: spoilt)
    result = play(BY_NAME["reload"], TWISTCORN, SETTING)
    assert isinstance(result, Absent)
    assert "0.9, 0.9, 0.9 s" in result.reason
