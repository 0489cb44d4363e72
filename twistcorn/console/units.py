"""Numbers and texts for people.

Law: pure. Text from a client (a path, a host) or from the application (a death report) goes through `printable`, so
that it cannot control the terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes: `512 B`, `3.4 KiB`, `120 MiB`."""
    number = float(count)
    for unit in _SIZES:
        if number < 1024 or unit == _SIZES[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"


def time(seconds: float) -> str:
    """A time: `0.4 ms`, `40 ms`, `2.3 s`, `45 s`, `3m20s`, `2h05m`, `4d03h`."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if 0 < seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"


def rate(per_second: float) -> str:
    """Events per second: `0/s`, `2.5/s`, `1234/s`."""
    return f"{per_second:.1f}/s" if 0 < per_second < 9.95 else f"{per_second:.0f}/s"


def printable(text: str) -> str:
    """A text in one line of printable ASCII, each character one column wide."""
    return "".join(each if " " <= each <= "~" else "\\n" if each == "\n" else "?" for each in text)


def lines_of(text: str) -> list[str]:
    """A text as printable lines."""
    return [printable(line.expandtabs()) for line in text.splitlines()]


def flow(items: Sequence[str], width: int) -> list[str]:
    """Items in as few lines as they need, two spaces between them; only an item longer than a line is broken."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + 2 + len(item) <= width:
            lines[-1] += f"  {item}"
        else:
            lines += wrapped(item, width)
    return lines


def wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    """A text in lines of this width, those after the first indented."""
    return textwrap.wrap(
        text, max(width, indent + 1), subsequent_indent=" " * indent, drop_whitespace=True, break_on_hyphens=False
    ) or [""]


def align(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines, each column as wide as its longest cell; the first row is the header.

    :param right: the right-aligned columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
