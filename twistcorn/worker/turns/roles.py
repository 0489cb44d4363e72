"""The roles around a worker's turns: who is asked for what.

Law: protocols only. Whoever plays a role does not know the others' modules; `lifecycle` brings them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..loop.connection import Connection
    from ..loop.seats import Seat


class Server(Protocol):
    """What answers requests (`channel.Service`). It raises nothing; times are monotonic nanoseconds."""

    def serve(self, connection: Connection, seat: Seat, now: int) -> bool:
        """Answer the request of a connection; where the seat is `inline`, the answer may be made and not sent.

        :return: whether it is; otherwise somebody else may have the connection by now.
        """

    def accept_queued(self, connection: Connection) -> bool:
        """All threads are busy: whether the request waits here, or went elsewhere."""

    def claim_queued(self, connection: Connection) -> bool:
        """A thread has come for a request that waits; false when it went elsewhere meanwhile."""

    def deliver(self, connection: Connection, seat: Seat, now: int) -> None:
        """Send what is made, soon where the seat leads, otherwise now; the request has been counted."""


class Loop(Protocol):
    """What is led (`reactor.WorkerReactor`)."""

    def lead(self, seat: Seat) -> None:
        """Run it while the seat leads; returns early when it has stopped."""

    def left(self) -> None:
        """The leader is out of it."""

    def wakeUp(self) -> None:
        """Have the leader look whether it still leads; from any thread."""

    def callLater(self, delay: float, function: Callable[[], object]) -> Any:
        """Call it later, on the leader's thread."""
