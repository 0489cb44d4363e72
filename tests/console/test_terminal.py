"""The claims of twistcorn.console.terminal: what is written to draw. The terminal itself is in tests/integration."""

from __future__ import annotations

import pytest

from twistcorn.console.screen import Row
from twistcorn.console.terminal import painted, usable


def test_rows() -> None:
    """From the first line on; the rest of each line, and of the screen, is emptied; styles end with their row."""
    drawn = painted([Row("one", "bold"), Row("full", "reverse"), Row("")], 4)
    assert drawn == "\x1b[H\x1b[1mone\x1b[0m\x1b[K\r\n\x1b[7mfull\x1b[0m\r\n\x1b[0m\x1b[K\x1b[J"


def test_the_last_column() -> None:
    """Where the cursor may stand on the character that was written nothing is erased."""
    assert painted([Row("full")], 4) == "\x1b[Hfull\x1b[0m"


@pytest.mark.parametrize("term", ["xterm", "dumb", ""])
def test_pytest_has_no_terminal(term: str) -> None:
    """Streams that are no terminal are not filled, whatever TERM says."""
    assert not usable({"TERM": term})
