"""Did you mean ...? The known name closest to an unknown one.

Law: pure; knows no option, and suggests only close names.
"""

from __future__ import annotations

from collections.abc import Iterable

#: How alike two names must be, from 0 to 1; difflib's default of 0.6 takes strangers for each other.
CLOSE_ENOUGH = 0.72


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name closest to one that is not known; empty when none is close."""
    # Imported here: a server that starts does not need it.
    from difflib import get_close_matches

    plain = {_plain(each): each for each in known}
    longer = [each for each in plain if each.startswith(_plain(name))]
    if len(longer) == 1 and _plain(name):
        return plain[longer[0]]
    found = get_close_matches(_plain(name), plain, 1, CLOSE_ENOUGH)
    return plain[found[0]] if found else ""


def _plain(name: str) -> str:
    """The part of a name that is compared: not what all names share."""
    return name.lower().replace("_", "-").removeprefix("twistcorn-").lstrip("-")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean threads?`, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""
