"""`wsgi.file_wrapper`: files as responses, and which the kernel can send (PEP 3333, "Optional Platform-Specific File
Handling").

Law: the client gets the bytes that the file's `read` would return. The kernel therefore sends only what is certainly a
plain file on disk; anything else is read.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from typing import Any

from ...pristine import os

#: Methods that an instance could have overridden.
_OWN = frozenset(("fileno", "read", "readinto", "seek", "tell"))


class FileWrapper:
    """`wsgi.file_wrapper`.

    :param file: anything with `read`.
    :param size: bytes per read.
    """

    def __init__(self, file: Any, size: int = 65536) -> None:
        self._file = file
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        while data := self._file.read(self._size):
            yield data

    def close(self) -> None:
        """Close the file, if it has a close()."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()

    def part(self) -> tuple[int, int, int] | None:
        """Descriptor, position and remaining size of a file that the kernel can send; None if it must be read."""
        try:
            file = _plain(self._file)
            return None if file is None else _part(file)
        except Exception:
            # Reading it shows what is wrong, if anything is.
            return None


def _plain(given: Any) -> Any:
    """The plain binary file that is given, or that the given wrapper reads from; else None."""
    if _is_plain(given):
        return given
    # Django's File and the standard library's temporary files delegate to such a file.
    file: Any = getattr(given, "file", None)
    if not _is_plain(file):
        return None
    read = given.read
    return file if file.read in (read, getattr(read, "__wrapped__", None)) else None


def _is_plain(file: Any) -> bool:
    """Whether a file is of a standard library type, with no overridden methods."""
    if type(file) in (io.BufferedReader, io.BufferedRandom):
        return _OWN.isdisjoint(vars(file)) and _is_plain(file.raw)
    return type(file) is io.FileIO and _OWN.isdisjoint(vars(file))


def _part(file: Any) -> tuple[int, int, int] | None:
    if type(file) is io.BufferedRandom:
        # Unflushed writes must be read as well.
        file.flush()
    descriptor, position = file.fileno(), file.tell()
    status = os.fstat(descriptor)
    size = status.st_size
    if not stat.S_ISREG(status.st_mode) or position >= size:
        return None
    # Files of /proc and /sys misreport their size: the last byte must exist, and nothing after it.
    if len(os.pread(descriptor, 2, size - 1)) != 1:
        return None
    return descriptor, position, size - position
