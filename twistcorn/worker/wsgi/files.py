"""`wsgi.file_wrapper`: files as answers, and which the kernel can send (PEP 3333, "Optional Platform-Specific File
Handling").

Law: whatever a file is, the client gets the bytes that its `read` would give. So the kernel sends only what is
certainly a plain file on a disk; in doubt it is read.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from typing import Any

from ...pristine import os

#: Where an instance could have put functions of its own in front of the file's.
_OWN = frozenset(("fileno", "read", "readinto", "seek", "tell"))


class FileWrapper:
    """`wsgi.file_wrapper`.

    :param file: anything with `read`.
    :param size: bytes read at once, where it is read.
    """

    def __init__(self, file: Any, size: int = 65536) -> None:
        self._file = file
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        while data := self._file.read(self._size):
            yield data

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()

    def part(self) -> tuple[int, int, int] | None:
        """Descriptor, position and the size of the rest, of what the kernel can send; None for what must be read."""
        try:
            file = _plain(self._file)
            return None if file is None else _part(file)
        except Exception:
            # Reading it will tell what is wrong, if anything is.
            return None


def _plain(given: Any) -> Any:
    """The plain binary file that is given, or whose `read` is that of the wrapper that is given; None for none."""
    if _is_plain(given):
        return given
    # Django's File and the temporary files of the standard library hand everything on to such a file.
    file: Any = getattr(given, "file", None)
    if not _is_plain(file):
        return None
    read = given.read
    return file if file.read in (read, getattr(read, "__wrapped__", None)) else None


def _is_plain(file: Any) -> bool:
    """Whether a file is of the standard library's own types, and nobody has put other functions in front of its own."""
    if type(file) in (io.BufferedReader, io.BufferedRandom):
        return _OWN.isdisjoint(vars(file)) and _is_plain(file.raw)
    return type(file) is io.FileIO and _OWN.isdisjoint(vars(file))


def _part(file: Any) -> tuple[int, int, int] | None:
    if type(file) is io.BufferedRandom:
        # What was written is read as well.
        file.flush()
    descriptor, position = file.fileno(), file.tell()
    status = os.fstat(descriptor)
    size = status.st_size
    if not stat.S_ISREG(status.st_mode) or position >= size:
        return None
    # Files of /proc and /sys are shorter or longer than they say: the last byte must be there, and nothing behind it.
    if len(os.pread(descriptor, 2, size - 1)) != 1:
        return None
    return descriptor, position, size - position
