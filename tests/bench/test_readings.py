"""Figures of any kind: summed up, compared, shown."""

from __future__ import annotations

from bench.readings import Column, Reading, describe, noise, panels, summarise, summary_table
from bench.records import Failure

COLUMNS = (Column("time", "ms", 1000, ".1f", compared=True), Column("size", "MiB", 1, ".0f"))
OUTCOMES: list[Reading | Failure] = [
    Reading("twistcorn", "any", 1, {"time": 0.002, "size": 3}),
    Reading("other", "any", 1, {"time": 0.008}, ("slow",)),
    Reading("twistcorn", "any", 2, {"time": 0.004, "size": 3}),
    Reading("other", "any", 2, {"time": 0.008}, ("slow",)),
    Failure("absent", "any", 0, "not installed"),
]
LINES = summarise(OUTCOMES, ["twistcorn", "other", "absent"], "any")
THREADS = {"twistcorn": "8", "other": "1", "absent": "?"}


def test_medians_and_ratios() -> None:
    """A server a line, in order; the ratio is ours over theirs; notes are told once."""
    assert [line.split() for line in summary_table(LINES, COLUMNS, THREADS).split("\n")] == [
        ["server", "threads", "ms", "min-max", "ratio", "MiB", "notes"],
        ["---------", "-------", "---", "-------", "-----", "---", "-----"],
        ["twistcorn", "8", "3.0", "2.0-4.0", "1.00", "3"],
        ["other", "1", "8.0", "8.0-8.0", "0.38", "-", "slow"],
        ["absent", "?", "-", "-", "-", "-", "NOT", "RUN:", "not", "installed"],
    ]


def test_column_of_nobody_is_left_out() -> None:
    """What was not measured has no heading."""
    assert "MiB" not in summary_table(LINES[1:], COLUMNS, THREADS)


def test_panels_are_of_what_is_compared() -> None:
    """In the column's unit, ours marked, and who has no figure is not left out."""
    (panel,) = panels(LINES, COLUMNS)
    assert panel.title == "any: ms"
    assert [(bar.label, bar.value and bar.value.median, bar.ours) for bar in panel.bars] == [
        ("twistcorn", 3.0, True),
        ("other", 8.0, False),
        ("absent", None, False),
    ]


def test_noise_is_the_widest_spread() -> None:
    """With the line it belongs to; of single rounds it is unknown."""
    assert noise(LINES, COLUMNS) == "noise of ms: 67% of the median at worst (twistcorn, any)"
    assert noise(LINES[2:], COLUMNS).startswith("noise: unknown")


def test_progress_tells_what_the_run_gave() -> None:
    """One line, in the columns' units."""
    said = describe(OUTCOMES[0], 2, COLUMNS) if isinstance(OUTCOMES[0], Reading) else ""
    assert said.split() == ["1/2", "any", "twistcorn", "ms", "2.0,", "MiB", "3"]
