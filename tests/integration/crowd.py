"""Threads that are clients, from entering a `with` block to leaving it.

Law: starts and ends them; what each does is its class's.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TypeVar

TIMEOUT = 30.0

_Crowd = TypeVar("_Crowd", bound="Crowd")


class Crowd:
    """A number of clients, each in its own thread.

    :ivar failures: what went wrong; must stay empty.
    """

    def __init__(self, clients: int) -> None:
        self.failures: list[str] = []
        self._ending = False
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]

    def _run(self, number: int) -> None:
        """What the client of this number does, until `_ending`."""
        raise NotImplementedError

    def __enter__(self: _Crowd) -> _Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        for thread in self._threads:
            thread.join(TIMEOUT)
