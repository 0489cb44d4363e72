"""The claims of twistcorn.console.units: numbers as people read them, texts that do nothing to a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.console.units import align, flow, lines_of, printable, rate, size, time


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3500, "3.4 KiB"), (10 << 10, "10 KiB"), (1 << 20, "1.0 MiB"),
        (120 << 20, "120 MiB"), (3 << 30, "3.0 GiB"), (5000 << 40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    """In the unit that leaves one to four digits."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.00042, "0.4 ms"), (0.0042, "4.2 ms"), (0.042, "42 ms"),
        (1, "1.0 s"), (2.34, "2.3 s"), (9.96, "10 s"), (59, "59 s"), (60, "1m00s"),
        (200, "3m20s"), (3600, "1h00m"), (7500, "2h05m"), (86400, "1d00h"), (4 * 86400 + 3 * 3600, "4d03h"),
    ],
)  # fmt: skip
def test_times(seconds: float, text: str) -> None:
    """Two units at most."""
    assert time(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0/s"), (0.25, "0.2/s"), (9.9, "9.9/s"), (1234.4, "1234/s")])
def test_rates(number: float, text: str) -> None:
    """With a digit behind the point where that says something."""
    assert rate(number) == text


@given(text=st.text())
def test_any_text(text: str) -> None:
    """It is one line of printable ASCII, or several."""
    assert printable(text).isascii()
    assert printable(text).isprintable()
    assert all(line.isprintable() and line.isascii() for line in lines_of(text))


def test_a_terminal_s_orders() -> None:
    """They are shown, not followed."""
    assert printable("GET /\x1b[2J\x07\x9b2Jé\n") == "GET /?[2J??2J?\\n"
    assert lines_of("one\n\ttwo\x1b[1m") == ["one", "        two?[1m"]


def test_align() -> None:
    """Columns are as wide as their longest cell; numbers stand at the right."""
    assert align([("N", "NAME"), ("10", "x"), ("1", "longer")], right=(0,)) == [" N  NAME", "10  x", " 1  longer"]


@pytest.mark.parametrize(
    ("width", "lines"),
    [(80, ["one  two three  four"]), (14, ["one  two three", "four"]), (5, ["one", "two", "three", "four"]), (1, None)],
)
def test_flow(width: int, lines: list[str] | None) -> None:
    """Items share lines where they fit; only one that is longer than a line is broken, and nothing is lost."""
    found = flow(["one", "two three", "four"], width)
    assert "".join("".join(found).split()) == "onetwothreefour"
    assert lines is None or found == lines
