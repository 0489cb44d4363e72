"""Connections whose heads arrive in many small pieces: each rests for a short time before it is read again.

Law: runs on the leader's thread. A resting connection is not watched, so its client's packets do not wake the loop; its
time-outs still apply. One timer serves all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .connection import Connection
from .partial import REST_SECONDS


class Resting:
    """The resting connections.

    :param watch: watches one again, if it still waits for its head.
    """

    def __init__(self, clock: Any, watch: Callable[[Connection], None]) -> None:
        self._clock = clock
        self._watch = watch
        self._resting: list[Connection] = []

    def rest(self, connection: Connection) -> None:
        """Rest this connection until the timer fires."""
        if not self._resting:
            self._clock.callLater(REST_SECONDS, self._over)
        self._resting.append(connection)

    def _over(self) -> None:
        resting, self._resting = self._resting, []
        for connection in resting:
            self._watch(connection)
