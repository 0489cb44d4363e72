"""The claims of twistcorn.worker.idle: which idle connections a worker gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, NEXT, head
from tests.http.served import Client, Clock, Served
from tests.worker.apps import app
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import H_REGIONS, W_CONNECTIONS, W_THREADS, Scoreboard
from twistcorn.worker.idle import AT_ONCE, surplus
from twistcorn.worker.poller import SWEEP

Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A worker, and on its scoreboard another one with so many connections."""
    made: list[Served] = []

    def make(others: int | None = None, **settings: Any) -> Served:
        board = Scoreboard.create(2, 512)
        board.words[H_REGIONS] = 2
        if others is not None:
            board.words[board.worker_base(1) + W_THREADS] = 8
            board.words[board.worker_base(1) + W_CONNECTIONS] = others
        made.append(Served(app([b"hello"]), replace(DEFAULTS, **settings), board=board))
        return made[-1]

    yield make
    for served in made:
        served.close()


def connect(served: Served, count: int, request: bytes = head()) -> list[Client]:
    """So many clients connect, and send this."""
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
        """Each answer gives it the time anew; its deadline stays what it was."""
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
        """One that never asked, or is just asking, has the time for a head and is not parked."""
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
        """They go in parts, so that nobody else waits for long."""
        served = serve()
        connect(served, AT_ONCE + 10)
        clock.pass_by(served, 11)
        assert len(served.reports) == AT_ONCE

        clock.pass_by(served, SWEEP)
        assert len(served.reports) == AT_ONCE + 10


class TestTooMany:
    def test_rule(self) -> None:
        """Far more than the share, and more than chance."""
        assert surplus(20, [20, 0]) == 10
        assert surplus(20, [20, 20, 20, 0]) == 0
        assert surplus(21, [21, 21, 21, 1]) == 0
        assert surplus(40, [40, 8, 8, 8]) == 24
        assert surplus(3, [3, 0, 0]) == 0
        assert surplus(5, []) == 0

    def test_another_worker_has_none(self, serve: Serve, clock: Clock) -> None:
        """Down to the share they go, for anybody; then nothing more."""
        served = serve(others=0)
        connect(served, 20)
        clock.pass_by(served, SWEEP)
        assert [kind for kind, _, _ in served.reports] == [Kind.RELEASED] * 10

        served.board.words[served.board.worker_base(1) + W_CONNECTIONS] = 10
        clock.pass_by(served, SWEEP)
        assert len(served.reports) == 10

    def test_other_worker_takes_none(self, serve: Serve, clock: Clock) -> None:
        """One that drains or boots has no share."""
        served = serve(others=None)
        connect(served, 20)
        clock.pass_by(served, SWEEP)

        assert served.reports == []
