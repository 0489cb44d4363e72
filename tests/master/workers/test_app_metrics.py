"""The claims of twistcorn.master.workers.app_metrics: applications are asked, and nothing that they counted is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.master.stage import Stage, process, texts
from twistcorn.master.workers.app_metrics import MAX_WORKER_BYTES, SCRAPE_SECONDS
from twistcorn.policy.merging import Told
from twistcorn.policy.worker import Worker
from twistcorn.wire import amp_commands
from twistcorn.wire.scoreboard import W_EXPORTS


def hits(number: float) -> bytes:
    """What an application tells that counts hits, and how deep it is."""
    families = [["hits", "counter", "", {"": {"hits_total": number}}], ["depth", "gauge", "", {"": {"depth": 1}}]]
    return json.dumps(families).encode()


def value_of(family: Told) -> float:
    """The value of its first sample."""
    return float(family.lines()[0].rpartition(" ")[2])


class Asked(Stage):
    """A supervisor with workers whose applications count."""

    def serve(self) -> list[Worker]:
        workers = super().serve()
        for worker in workers:
            self.uses(worker)
        return workers

    def uses(self, worker: Worker) -> None:
        """Its application has imported prometheus_client."""
        self.board.words[self.board.worker_base(worker.region) + W_EXPORTS] = 1

    def gather(self) -> list[list[Told]]:
        """A scrape; what it is told comes into the list."""
        told: list[list[Told]] = []
        self.supervisor.exports.gather().addCallback(told.append)
        return told

    def answers_with(self, worker: Worker, data: bytes, piece: int = 1 << 20) -> None:
        """A worker answers all that it is asked."""
        while pending := [(order, answer) for order, answer in process(worker).asked if not answer.called]:
            order, answer = pending[0]
            offset = order.arguments["offset"]
            answer.callback({"data": data[offset : offset + piece], "size": len(data)})

    def known(self) -> float:
        """The hits that a scrape finds which nobody answers."""
        told = self.gather()
        self.clock.advance(SCRAPE_SECONDS)
        return sum(value_of(family) for family in told[0] if family.name == "hits")


@pytest.fixture
def stage() -> Iterator[Asked]:
    made = Asked(workers=2)
    yield made
    made.close()


def test_all_answer(stage: Asked) -> None:
    """Then the sum is there at once."""
    first, second = stage.serve()
    told = stage.gather()
    stage.answers_with(first, hits(1))
    assert told == []
    stage.answers_with(second, hits(2))
    assert [(family.name, value_of(family)) for family in told[0]] == [("hits", 3), ("depth", 1)]
    assert told[0][1].lines() == ['depth{worker="1"} 1', 'depth{worker="2"} 1']


def test_in_pieces(stage: Asked) -> None:
    """An answer that does not fit one message comes in several."""
    first, second = stage.serve()
    told = stage.gather()
    stage.answers_with(first, hits(1), piece=7)
    stage.answers_with(second, hits(2), piece=7)
    assert value_of(told[0][0]) == 3


def test_only_who_counts_is_asked(stage: Asked) -> None:
    """Applications without prometheus_client, and workers that do not serve, cost a scrape nothing."""
    first, second = stage.serve()
    stage.board.words[stage.board.worker_base(first.region) + W_EXPORTS] = 0
    stage.supervisor.fleet.drain(second)
    assert stage.gather() == [[]]
    assert process(first).asked == process(second).asked == []


def test_one_does_not_answer_in_time(stage: Asked) -> None:
    """It is taken with what it said last; an answer that comes later does no harm."""
    first, second = stage.serve()
    stage.gather()
    stage.answers_with(first, hits(1))
    stage.answers_with(second, hits(2))

    told = stage.gather()
    stage.answers_with(first, hits(10))
    stage.clock.advance(SCRAPE_SECONDS)
    assert value_of(told[0][0]) == 12
    stage.answers_with(second, hits(20))


def test_two_scrapes_at_once(stage: Asked) -> None:
    """The second one hears what the first one asked for."""
    first, second = stage.serve()
    told = stage.gather(), stage.gather()
    for worker in (first, second):
        stage.answers_with(worker, hits(1))
        assert len(process(worker).asked) == 1
    assert told[0] == told[1] != []


def test_one_dies(stage: Asked) -> None:
    """What it had said counts on, with that of its successor; its gauges are gone."""
    first, second = stage.serve()
    stage.gather()
    stage.answers_with(first, hits(1))
    stage.answers_with(second, hits(2))
    stage.spawner.exits(first, signal=9)
    stage.boot_all()
    stage.uses(stage.newest)

    told = stage.gather()
    stage.answers_with(second, hits(2))
    stage.answers_with(stage.newest, hits(5))
    assert value_of(told[0][0]) == 8
    assert told[0][1].lines() == ['depth{worker="2"} 1', 'depth{worker="3"} 1']


def test_one_dies_while_it_is_asked(stage: Asked) -> None:
    """Nobody waits for it any longer."""
    first, second = stage.serve()
    told = stage.gather()
    stage.answers_with(second, hits(2))
    stage.spawner.exits(first, signal=9)
    assert value_of(told[0][0]) == 2


def test_one_leaves_in_order(stage: Asked) -> None:
    """Its last word counts, also that which nobody has asked for."""
    first, _ = stage.serve()
    stage.supervisor.fleet.drain(first)
    data = hits(7)
    stage.spawner.exports(first, data[:9], last=False)
    stage.spawner.exports(first, data[9:])
    assert stage.known() == 7
    stage.spawner.exits(first, code=0)
    assert stage.known() == 7


@pytest.mark.parametrize("data", [b"nonsense", b'[["hits"]]'])
def test_one_says_something_else(stage: Asked, data: bytes) -> None:
    """The log says so, and what it said before counts."""
    first, second = stage.serve()
    stage.gather()
    stage.answers_with(first, hits(1))
    stage.answers_with(second, hits(2))
    with capturedLogs() as logged:
        told = stage.gather()
        stage.answers_with(first, data)
        stage.answers_with(second, hits(2))
    assert value_of(told[0][0]) == 3
    assert [text.partition(":")[0] for text in texts(logged)] == ["invalid metrics from worker 1"]


def test_one_says_too_much(stage: Asked) -> None:
    """It is asked no further, and taken with what it said last."""
    first, second = stage.serve()
    told = stage.gather()
    answer: Deferred[object] = process(first).asked[0][1]
    answer.callback({"data": b"[", "size": MAX_WORKER_BYTES + 1})
    stage.answers_with(second, hits(2))
    assert value_of(told[0][0]) == 2
    assert [order.command for order, _ in process(first).asked] == [amp_commands.Export]
