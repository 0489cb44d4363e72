"""The roles around a worker's turns, as protocols.

Law: protocols only. A class that plays a role does not import the others; `lifecycle` connects them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..loop.connection import Connection
    from ..loop.seats import Seat


class Server(Protocol):
    """Answers requests (`wsgi.app_server.AppServer`). It raises nothing; times are monotonic nanoseconds."""

    def serve(self, connection: Connection, seat: Seat, now: int) -> bool:
        """Answer the request of a connection; if the seat is `inline`, the answer may be complete and not sent yet.

        :return: whether it is so; otherwise another thread may have the connection by now.
        """

    def accept_queued(self, connection: Connection) -> bool:
        """Queue a request while all threads are busy; returns false when it went to the master instead."""

    def claim_queued(self, connection: Connection) -> bool:
        """Take a queued request for a thread; returns false when it went to the master meanwhile."""

    def deliver(self, connection: Connection, seat: Seat, now: int) -> None:
        """Send a complete answer: soon if the seat leads, otherwise now. The request is counted already."""


class Loop(Protocol):
    """The loop that a thread leads (`loop.reactor.WorkerReactor`)."""

    def lead(self, seat: Seat) -> None:
        """Run the loop while the seat leads; returns early when the reactor has stopped."""

    def left(self) -> None:
        """The leader has left the loop."""

    def wakeUp(self) -> None:
        """Wake the leader, which checks whether it still leads; called from any thread."""

    def callLater(self, delay: float, function: Callable[[], object]) -> Any:
        """Call the function after `delay` seconds, on the leader's thread."""
