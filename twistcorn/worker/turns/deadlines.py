"""Request time-outs: interrupts requests that run too long, and reports those that do not end.

Law: checks the seats periodically, on the leader's thread, and raises a RequestTimeout in a thread only while that runs
the application. A request that still runs a second later is stuck: the stacks of all threads are logged, and the stuck
requests reported. No other request is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from ...errors import RequestTimeout
from ...pristine import time
from ...recurring import Recurring
from ...settings import Settings
from ..loop.connection import Connection
from ..loop.seats import AIMING, AT_EASE, FIRED, Seat
from ..process import failing
from ..process.interrupt import set_exception
from ..process.stacks import format_stacks

#: Seconds between two checks: how late a time-out may be.
CHECK_SECONDS = 0.1
#: Nanoseconds that a request has to end after the exception.
GRACE_NANOSECONDS = 1_000_000_000


@dataclass
class Hit:
    """A request that was interrupted.

    :ivar seat: of its thread.
    :ivar since: when it began; identifies it among the requests of its connection.
    :ivar at: when the exception was raised.
    :ivar stuck: whether it still ran a second after that.
    """

    seat: Seat
    connection: Connection
    since: int
    at: int
    stuck: bool = False


class Deadlines:
    """Ends requests that time out. All times except `timeout` are monotonic nanoseconds.

    :param timeout: seconds; 0: no time-out.
    :param seats: returns the seats of the threads that can run the application.
    :param name_of: names the request that runs on a thread, for the log.
    :param on_late: called for each interrupted request, with its name and its seconds so far.
    :param on_stuck: called with the connections of stuck requests, each time that these change.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        timeout: float,
        seats: Callable[[], Iterable[Seat]],
        on_stuck: Callable[[list[Connection]], None],
        now: Callable[[], int] = time.monotonic_ns,
        on_late: Callable[[str, float], object] = lambda name, age: None,
        name_of: Callable[[Seat, Connection], str] = lambda seat, connection: line_of(connection),
    ) -> None:
        self._name_of = name_of
        self._on_late = on_late
        self._timeout = timeout
        self._seats = seats
        self._on_stuck = on_stuck
        self._now = now
        self._hits: dict[Seat, Hit] = {}
        self._stuck: set[tuple[Connection, int]] = set()
        self._looking = Recurring(clock, "the request time-out check", self.check, failing.fail)

    def start(self) -> None:
        """Check from now on."""
        if self._timeout:
            self._looking.start(CHECK_SECONDS, now=False)

    def configure(self, settings: Settings) -> None:
        """Use this time-out from now on, also for requests that run already."""
        self._timeout = settings.request_timeout
        if self._timeout and not self._looking.running:
            self.start()
        elif not self._timeout and self._looking.running:
            self._looking.stop()
            # No request is late any more.
            self._hits = {}
            self._report_stuck([])

    def put_off(self, seconds: float) -> None:
        """The process did not run for these seconds: give interrupted requests as much more time to end."""
        for hit in self._hits.values():
            hit.at += int(seconds * 1e9)

    def check(self) -> None:
        """Check every seat once."""
        now = self._now()
        limit = int(self._timeout * 1e9)
        hits = {}
        for seat in self._seats():
            connection = seat.exposed or seat.sheltered
            if connection is None or now - connection.redo_log.counted_from <= limit:
                continue
            hit = self._hits.get(seat)
            if hit is None or hit.connection is not connection or hit.since != connection.redo_log.since:
                name, age = self._name_of(seat, connection), (now - connection.redo_log.counted_from) / 1e9
                if not fire(seat, connection):
                    continue
                self._on_late(name, age)
                hit = Hit(seat, connection, connection.redo_log.since, now)
            elif not hit.stuck and now - hit.at > GRACE_NANOSECONDS:
                hit.stuck = True
            hits[seat] = hit
        self._hits = hits
        self._report_stuck([hit for hit in hits.values() if hit.stuck])

    def _report_stuck(self, stuck: list[Hit]) -> None:
        known, self._stuck = self._stuck, {(hit.connection, hit.since) for hit in stuck}
        if self._stuck - known:
            self.log.error(
                "{names}, over --request-timeout {timeout:g} s, still running after RequestTimeout; replacing"
                " worker; all threads:\n{stacks}",
                names=", ".join(map(self._describe, stuck)), timeout=self._timeout, stacks=format_stacks(),
            )  # fmt: skip
        if self._stuck != known:
            self._on_stuck([hit.connection for hit in stuck])

    def _describe(self, hit: Hit) -> str:
        age = (self._now() - hit.connection.redo_log.counted_from) / 1e9
        return f"{self._name_of(hit.seat, hit.connection)}: {age:.1f} s"


def line_of(connection: Connection) -> str:
    """Return method and path of the present request."""
    return connection.request.line.name if connection.request is not None else "a request"


def fire(seat: Seat, connection: Connection) -> bool:
    """Raise a RequestTimeout in the thread of a request, if that still runs it; returns whether one is or will be."""
    seat.aim = AIMING
    if seat.exposed is not connection:
        seat.aim = AT_EASE
        # Our own code must not be interrupted: the exception is raised on return to the application.
        sheltered = seat.sheltered is connection
        if sheltered:
            seat.due = connection, connection.redo_log.since
        return sheltered
    set_exception(seat.ident, RequestTimeout)
    seat.aim = FIRED
    return True
