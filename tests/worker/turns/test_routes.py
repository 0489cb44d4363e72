"""Routes: which calls stay on the leader's thread."""

from __future__ import annotations

import pytest

from twistcorn.worker.http.request import RequestLine
from twistcorn.worker.turns.routes import (
    CALLS_PER_SAMPLE,
    FIRST_PAUSE_NANOSECONDS,
    MAX_PAUSE_NANOSECONDS,
    MAX_ROUTES,
    MAX_SAMPLE_NANOSECONDS,
    PROBATION_PAUSES,
    TOO_LONG_NANOSECONDS,
    WAITS_NANOSECONDS,
    Route,
    Routes,
)

#: A call that waits, and one that does not, in nanoseconds.
LONG, SHORT = 1_000_000, 1_000


def line(path: str, method: str = "GET") -> RequestLine:
    return RequestLine(method, path.encode(), path.encode().partition(b"?")[0], b"", (1, 1))


def pooled(now: int = 0) -> Route:
    """A route whose first call has waited."""
    route = Route()
    route.is_due()
    route.sample(LONG, LONG, now)
    assert route.pooled
    return route


class TestDecisions:
    def test_new_route(self) -> None:
        """It is given the benefit of the doubt."""
        assert not Route().pooled

    def test_first_call_waits(self) -> None:
        """One is enough for a route of which nothing else is known."""
        assert pooled().waits

    def test_one_call_among_many_waits(self) -> None:
        """It does not move a route, however long it was."""
        route = Route()
        for _ in range(20):
            route.sample(SHORT, SHORT, 0)
        route.sample(10**12, 10**12, 0)

        assert not route.pooled
        assert route.mean <= SHORT + MAX_SAMPLE_NANOSECONDS / CALLS_PER_SAMPLE

    def test_calls_begin_to_wait(self) -> None:
        """A few of them are enough."""
        route = Route()
        route.sample(SHORT, SHORT, 0)
        for _ in range(3):
            route.sample(LONG, LONG, 0)

        assert route.pooled

    def test_clocks_disagree(self) -> None:
        """More processor time than time is no wait."""
        route = Route()
        route.sample(-5, -5, 0)

        assert route.mean == 0

    def test_calls_cease_to_wait(self) -> None:
        """What is seen of them in their own threads brings the route back."""
        route = pooled()
        for _ in range(30):
            route.sample(SHORT, SHORT, 0)

        assert not route.pooled

    def test_calls_compute_for_long(self) -> None:
        """Such a route waits for nothing, and stays in the pool until a trial says otherwise."""
        route = Route()
        route.trip(0)
        for _ in range(30):
            route.sample(SHORT, SHORT, 0)
        assert route.pooled
        assert not route.waits

        assert route.wants_trial(FIRST_PAUSE_NANOSECONDS)
        route.sample(SHORT, SHORT, FIRST_PAUSE_NANOSECONDS)
        assert not route.pooled


class TestTiming:
    def test_calls_that_are_timed(self) -> None:
        """The first ones, then one in CALLS_PER_SAMPLE."""
        route = Route()
        due = [route.is_due() for _ in range(4 * CALLS_PER_SAMPLE)]

        assert due[:CALLS_PER_SAMPLE] == [True] * CALLS_PER_SAMPLE
        assert sum(due[CALLS_PER_SAMPLE:]) == 3

    def test_trial(self) -> None:
        """It is timed, whichever call it is."""
        route = pooled()
        for _ in range(CALLS_PER_SAMPLE + 2):
            route.is_due()
        route.wants_trial(FIRST_PAUSE_NANOSECONDS)

        assert route.is_due()


