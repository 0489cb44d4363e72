"""The claims of twistcorn.atoms: what a format may hold, and what is said of one that is wrong."""

from __future__ import annotations

import pytest

from twistcorn.atoms import CLASSIC, NAMED, OWN, Atom, access_format, parse


def test_a_format_is_taken_apart() -> None:
    """Text, atoms, fields of request and response, variables; %% is a percent sign."""
    assert parse('%(h)s "%({User-Agent}i)s" %({x}o)s%({y.z}e)s 100%%') == [
        Atom("atom", "h"), Atom("text", ' "'), Atom("i", "User-Agent"), Atom("text", '" '), Atom("o", "x"),
        Atom("e", "y.z"), Atom("text", " 100"), Atom("text", "%"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*CLASSIC, *OWN])
def test_every_atom_is_known(name: str) -> None:
    """Those of Gunicorn, and ours."""
    assert parse(f"%({name})s") == [Atom("atom", name)]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_format_is_a_format(name: str) -> None:
    """Its name stands for it."""
    assert parse(name) == parse(NAMED[name])
    assert access_format(name) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%(zz)s", "unknown atom %(zz)s"),
        ("%(hh)s", "unknown atom %(hh)s"),
        ("%h", "a literal % is written %%"),
        ("%({x}q)s", "a literal % is written %%"),
        ("100 %", "a literal % is written %%"),
        ("", "a format of one printable line"),
        ("%(h)s\n", "a format of one printable line"),
        ("\x1b[1m%(h)s", "a format of one printable line"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    """An unknown atom, a stray percent sign, and what would make other lines."""
    with pytest.raises(ValueError, match=r"docs/logging\.md") as raised:
        access_format(text)

    assert said in str(raised.value)
