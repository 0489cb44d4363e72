"""The claims of twistcorn.worker.counts: what the leader counts is on the scoreboard when its answers are sent."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from twistcorn.master.workers.totals import Tally, Totals
from twistcorn.wire.scoreboard import W_LED_REQUESTS, Scoreboard
from twistcorn.wire.statuses import ROWS
from twistcorn.worker.counts import Counts


class Counted:
    """The counts of a worker, and what the master reads of them."""

    def __init__(self) -> None:
        self.board = Scoreboard.create(1, 1)
        self.counts = Counts(self.board.words, self.board.worker_base(0))

    def answer(self, method: str = "GET", code: int = 200, took: int = 0) -> None:
        """The leader has answered, within this number of nanoseconds."""
        self.counts.count_led(ROWS[method], code, time.monotonic_ns() - took)

    @property
    def totals(self) -> Totals:
        return Tally(self.board, lambda: [0]).totals()


@pytest.fixture
def counted() -> Iterator[Counted]:
    made = Counted()
    yield made
    made.board.close()


def test_requests_that_are_alike_are_counted_together(counted: Counted) -> None:
    """Before their answers are sent, and known to the worker at once."""
    for _ in range(3):
        counted.answer()
    assert counted.counts.led == 3
    counted.counts.flush()
    counted.counts.flush()
    assert (counted.counts.led, counted.totals.requests, counted.totals.by) == (3, 3, {("GET", "2xx"): 3})


def test_requests_that_differ(counted: Counted) -> None:
    """By method, status or time: each is counted where it belongs."""
    for method, code, took in (("GET", 200, 0), ("POST", 200, 0), ("POST", 404, 0), ("POST", 404, 1 << 30)):
        counted.answer(method, code, took)
    counted.counts.flush()
    totals = counted.totals
    assert totals.by == {("GET", "2xx"): 1, ("POST", "2xx"): 1, ("POST", "4xx"): 2}
    assert (sum(totals.latency), totals.latency[-1]) == (4, 0)
    assert totals.latency_sum == pytest.approx((1 << 30) / 1e9, rel=0.1)


def test_a_request_that_took_longer_than_every_bound(counted: Counted) -> None:
    """It is in the last bucket."""
    counted.answer(took=1 << 50)
    counted.counts.flush()
    assert counted.totals.latency[-1] == 1


def test_nothing_comes_to_the_scoreboard_before(counted: Counted) -> None:
    """A worker that dies before it sends has not answered: the worker that answers instead counts the request."""
    counted.answer()
    assert counted.board.words[counted.board.worker_base(0) + W_LED_REQUESTS] == counted.totals.requests == 0


def test_nothing_of_several_kinds_comes_there_before_either(counted: Counted) -> None:
    """Requests that differ wait for the answers too, and are known to the worker."""
    counted.answer()
    counted.answer("POST")
    counted.answer("POST", 404)
    assert (counted.counts.led, counted.totals.requests, counted.totals.by) == (3, 0, {})


def test_a_status_of_no_class(counted: Counted) -> None:
    """It is an answer, and counts as clients take it: as an error of the server."""
    counted.answer(code=700)
    counted.counts.count(ROWS["GET"], 999, 0, 0)
    counted.counts.flush()
    assert counted.totals.by == {("GET", "5xx"): 2}
