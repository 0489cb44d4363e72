"""Figures as bars, as an SVG document that stands alone.

Law: pure, text from values. No script, no font of its own, nothing that is fetched; light or dark as the reader's
system is, on a ground of its own, because the page around it may be otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.report import Spread

COLUMNS = 2
WIDTH = 470
MARGIN = 16
LABEL = 120
#: Room for the figure behind the longest bar.
FIGURE = 70
LINE = 19
BAR = 12
TITLE = 30
HEAD = 56
STYLE = """\
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.ground { fill: #ffffff; } text { fill: #24292f; } .quiet { fill: #57606a; }
.title { font-weight: 600; } .head { font-size: 15px; font-weight: 600; }
.bar { fill: #afb8c1; } .ours { fill: #1a7f37; } .reach { stroke: #24292f; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .bar { fill: #545d68; } .ours { fill: #3fb950; } .reach { stroke: #e6edf3; }
}"""


@dataclass(frozen=True)
class Bar:
    """One figure; ``ours`` are coloured."""

    label: str
    value: Spread | None
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars that have one scale, which begins at zero."""

    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """In pixels, the gap below included."""
        return TITLE + LINE * len(self.bars) + MARGIN


def short(value: float) -> str:
    """Three digits that mean something."""
    if not value:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def _bar(bar: Bar, x: float, y: float, scale: float) -> list[str]:
    middle, start = y + LINE / 2, x + LABEL
    parts = [_text(start - 8, middle + 4, bar.label, "title" if bar.ours else "", "end")]
    if bar.value is None:
        return [*parts, _text(start, middle + 4, "no figure", "quiet")]
    value = bar.value
    length, low, high = (number * scale for number in (value.median, value.low, value.high))
    style = "ours" if bar.ours else "bar"
    parts.append(
        f'<rect class="{style}" x="{start}" y="{middle - BAR / 2}" width="{length:.1f}" height="{BAR}"/>'
    )
    if value.count > 1:
        ends = f'x1="{start + low:.1f}" x2="{start + high:.1f}"'
        parts.append(f'<line class="reach" {ends} y1="{middle}" y2="{middle}"/>')
    return [*parts, _text(start + max(length, high) + 6, middle + 4, short(value.median))]


def _panel(panel: Panel, x: float, y: float) -> list[str]:
    known = [bar.value.high for bar in panel.bars if bar.value is not None]
    scale = (WIDTH - LABEL - FIGURE - MARGIN) / (max(known, default=0.0) or 1.0)
    parts = [_text(x + MARGIN, y + 18, panel.title, "title")]
    for number, bar in enumerate(panel.bars):
        parts += _bar(bar, x + MARGIN, y + TITLE + number * LINE, scale)
    return parts


def draw(title: str, legend: str, panels: Sequence[Panel]) -> str:
    """The whole document: panels from left to right, then down."""
    rows = [panels[first : first + COLUMNS] for first in range(0, len(panels), COLUMNS)]
    y = HEAD + MARGIN
    parts: list[str] = []
    for row in rows:
        for column, panel in enumerate(row):
            parts += _panel(panel, column * WIDTH, y)
        y += max(panel.height for panel in row)
    width = WIDTH * min(COLUMNS, max(1, len(panels)))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">'
    top = [f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>"]
    top.append('<rect class="ground" width="100%" height="100%"/>')
    top += [_text(MARGIN, 26, title, "head"), _text(MARGIN, 46, legend, "quiet")]
    return "\n".join([head, *top, *parts, "</svg>", ""])