class TestTrials:
    def test_pause(self) -> None:
        """There is one trial after each pause, which doubles each time that it was in vain, up to a bound."""
        route, now, pauses = pooled(), 0, []
        for _ in range(10):
            assert not route.wants_trial(route.again_at - 1)
            pauses.append(route.again_at - now)
            now = route.again_at
            assert route.wants_trial(now)
            assert not route.wants_trial(now)
            route.sample(LONG, LONG, now)
            assert route.pooled

        assert pauses[:4] == [times * FIRST_PAUSE_NANOSECONDS for times in (1, 2, 4, 8)]
        assert pauses[-1] == MAX_PAUSE_NANOSECONDS

    @pytest.mark.parametrize(("wait", "wall"), [(LONG, LONG), (SHORT, TOO_LONG_NANOSECONDS + 1)])
    def test_trial_would_be_in_vain(self, wait: int, wall: int) -> None:
        """A pooled call that waits meanwhile spares the others a trial."""
        route = Route()
        route.trip(0)
        route.sample(wait, wall, FIRST_PAUSE_NANOSECONDS // 2)
        assert not route.wants_trial(FIRST_PAUSE_NANOSECONDS)
        assert route.again_at == 3 * FIRST_PAUSE_NANOSECONDS

        assert route.wants_trial(3 * FIRST_PAUSE_NANOSECONDS)

    def test_trial_is_good(self) -> None:
        """The route is back."""
        route = pooled()
        route.wants_trial(FIRST_PAUSE_NANOSECONDS)
        route.sample(SHORT, SHORT, FIRST_PAUSE_NANOSECONDS)

        assert not route.pooled

    @pytest.mark.parametrize(
        ("well", "pause"), [(1, 2 * FIRST_PAUSE_NANOSECONDS), (PROBATION_PAUSES + 1, FIRST_PAUSE_NANOSECONDS)]
    )
    def test_route_is_put_off_again(self, well: int, pause: int) -> None:
        """The pause begins anew only where it did well for long."""
        route = pooled()
        route.wants_trial(FIRST_PAUSE_NANOSECONDS)
        route.sample(SHORT, SHORT, FIRST_PAUSE_NANOSECONDS)
        later = FIRST_PAUSE_NANOSECONDS + well * FIRST_PAUSE_NANOSECONDS
        route.trip(later)

        assert route.again_at - later == pause

    def test_wait_between_the_bounds(self) -> None:
        """It moves a route neither to the pool nor back: no route goes to and fro."""
        between = int(WAITS_NANOSECONDS * 0.75)
        route = Route()
        for _ in range(50):
            route.sample(between, between, 0)
        assert not route.pooled

        route.trip(0)
        for _ in range(50):
            route.sample(between, between, 0)
        assert route.pooled


def known(routes: Routes, path: str, method: str = "GET") -> Route:
    """The route of a request that was answered."""
    asked = line(path, method)
    route = routes.find(asked)
    if not route.known:
        routes.learn(asked, route, 200)
    return route


class TestTable:
    def test_same_work(self) -> None:
        """Method and first segments make a route."""
        routes = Routes()
        found = known(routes, "/api/users/17")

        assert routes.find(line("/api/users/18?a=b")) is found
        assert known(routes, "/api/orders/17") is not found
        assert known(routes, "/api/users/17", "POST") is not found

    def test_line_keeps_its_route(self) -> None:
        """It is looked up once for each line."""
        routes, asked = Routes(), line("/a")
        assert asked.route is None
        route = routes.find(asked)
        assert route is asked.route
        assert not route.known
        routes.learn(asked, route, 200)
        assert routes.find(line("/a")) is asked.route is route
        assert route.known

    @pytest.mark.parametrize("code", [0, 404, 405, 410, 501])
    def test_nothing_is_there(self, code: int) -> None:
        """A path without a resource gets no entry, and is unknown at the next request."""
        routes, asked = Routes(), line("/made-up")
        routes.learn(asked, routes.find(asked), code)
        assert routes._known == {}
        assert routes.find(line("/made-up")) is not asked.route

    def test_two_at_once(self) -> None:
        """Two first requests of a route make one of it."""
        routes, one, other = Routes(), line("/a/b/1"), line("/a/b/2")
        first, second = routes.find(one), routes.find(other)
        routes.learn(one, first, 200)
        routes.learn(other, second, 200)
        assert one.route is other.route is first
        assert len(routes._known) == 1

    def test_paths_are_made_up(self) -> None:
        """A route that is used stays known, whatever strangers ask for, and so does one that comes later."""
        routes = Routes()
        first = known(routes, "/first")
        for number in range(3 * MAX_ROUTES):
            first.is_due()
            known(routes, f"/made-up-{number}").is_due()
            if number == 2 * MAX_ROUTES:
                later = known(routes, "/later")
                later.is_due(), later.is_due()

        assert routes.find(line("/first")) is first
        assert routes.find(line("/later")) is later
        assert len(routes._known) == MAX_ROUTES

    def test_all_routes_are_used(self) -> None:
        """Then the oldest makes room, and no route shares the measurements of another."""
        routes = Routes()
        found = [known(routes, f"/made-up-{number}") for number in range(MAX_ROUTES)]
        for route in found:
            route.is_due(), route.is_due()

        assert known(routes, "/new") is not known(routes, "/newer")
        assert routes.find(line(f"/made-up-{MAX_ROUTES - 1}")) is found[-1]
        assert len(routes._known) == MAX_ROUTES

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("/item/1", "/item/22"), ("/1/edit", "/2/edit"), ("/7", "/88"),
            ("/o/0b9c4f9e-26b5-4f0a-9a39-6a1cf3d6a001", "/o/1b9c4f9e-26b5-4f0a-9a39-6a1cf3d6a002"),
            ("/o/5f2b9c1d", "/o/5f2b9c1e"), ("/o/" + "a" * 40, "/o/" + "b" * 33),
        ],
    )  # fmt: skip
    def test_identifiers_name_no_route(self, one: str, other: str) -> None:
        """The same work on another thing is the same route."""
        routes = Routes()
        assert known(routes, one) is routes.find(line(other))

    @pytest.mark.parametrize(
        ("one", "other"), [("/v1", "/v2"), ("/feedface", "/facade"), ("/a-b", "/a-c"), ("/", "//")]
    )
    def test_names_are_no_identifiers(self, one: str, other: str) -> None:
        """Words and versions distinguish routes."""
        routes = Routes()
        assert known(routes, one) is not known(routes, other)
