"""The claims of twistcorn.worker.exports: the application's metrics are sent, or a warning says that they are not."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.logger import capturedLogs

from tests.master.stage import texts
from twistcorn.policy.exposition import openmetrics
from twistcorn.policy.merging import parse
from twistcorn.wire.amp_commands import MAX_TEXT
from twistcorn.worker.exports import MAX_BYTES, Exports


class Reactor:
    """Runs on the thread of the test what other threads ask for."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: function(*arguments))

    def run_one(self) -> None:
        self._calls.get(timeout=10)()


class Exporting:
    """An application with its own registry."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.registry: Any = prometheus_client.CollectorRegistry()
        self.exports = Exports(self.reactor, lambda: self.registry)

    def whole(self) -> Any:
        """The result: bytes, or a failure."""
        told: list[Any] = []
        self.exports.whole().addBoth(told.append)
        self.reactor.run_one()
        return told[0]


@pytest.fixture
def exporting() -> Exporting:
    return Exporting()


def test_families(exporting: Exporting) -> None:
    """All kinds of prometheus_client, with their labels; not when they were made."""
    prometheus_client.Counter("hits", "Hits.", ["path"], registry=exporting.registry).labels('/ü"\n\\').inc(2)
    prometheus_client.Gauge("depth", "Depth.", registry=exporting.registry).set(-1.5)
    took = prometheus_client.Histogram("took", "Took.", buckets=(0.5,), registry=exporting.registry)
    took.observe(0.25)

    text = openmetrics(parse(exporting.whole(), 7))
    assert {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    } == {
        ("hits_total", ("path", '/ü"\n\\')): 2,
        ("depth", ("worker", "7")): -1.5,
        ("took_bucket", ("le", "0.5")): 1,
        ("took_bucket", ("le", "+Inf")): 1,
        ("took_count",): 1,
        ("took_sum",): 0.25,
    }


def test_a_label_is_called_as_ours(exporting: Exporting) -> None:
    """It gets another name, as Prometheus does it."""
    prometheus_client.Gauge("depth", "Depth.", ["worker"], registry=exporting.registry).labels("bee").set(1)
    (family,) = parse(exporting.whole(), 7)
    assert family.lines() == ['depth{worker="7",exported_worker="bee"} 1.0']


@dataclass
class Found:
    """A metric, or a sample, as a foreign collector builds it."""

    name: str
    type: str = "gauge"
    documentation: str = "Help."
    labels: dict[str, str] = field(default_factory=dict)
    value: object = 1
    samples: list[Found] = field(default_factory=list)


class Collector:
    """A foreign collector."""

    def __init__(self, *found: Found) -> None:
        self._found = found

    def collect(self) -> list[Found]:
        return list(self._found)


@pytest.mark.parametrize("name", ["twistcorn_mine", "a.b", "", "a b", "a\nb"])
def test_names_that_are_left_out(exporting: Exporting, name: str) -> None:
    """Ours, and those that cannot be written."""
    exporting.registry = Collector(Found(name, samples=[Found(name)]))
    assert exporting.whole() == b"[]"


def test_labels_that_cannot_be_written(exporting: Exporting) -> None:
    """Their samples are left out."""
    samples = [Found("depth", labels={"a.b": ""}), Found("depth", labels={"ab": ""}, value=2)]
    exporting.registry = Collector(Found("depth", samples=samples))
    assert parse(exporting.whole(), 1)[0].lines() == ['depth{worker="1",ab=""} 2.0']


def test_quantiles_are_left_out(exporting: Exporting) -> None:
    """They cannot be summed; count and sum can."""
    samples = [Found("a", labels={"quantile": "0.5"}), Found("a_count", value=2), Found("a_sum", value=6)]
    exporting.registry = Collector(Found("a", "summary", samples=samples))
    assert parse(exporting.whole(), 1)[0].lines() == ["a_count 2.0", "a_sum 6.0"]


def test_a_value_is_no_number(exporting: Exporting) -> None:
    """The log says so, and it is left out."""
    exporting.registry = Collector(Found("a", samples=[Found("a", value="many")]))
    with capturedLogs() as logged:
        assert exporting.whole() == b"[]"
    assert "its metrics are missing (Collector): ValueError" in texts(logged)[0]


def test_pieces(exporting: Exporting) -> None:
    """Metrics that exceed one answer come in several, of one collection."""
    hits = prometheus_client.Counter("hits", "x" * MAX_TEXT, registry=exporting.registry)
    told: list[dict[str, Any]] = []
    exporting.exports.piece(0).addCallback(told.append)
    exporting.reactor.run_one()
    hits.inc()
    exporting.exports.piece(MAX_TEXT).addCallback(told.append)

    data = b"".join(each["data"] for each in told)
    assert [len(data)] * 2 == [each["size"] for each in told]
    assert parse(data, 1)[0].lines() == ["hits_total 0.0"]


def test_too_much(exporting: Exporting) -> None:
    """What does not fit the bound is left out, and the log says so, once."""
    for number in range(8):
        prometheus_client.Counter(f"hits{number}", "x" * (MAX_BYTES // 5), registry=exporting.registry)
    with capturedLogs() as logged:
        data = exporting.whole()
        exporting.whole()

    assert len(data) <= MAX_BYTES
    assert [each[0] for each in json.loads(data)] == ["hits0", "hits1", "hits2", "hits3"]
    assert texts(logged) == [
        f"4 application metrics left out: together they exceed {MAX_BYTES} bytes"
    ]


def test_a_collector_fails(exporting: Exporting) -> None:
    """The log says why, once, and the others are sent; whatever it raises."""

    class Unspeakable(SystemExit):
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    class Broken:
        def describe(self) -> Any:
            return []

        def collect(self) -> Any:
            raise problem

    exporting.registry.register(Broken())
    prometheus_client.Counter("hits", "Hits.", registry=exporting.registry)
    for problem in (LookupError("no database"), SystemExit(3), KeyboardInterrupt(), Unspeakable()):
        with capturedLogs() as logged:
            told = [exporting.whole() for _ in range(2)]
        assert [[each[0] for each in json.loads(data)] for data in told] == [["hits"]] * 2
        (text,) = texts(logged)
        assert text.startswith("application metrics collector raised, its metrics are missing (Broken): ")
        assert "LookupError('no database')" in text or not isinstance(problem, LookupError)


def test_a_collector_hangs(exporting: Exporting) -> None:
    """A scrape meanwhile gets the previous metrics, and no second thread hangs."""
    gate = threading.Event()

    class Hanging:
        def describe(self) -> Any:
            return []

        def collect(self) -> Any:
            gate.wait(10)
            return []

    prometheus_client.Counter("hits", "Hits.", registry=exporting.registry)
    before = exporting.whole()
    exporting.registry.register(Hanging())
    told: list[bytes] = []
    exporting.exports.whole().addCallback(told.append)
    with capturedLogs() as logged:
        exporting.exports.whole().addCallback(told.append)
    assert told == [before]
    assert "takes longer than a scrape" in texts(logged)[0]
    gate.set()
    exporting.reactor.run_one()
    assert len(told) == 2


def test_the_registry_is_not_available(exporting: Exporting) -> None:
    """It may be behind a module of the application, and raise."""

    def registry() -> Any:
        raise SystemExit

    told: list[bytes] = []
    Exports(exporting.reactor, registry).whole().addCallback(told.append)
    assert told == [b""]


def test_nothing_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus_client in the process there are no metrics, and no thread."""
    monkeypatch.delitem(sys.modules, "prometheus_client")
    told: list[dict[str, Any]] = []
    Exports(Reactor()).piece(0).addCallback(told.append)
    assert told == [{"data": b"", "size": 0}]


def test_half_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be just now that the application imports it."""
    monkeypatch.setitem(sys.modules, "prometheus_client", type(sys)("prometheus_client"))
    told: list[bytes] = []
    Exports(Reactor()).whole().addCallback(told.append)
    assert told == [b""]
