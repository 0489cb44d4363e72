"""The picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.disrupt.outcomes import Absent
from bench.disrupt.plot import PANEL, PANELS, svg
from bench.disrupt.scenarios import SCENARIOS
from tests.bench.disrupt.made import outcome, phase

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str | None]:
    """What is written in it."""
    return [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_each_result_has_its_bars_and_figures() -> None:
    """A count in the left panel, milliseconds in the right one; what is not there is said."""
    harmed = outcome(phase(failures={"no answer": 40}, cut_idle=2), server="granian")
    absent = Absent("uwsgi", "reload", "it would not start")
    written = texts(svg(SCENARIOS[:1], ["twistcorn", "granian", "uwsgi"], [outcome(), harmed, absent]))
    assert written[-6:] == ["0", "20", "42", "20", "not run", "not run"]
    assert written.count("reload") == 1


def test_bars_stay_in_their_panel() -> None:
    """No value is longer than the axis, and more is never shorter."""
    for panel in PANELS:
        widths = [panel.width(value) for value in (0, 1, 10, 1000, 10**9)]
        assert widths == sorted(widths)
        assert widths[0] == 0
        assert widths[-1] == PANEL


def test_same_results_same_picture() -> None:
    """The picture in the docs changes only when a figure does."""
    pictures = {svg(SCENARIOS, ["twistcorn"], [outcome()]) for _ in range(2)}
    assert len(pictures) == 1
    assert not re.search(r"\d{4}-\d\d-\d\d", pictures.pop())
