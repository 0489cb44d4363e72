"""Connections whose heads come in many small pieces: each waits a moment before it is looked at again.

Law: runs on the leader's thread. A resting connection is not watched, so that its client's packets wake nobody; its
time-outs go on. One timer for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .connection import Connection
from .partial import REST_SECONDS


class Resting:
    """The connections that rest.

    :param watch: watches one again, if it is still waiting for its head.
    """

    def __init__(self, clock: Any, watch: Callable[[Connection], None]) -> None:
        self._clock = clock
        self._watch = watch
        self._resting: list[Connection] = []

    def add(self, connection: Connection) -> None:
        """This one waits until the next moment."""
        if not self._resting:
            self._clock.callLater(REST_SECONDS, self._over)
        self._resting.append(connection)

    def _over(self) -> None:
        resting, self._resting = self._resting, []
        for connection in resting:
            self._watch(connection)
