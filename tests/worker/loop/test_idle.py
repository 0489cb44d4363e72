"""The claims of twistcorn.worker.loop.idle: which idle connections a worker gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, NEXT, head
from tests.http.served import Client, Clock, Served
from tests.worker.apps import app
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import Scoreboard
from twistcorn.worker.loop.idle import MAX_GIVEN_BACK
from twistcorn.worker.loop.sweeping import SWEEP_SECONDS

Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A worker with these settings."""
    made: list[Served] = []

    def make(**settings: Any) -> Served:
        made.append(Served(app([b"hello"]), replace(DEFAULTS, **settings), board=Scoreboard.create(1, 512)))
        return made[-1]

    yield make
    for served in made:
        served.close()


def connect(served: Served, count: int, request: bytes = head()) -> list[Client]:
    """Connect clients, which send this."""
    clients = [served.connect(slot) for slot in range(count)]
    for client in clients:
        served.send(client, request)
    return clients


class TestIdleForLong:
    def test_time_has_come(self, serve: Serve, clock: Clock) -> None:
        """After --park-after without a request, and not before, the master gets it."""
        served = serve()
        connect(served, 1)
        clock.pass_by(served, 10)
        assert served.reports == []

        clock.pass_by(served, 0.5)
        assert served.reports == [(Kind.PARKED, 0, 1)]

    def test_it_was_parked_before(self, serve: Serve, clock: Clock) -> None:
        """Each answer restarts the time; its deadline is unchanged."""
        served = serve()
        (client,) = connect(served, 1)
        clock.pass_by(served, 9)
        served.send(client, NEXT)
        clock.pass_by(served, 9)
        assert served.reports == []

        clock.pass_by(served, 2)
        assert served.reports == [(Kind.PARKED, 0, 1)]
        assert served.slot().deadline == int((clock.now - 11 + 75) * 1e9)

    @pytest.mark.parametrize("request_", [b"", head()[:5], head() + NEXT[:5]], ids=["nothing", "head", "next"])
    def test_it_asks(self, serve: Serve, clock: Clock, request_: bytes) -> None:
        """One without a request yet, or with an incomplete head, has the time for a head and is not parked."""
        served = serve(header_timeout=100.0)
        connect(served, 1, request_)
        clock.pass_by(served, 11)

        assert served.reports == []

    def test_operator_wants_none(self, serve: Serve, clock: Clock) -> None:
        """With --park-after 0 no connection is parked."""
        served = serve(park_after=0.0)
        connect(served, 1)
        clock.pass_by(served, 60)

        assert served.reports == []

    def test_there_are_many(self, serve: Serve, clock: Clock) -> None:
        """They go in batches, so that no other connection waits for long."""
        served = serve()
        connect(served, MAX_GIVEN_BACK + 10)
        clock.pass_by(served, 11)
        assert len(served.reports) == MAX_GIVEN_BACK

        clock.pass_by(served, SWEEP_SECONDS)
        assert len(served.reports) == MAX_GIVEN_BACK + 10
