"""The picture for the docs: what failed and how long the unluckiest waited, each scenario a group of bars.

Law: pure; the same results give the same SVG. Both axes are logarithmic, because a server fails by a few or by
thousands; a bar of nothing is nothing but its 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.disrupt.outcomes import Outcome, Result
from bench.disrupt.scenarios import Scenario

# Distinct also to most who see colours otherwise (Okabe and Ito's palette).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
BAR, GAP, TOP, LABELS, PANEL, SPACE, RIGHT = 11, 12, 64, 130, 330, 60, 20


@dataclass(frozen=True)
class Panel:
    """One axis and what is drawn along it.

    :ivar value: of an outcome; ``None`` when there is none.
    :ivar top: the end of the axis; `bottom` its beginning, shown as no bar.
    """

    title: str
    value: Callable[[Outcome], float | None]
    bottom: float
    top: float

    def width(self, value: float) -> float:
        """The length of a bar."""
        share = math.log10(max(value, self.bottom) / self.bottom) / math.log10(self.top / self.bottom)
        return PANEL * min(1.0, share)


def harm(outcome: Outcome) -> float:
    """Requests that failed and idle connections that were dropped; a request cut off is one harm, not two."""
    return outcome.disrupted.failed + outcome.disrupted.cut_idle


def worst(outcome: Outcome) -> float | None:
    """Milliseconds of the slowest right answer."""
    latency = outcome.disrupted.latency
    return None if latency is None else latency.worst * 1000


PANELS = (
    Panel("failed requests and dropped idle connections", harm, 0.5, 100_000),
    Panel("slowest answer, milliseconds", worst, 5, 30_000),
)


def left_of(panel: int) -> int:
    """Where a panel begins."""
    return LABELS + panel * (PANEL + SPACE)


def svg(scenarios: Sequence[Scenario], servers: Sequence[str], results: Sequence[Result]) -> str:
    """The whole picture."""
    group = len(servers) * BAR + GAP
    width, height = left_of(len(PANELS)) - SPACE + RIGHT + 40, TOP + group * len(scenarios) + 10
    by_key = {(result.scenario, result.server): result for result in results}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *legend(servers),
        *(line for number, panel in enumerate(PANELS) for line in axis(number, panel, height)),
    ]
    for row, scenario in enumerate(scenarios):
        y = TOP + row * group
        parts.append(label(LABELS - 8, y + (group - GAP) / 2 + 4, scenario.name, "end"))
        for place, server in enumerate(servers):
            result = by_key.get((scenario.name, server))
            parts += bars(result, y + place * BAR, COLOURS[place % len(COLOURS)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Some text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def legend(servers: Sequence[str]) -> Iterator[str]:
    """Which colour is whose."""
    for place, server in enumerate(servers):
        x = LABELS + place * 140
        yield f'<rect x="{x}" y="8" width="10" height="10" fill="{COLOURS[place % len(COLOURS)]}"/>'
        yield label(x + 14, 17, server)


def axis(number: int, panel: Panel, height: int) -> Iterator[str]:
    """The title and a line at each power of ten."""
    left = left_of(number)
    yield label(left, 38, panel.title)
    for power in range(math.ceil(math.log10(panel.bottom)), math.floor(math.log10(panel.top)) + 1):
        x = left + panel.width(10**power)
        yield f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 10}" stroke="#ddd"/>'
        yield label(x, TOP - 10, f"{10**power:,}".replace(",", " "), "middle")


def bars(result: Result | None, y: float, colour: str) -> Iterator[str]:
    """One server's bar in each panel, with its figure."""
    for number, panel in enumerate(PANELS):
        left = left_of(number)
        value = panel.value(result) if isinstance(result, Outcome) else None
        if value is None:
            yield label(left + 3, y + BAR - 2, "not run" if not isinstance(result, Outcome) else "no answer")
            continue
        width = panel.width(value) if value else 0.0
        yield f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>'
        yield label(left + width + 3, y + BAR - 2, f"{value:.0f}")
