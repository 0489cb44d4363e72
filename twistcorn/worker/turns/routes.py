"""Which requests are answered on the thread that leads the reactor, and which in a thread of their own: by route.

Law: pure; time comes in as monotonic nanoseconds. A route is the method and the first path segments: what calls have in
common when they do the same work. Clients make paths up: the table is bounded, a route that nobody comes back to makes
room for the next, and what looks like an identifier is no name.
"""

from __future__ import annotations

import re

from ..http.request import RequestLine

#: A mean wait above this many nanoseconds is worth two thread switches and what the interpreter lock costs.
WAITS_NANOSECONDS = 150_000
#: One long wait says no more than this, and one of them alone, among short ones, does not move a route.
MAX_SAMPLE_NANOSECONDS = 800_000
#: The weight of the newest sample is one in so many.
SAMPLE_DIVISOR = 8
#: After the first ones, one call in so many is timed: reading a thread's clock twice costs about a microsecond.
CALLS_PER_SAMPLE = 8
#: After this long, doubled each time that it was in vain, a route that waits is tried again.
FIRST_PAUSE_NANOSECONDS = 1_000_000_000
MAX_PAUSE_NANOSECONDS = 60_000_000_000
#: A call of this length, in nanoseconds, would lose the reactor, whatever it does (`watchdog`).
TOO_LONG_NANOSECONDS = 2_000_000
#: A pause begins anew at the first one, when the route did well for so many times its length.
PROBATION_PAUSES = 8

#: Routes that are told apart.
MAX_ROUTES = 512
#: Path segments that count: `/api/users/17` and `/api/users/18` are the same work.
_SEGMENTS = 2
#: Segments that name one thing of many: numbers, UUIDs and other hexadecimal ones with a digit, and very long ones.
_IDENTIFIER = re.compile(rb"[0-9]+|(?=[^/]*[0-9])[0-9a-fA-F-]{8,}|.{33,}", re.DOTALL)
_ANY = b"*"
#: Statuses of requests that name nothing (RFC 9110 sections 15.5.5, 15.5.6, 15.5.11, 15.6.2); 0: nobody was answered.
_NOWHERE = frozenset({0, 404, 405, 410, 501})


class Route:
    """What is known of one route.

    :ivar mean: nanoseconds that a call waits, a moving mean.
    :ivar pooled: whether its calls go to threads of their own.
    :ivar again_at: when a pooled route is tried again.
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
        """Whether the next call will probably wait for something else than the processor."""
        return self.mean > WAITS_NANOSECONDS

    def is_due(self) -> bool:
        """Whether the call that comes is to be timed; asked once for each call."""
        self._calls += 1
        return self._trying or self._calls <= CALLS_PER_SAMPLE or self._calls % CALLS_PER_SAMPLE == 0

    def was_used(self) -> bool:
        """Whether it had more than one call since this was asked last: one alone may be anybody's invention."""
        used = self._calls - self._seen > 1
        self._seen = self._calls
        return used

    def wants_trial(self, now: int) -> bool:
        """Whether it is time to see if a pooled route has changed; true for one call after each pause.

        Not where a call in a thread of its own has shown meanwhile that it has not: a trial delays the others.
        """
        if now < self.again_at:
            return False
        if self._hopeless:
            self._put_off(now)
            return False
        self._trying = True
        self.again_at = now + self._pause
        # Few threads are woken for calls that do not wait: soon one of them runs alone, and tells.
        self.mean = 0.0
        return True

    def sample(self, wait: int, wall: int, now: int) -> None:
        """One call took so long, and waited for this part of it, and no other ran beside it."""
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
            # What was tripped may compute for long, which no wait shows: only a trial brings it back.
            self._bring_back(now)

    def trip(self, now: int) -> None:
        """A call took so long that the reactor was taken from it."""
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

    :ivar others: for requests whose route is not asked for.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Route] = {}
        self.others = Route()
        self.others.known = True

    def find(self, line: RequestLine) -> Route:
        """The route of a request; kept in its line. One that is not known has to be learned."""
        route = line.route = self._known.get(_name(line)) or Route()
        return route

    def learn(self, line: RequestLine, route: Route, code: int) -> None:
        """A request whose route is not known was answered with this status. Any thread, one at a time.

        An answer that there is nothing teaches nothing: whoever makes up paths gets no entry for each.
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
        """Forget the oldest route that nobody has used lately; where all are used, the oldest."""
        for name in list(self._known):
            route = self._known.pop(name)
            if not route.was_used():
                return
            self._known[name] = route
        del self._known[next(iter(self._known))]


def _name(line: RequestLine) -> tuple[str, bytes]:
    segments = line.path.split(b"/", _SEGMENTS + 1)[: _SEGMENTS + 1]
    return line.method, b"/".join([_ANY if _IDENTIFIER.fullmatch(segment) else segment for segment in segments])
