"""The plot: a document that stands alone and shows every figure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.plot import Bar, Panel, draw, short
from bench.report import Spread

SVG = "{http://www.w3.org/2000/svg}"
PANELS = [
    Panel(
        "one <&> two", [Bar("ours", Spread(10.0, 9.0, 20.0, 3), ours=True), Bar("theirs", Spread(5, 5, 5, 1))]
    ),
    Panel("nothing", [Bar("absent", None)]),
    Panel("third", [Bar("zero", Spread(0, 0, 0, 2))]),
]
TEXT = draw("Title", "legend", PANELS)


def test_everything_is_shown() -> None:
    """Titles, names and figures are there, also of what has no figure."""
    words = [element.text for element in ElementTree.fromstring(TEXT).iter(f"{SVG}text")]
    assert words == [
        *("Title", "legend", "one <&> two", "ours", "10", "theirs", "5"),
        *("nothing", "absent", "no figure", "third", "zero", "0"),
    ]


def test_bars_of_a_panel_have_one_scale() -> None:
    """Twice the figure is twice the length, and the spread is drawn where there is one."""
    root = ElementTree.fromstring(TEXT)
    ours, theirs = (
        next(rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == kind)
        for kind in ("ours", "bar")
    )
    assert float(ours.get("width", 0)) == 2 * float(theirs.get("width", 0)) > 0
    assert len(list(root.iter(f"{SVG}line"))) == 2


def test_nothing_leaves_the_document() -> None:
    """Everything lies within its frame; nothing is fetched and nothing runs; dark has its own colours."""
    root = ElementTree.fromstring(TEXT)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for element in root.iter():
        x, y = (float(element.get(name, "0")) for name in ("x", "y"))
        assert 0 <= x <= width
        assert 0 <= y <= height
    assert re.findall(r"https?://[^\"]*", TEXT) == [SVG.strip("{}")]
    assert not re.search(r"@import|@font-face|url\(|<script|href", TEXT)
    assert "prefers-color-scheme: dark" in TEXT


def test_figures_are_short() -> None:
    """Three digits, and all of a large whole number."""
    assert [short(value) for value in (0, 0.1234, 12.34, 123.4, 54321.0)] == [
        "0",
        "0.123",
        "12.3",
        "123",
        "54,321",
    ]
