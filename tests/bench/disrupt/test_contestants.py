"""The table of servers, and the page that repeats their command lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bench.disrupt.contestants import CONTESTANTS, TWISTCORN, Contestant, Feature, command_line, without
from bench.disrupt.scenarios import SCENARIOS, Scenario
from bench.peers import REQUIREMENTS, parse_pins, pinned_name
from bench.servers import Home, Place

PAGE = Path(__file__).parents[3] / "docs" / "disruption.md"
BLANKS = {name: name.upper() for name in ("python", "bin", "venv", "apps", "port")}
PLACE = Place(Path("/v/bin/python"), Path("/apps"), 8000)
each = pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda contestant: contestant.name)


def page() -> str:
    """The page, on one line."""
    return re.sub(r"\s+", " ", PAGE.read_text())


@each
def test_page_repeats_the_command_line(contestant: Contestant) -> None:
    """What the page says of a server, and of its options for a scenario, is what the benchmark runs."""
    assert shlex.join(word.format_map(BLANKS) for word in contestant.template()) in page()
    for options in contestant.options.values():
        assert f"`{' '.join(options)}`" in page()
    for reason in contestant.lacks.values():
        assert reason in page()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_page_tells_what_must_hold(scenario: Scenario) -> None:
    """Each scenario is on the page, with the words of the table."""
    assert f"| `{scenario.name}` | {scenario.summary} | {scenario.must} |" in page()


@each
@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_feature_is_configured_or_its_lack_explained(contestant: Contestant, feature: Feature) -> None:
    """One of both, never none, and no blank stays open."""
    assert (feature in contestant.options) is not (feature in contestant.lacks)
    line = " ".join(command_line(contestant, feature, PLACE))
    assert "{" not in line
    assert "8000" in line


def test_every_peer_is_pinned() -> None:
    """The versions are those of the other benchmark."""
    pins = {pinned_name(pin) for pin in parse_pins(REQUIREMENTS.read_text())}
    assert {c.distribution for c in CONTESTANTS if c.home is Home.PEERS} <= pins
    assert [c.name for c in CONTESTANTS if c.home is Home.OWN] == [TWISTCORN]


def test_option_left_out() -> None:
    """The option goes with its value, and nothing else does."""
    line = ["run", "app", "--wait", "3s", "--workers", "4", "--loud", "--port", "1"]
    assert without(line, ["--wait", "--loud"]) == ["run", "app", "--workers", "4", "--port", "1"]
    ours = CONTESTANTS[0]
    kept = command_line(ours, Feature.REQUEST_TIMEOUT, PLACE, ["--request-timeout"])
    assert kept == command_line(ours, None, PLACE)


def test_nothing_is_left_out_of_a_peers_line() -> None:
    """The option is for a twistcorn that does not know something yet."""
    theirs = CONTESTANTS[1]
    assert "--max-requests" in command_line(theirs, Feature.RECYCLING, PLACE, ["--max-requests"])
