"""The claims about words: what operators read is said in the field's terms, and in one way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What was said once, and what is said now.
GONE = {
    r"allowed is": "invalid value X for --threads: expected ...",
    r"the least level that is logged": "minimum log level",
    r"shows? no life": "unresponsive for",
    r"so many more, at random": "random extra requests, to stagger restarts",
    r"reload is off": "reload cancelled",
    r"told again to stop": "second stop signal",
    r"workers? wanted": "worker target set to N",
    r"nobody took them": "dropped: log reader too slow",
    r"gets no news": "event feed failed",
    r"is not there yet; nothing was done": "not supported; ignored",
    r"opens nothing": "invalid token",
    r"there is nothing at this path": "not found",
    r"it is only told": "0: only logged",
    r"this did not work; the log": "internal error; see the server log",
    r"after it began or made a piece": "GET /report: 31 s, over --request-timeout 30 s",
    r"(?:is|are|was|were|be|been) told\b": "is logged, is reported, is sent, learns",
    r"\bof late\b": "recently",
    r"\bwho never\b": "a client that never",
    r"costs what he did": "say what it costs",
    r"\bto be had\b": "available",
    r"\bthe last that it shall\b": "the last thing that it should",
}

TEXTS = [
    *sorted((ROOT / "twistcorn").rglob("*.py")),
    *sorted((ROOT / "twistcorn" / "static").iterdir()),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


@pytest.mark.parametrize("text", GONE)
def test_a_text_that_operators_read(text: str) -> None:
    """It is nowhere: the name of the setting, the event or the cure stands there."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(text, line)
    ]
    assert not found, f"say {GONE[text]!r} in place of {text!r}:\n" + "\n".join(found)


#: Names that say nothing of what they bound, or of their unit.
VAGUE = {"AGAIN", "LAST", "MOMENT", "MOST", "LOOK", "LEAST", "EVERY", "KEPT", "PATIENCE", "LONGEST", "QUIET", "PIECE"}


def test_constants_say_what_they_bound() -> None:
    """A number has its unit, or its meaning, in its name."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "twistcorn").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (names := re.match(r"_?[A-Z]+(?:, _?[A-Z]+)* =", line)) and VAGUE & {*re.findall(r"[A-Z]+", names[0])}
    ]
    assert not found, "name the unit or the meaning:\n" + "\n".join(found)
