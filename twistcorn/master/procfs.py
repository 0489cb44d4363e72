"""What /proc, /sys and cgroups say.

Law: reads files of the kernel, small and always there; what cannot be read says nothing.
"""

from __future__ import annotations


def read(path: str) -> str | None:
    """The text of a file; None when it is not there, or not for us."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None
