"""The claims of twistcorn.master.workers.totals: nothing that was counted is lost or counted twice, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.master.stage import Stage
from twistcorn.policy.worker import Worker
from twistcorn.wire.scoreboard import (
    W_ERRORS,
    W_LATENCY,
    W_LED_LATENCY,
    W_LED_REQUESTS,
    W_LED_STATUS,
    W_QUEUE_SUM,
    W_QUEUE_TIME,
    W_RECEIVED,
    W_REQUESTS,
    W_SENT,
    W_STATUS,
)
from twistcorn.wire.statuses import COLUMNS, ROWS


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A supervisor on a clock."""
    made = Stage(workers=2)
    yield made
    made.close()


def count(stage: Stage, worker: Worker, word: int, number: int = 1) -> None:
    """A worker counts."""
    stage.board.words[stage.board.worker_base(worker.region) + word] += number


def requests(stage: Stage) -> int:
    """All that were counted."""
    return stage.supervisor.tally.totals().requests


def test_what_leaders_and_threads_count_is_added(stage: Stage) -> None:
    """Method, status and time are told for both together."""
    first, second = stage.serve()
    count(stage, first, W_REQUESTS, 2)
    count(stage, second, W_LED_REQUESTS, 3)
    count(stage, first, W_STATUS + ROWS["GET"] + COLUMNS[200], 2)
    count(stage, second, W_LED_STATUS + ROWS["GET"] + COLUMNS[201])
    count(stage, second, W_LED_STATUS + ROWS["other"] + COLUMNS[418], 2)
    count(stage, first, W_LATENCY + 4, 2)
    count(stage, second, W_LED_LATENCY + 4, 3)

    totals = stage.supervisor.tally.totals()

    assert totals.requests == 5
    assert totals.by == {("GET", "2xx"): 3, ("other", "4xx"): 2}
    assert {code: number for code, number in totals.codes.items() if number} == {"200": 2, "201": 1, "4xx": 2}
    assert totals.statuses == (0, 3, 0, 2, 0)
    assert (totals.latency[4], sum(totals.latency)) == (5, 5)


def test_the_rest_is_added(stage: Stage) -> None:
    """Bytes, refusals and the time in the queue are sums over workers, in seconds and bytes."""
    first, second = stage.serve()
    for worker in (first, second):
        count(stage, worker, W_RECEIVED, 10)
        count(stage, worker, W_SENT, 20)
        count(stage, worker, W_ERRORS)
        count(stage, worker, W_QUEUE_TIME + 7)
        count(stage, worker, W_QUEUE_SUM, 3_000_000)

    totals = stage.supervisor.tally.totals()

    assert (totals.received, totals.sent, totals.refused) == (20, 40, 2)
    assert (totals.queue[7], totals.queue_sum) == (2, 0.006)


def test_a_dead_worker_is_counted_once(stage: Stage) -> None:
    """What it had answered stays, also when its region has been given to another one."""
    first, second = stage.serve()
    count(stage, first, W_REQUESTS, 7)
    count(stage, second, W_REQUESTS, 5)

    stage.spawner.exits(first, signal=9)
    assert requests(stage) == 12
    assert stage.newest.region == first.region

    stage.boot_all()
    count(stage, stage.newest, W_LED_REQUESTS, 100)
    assert requests(stage) == 112


def test_a_reload_loses_nothing(stage: Stage) -> None:
    """Old workers count until they are gone, and what they counted stays."""
    old = stage.serve()
    for worker in old:
        count(stage, worker, W_REQUESTS, 10)
    stage.supervisor.reload()
    stage.boot_all()
    for worker in stage.spawner.alive:
        count(stage, worker, W_REQUESTS, 1)
    assert requests(stage) == 20 + len(stage.spawner.alive)

    number = requests(stage)
    for worker in old:
        stage.spawner.exits(worker, code=0)
    assert requests(stage) == number


def test_a_worker_that_waits_to_be_started_again_is_not_counted_for_another(stage: Stage) -> None:
    """Its place on the scoreboard may belong to somebody else by now."""
    stage.serve()
    stage.supervisor.scale(1)
    failing = stage.newest
    stage.fails(failing)
    stage.supervisor.scale(1)
    assert stage.newest.region == failing.region
    stage.spawner.ready(stage.newest)

    count(stage, stage.newest, W_REQUESTS, 3)

    assert requests(stage) == 3
