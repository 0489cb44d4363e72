"""The claims of twistcorn.syntax that no option shows; what each option takes is claimed in test_settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn import syntax
from twistcorn.syntax import MAX_SECONDS

PARSERS: list[Callable[[str], Any]] = [
    syntax.duration, syntax.positive_duration, syntax.size, syntax.Count(0, 9), syntax.workers, syntax.endpoint,
    syntax.script_name, syntax.words, syntax.networks, syntax.OneOf("on", "off"), syntax.statsd_address,
]  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS)
@given(st.text() | st.from_regex(r"[0-9.]{1,30} ?[a-zA-Z]{0,3}"))
def test_anything(parse: Callable[[str], Any], text: str) -> None:
    """Whatever is typed, it is a value or a ValueError that says what is allowed, in one line."""
    message = "a value"
    try:
        parse(text)
    except ValueError as error:
        message = str(error)

    assert 0 < len(message) < 150
    assert "\n" not in message


@given(st.floats(0, MAX_SECONDS / 86400 * 0.999), st.sampled_from(["ms", "s", "m", "h", "d", ""]))
def test_durations(number: float, unit: str) -> None:
    """Each is a number of seconds that fits a word of 64 bits in nanoseconds."""
    seconds = syntax.duration(f"{number:.3f}{unit}")

    assert 0 <= seconds <= MAX_SECONDS
    assert int(2 * seconds * 1e9) < 1 << 64


@pytest.mark.parametrize("text", ["0", "0s", "0.0ms"])
def test_time_must_pass(text: str) -> None:
    """Where nothing is no duration, it is refused, with what is allowed."""
    with pytest.raises(ValueError, match="greater than 0"):
        syntax.positive_duration(text)


def test_some_time() -> None:
    """Any other duration is one."""
    assert syntax.positive_duration("250ms") == 0.25


def test_least_and_most() -> None:
    """Both ends are allowed, and the numbers beside them are not; the error names both."""
    parse = syntax.Count(3, 5)

    assert [parse(text) for text in ("3", "4", "5")] == [3, 4, 5]
    for text in ("2", "6"):
        with pytest.raises(ValueError, match="a whole number from 3 to 5"):
            parse(text)
