"""Decides by route which requests run inline, on the thread that leads the reactor, and which in the pool.

Law: pure; time comes in as monotonic nanoseconds. A route is the method and the first path segments, which calls that
do the same work have in common. Clients invent paths: the table is bounded, an unused route makes room for the next,
and segments that look like identifiers do not count.
"""

from __future__ import annotations

import re

from ..http.request import RequestLine

#: A mean wait above this many nanoseconds is worth two thread switches and the cost of the interpreter lock.
WAITS_NANOSECONDS = 150_000
#: Cap on one sample, in nanoseconds: a single long wait among short ones does not move a route.
MAX_SAMPLE_NANOSECONDS = 800_000
#: The newest sample weighs 1 / SAMPLE_DIVISOR.
SAMPLE_DIVISOR = 8
#: The first calls are timed, then one call in this many: reading a thread's clock twice costs about a microsecond.
CALLS_PER_SAMPLE = 8
#: Pause before a pooled route is tried inline again, in nanoseconds; doubled after each failed trial, to the maximum.
FIRST_PAUSE_NANOSECONDS = 1_000_000_000
MAX_PAUSE_NANOSECONDS = 60_000_000_000
#: A call of this length, in nanoseconds, would lose the reactor anyway (`watchdog`).
TOO_LONG_NANOSECONDS = 2_000_000
#: The pause starts again at the first one if the route stayed inline for this many pauses.
PROBATION_PAUSES = 8

#: Size of the table of routes.
MAX_ROUTES = 512
#: Path segments that count: `/api/users/17` and `/api/users/18` are the same work.
_SEGMENTS = 2
#: Segments that identify one thing of many: numbers, UUIDs and other hexadecimal ones with a digit, very long ones.
_IDENTIFIER = re.compile(rb"[0-9]+|(?=[^/]*[0-9])[0-9a-fA-F-]{8,}|.{33,}", re.DOTALL)
_ANY = b"*"
#: Statuses of requests for no existing resource (RFC 9110 sections 15.5.5, 15.5.6, 15.5.11, 15.6.2); 0: no answer.
_NOWHERE = frozenset({0, 404, 405, 410, 501})


class Route:
    """The measurements of one route, and the decision for its calls.

    :ivar mean: nanoseconds that a call waits, a moving mean.
    :ivar pooled: whether its calls run in the pool.
    :ivar again_at: when a pooled route is tried inline again.
    :ivar known: whether it is in the table.
    """

    __slots__ = (
        "_calls",
        "_hopeless",
        "_pause",
        "_samples",
        "_seen",
        "_since",
        "_tripped",
        "_trying",
        "again_at",
        "known",
        "mean",
        "pooled",
    )

    def __init__(self) -> None:
        self.mean = 0.0
        self.pooled = self.known = False
        self.again_at = 0
        self._calls = 0
        self._samples = 0
        self._seen = 0
        self._pause = 0
        self._since = 0
        self._trying = False
        self._tripped = False
        self._hopeless = False

    @property
    def waits(self) -> bool:
        """Whether the next call will probably wait for something other than the processor."""
        return self.mean > WAITS_NANOSECONDS

    def is_due(self) -> bool:
        """Count the next call; returns whether to time it."""
        self._calls += 1
        return self._trying or self._calls <= CALLS_PER_SAMPLE or self._calls % CALLS_PER_SAMPLE == 0

    def was_used(self) -> bool:
        """Whether it had more than one call since the last check: a single call may be to an invented path."""
        used = self._calls - self._seen > 1
        self._seen = self._calls
        return used

    def wants_trial(self, now: int) -> bool:
        """Whether to try a pooled route inline; true for one call after each pause.

        Not if a pooled call has shown meanwhile that the route still waits: a trial delays other requests.
        """
        if now < self.again_at:
            return False
        if self._hopeless:
            self._put_off(now)
            return False
        self._trying = True
        self.again_at = now + self._pause
        # Calls that do not wait wake few threads: soon one of them runs alone, and gives a sample.
        self.mean = 0.0
        return True

    def sample(self, wait: int, wall: int, now: int) -> None:
        """Note the wait and the wall time of one call that ran alone."""
        wait = min(max(wait, 0), MAX_SAMPLE_NANOSECONDS)
        self._hopeless = self.pooled and (wait > WAITS_NANOSECONDS or wall > TOO_LONG_NANOSECONDS)
        decided = self._trying
        if decided:
            self._trying = self._tripped = False
            self.mean = wait
        else:
            self._samples += 1
            self.mean = wait if self._samples == 1 else self.mean + (wait - self.mean) / SAMPLE_DIVISOR
        if self.mean > WAITS_NANOSECONDS and (decided or not self.pooled):
            self._put_off(now)
        elif self.mean < WAITS_NANOSECONDS / 2 and self.pooled and not self._tripped:
            # A tripped route may compute for long, which the wait does not show: only a trial brings it back.
            self._bring_back(now)

    def trip(self, now: int) -> None:
        """A call lost the reactor because it took too long."""
        self._trying = False
        self._tripped = True
        self._put_off(now)

    def _put_off(self, now: int) -> None:
        did_well = not self.pooled and now - self._since >= PROBATION_PAUSES * self._pause
        self._pause = FIRST_PAUSE_NANOSECONDS if did_well else min(2 * self._pause, MAX_PAUSE_NANOSECONDS)
        self.pooled = True
        self._hopeless = False
        self.again_at = now + self._pause

    def _bring_back(self, now: int) -> None:
        self.pooled = False
        self._since = now


class Routes:
    """The routes of a worker.

    :ivar others: used for requests whose own route does not matter.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Route] = {}
        self.others = Route()
        self.others.known = True

    def find(self, line: RequestLine) -> Route:
        """Return the route of a request, and keep it in its line; `learn` adds an unknown one to the table."""
        route = line.route = self._known.get(_name(line)) or Route()
        return route

    def learn(self, line: RequestLine, route: Route, code: int) -> None:
        """Add an unknown route to the table, after an answer with this status. Any thread, one at a time.

        Routes without a resource are not added: a client that invents paths must not fill the table.
        """
        if code in _NOWHERE:
            return
        name = _name(line)
        if name in self._known:
            line.route = self._known[name]
            return
        if len(self._known) >= MAX_ROUTES:
            self._make_room()
        self._known[name] = route
        route.known = True

    def _make_room(self) -> None:
        """Forget the oldest route without recent calls, or the oldest if all have had some."""
        for name in list(self._known):
            route = self._known.pop(name)
            if not route.was_used():
                return
            self._known[name] = route
        del self._known[next(iter(self._known))]


def _name(line: RequestLine) -> tuple[str, bytes]:
    segments = line.path.split(b"/", _SEGMENTS + 1)[: _SEGMENTS + 1]
    return line.method, b"/".join([_ANY if _IDENTIFIER.fullmatch(segment) else segment for segment in segments])
