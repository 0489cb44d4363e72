"""Numbers and texts as people read them.

Law: pure. What came from a client (a path, a host) or from the application (a death report) is shown by `printable`: it
must not do anything to a terminal.
"""

from __future__ import annotations

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
    """A time: `4 ms`, `2.3 s`, `45 s`, `3m20s`, `2h05m`, `4d03h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"


def rate(per_second: float) -> str:
    """How often in a second: `0/s`, `2.5/s`, `1234/s`."""
    return f"{per_second:.1f}/s" if 0 < per_second < 9.95 else f"{per_second:.0f}/s"


def printable(text: str) -> str:
    """A text in one line, with nothing in it but characters that are shown, each one column wide."""
    return "".join(each if " " <= each <= "~" else "\\n" if each == "\n" else "?" for each in text)


def lines_of(text: str) -> list[str]:
    """A text as printable lines."""
    return [printable(line.expandtabs()) for line in text.splitlines()]


def align(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines, each column as wide as its longest cell; the first row is the head.

    :param right: the columns of numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
