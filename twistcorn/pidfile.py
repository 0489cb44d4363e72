"""The file that holds the master's pid.

Law: writes no file through a symbolic link, and removes only its own file.
"""

from __future__ import annotations

import contextlib
import os


class PidFile:
    """A pid file, for as long as this process runs.

    :param path: empty for none.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def write(self) -> None:
        """Write our pid.

        :raises OSError: the file cannot be written, or is a symbolic link (ELOOP).
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o644)
        try:
            os.write(descriptor, f"{os.getpid()}\n".encode())
            found = os.fstat(descriptor)
            self._identity = found.st_dev, found.st_ino
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove it, if it is still the file that was written and still holds our pid."""
        if self._identity is None:
            return
        with contextlib.suppress(OSError):
            found = os.lstat(self._path)
            if (found.st_dev, found.st_ino) == self._identity and self._read() == f"{os.getpid()}\n":
                os.unlink(self._path)
        self._identity = None

    def _read(self) -> str:
        with open(self._path) as file:
            return file.read(64)
