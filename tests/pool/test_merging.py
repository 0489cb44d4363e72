"""The claims of twistcorn.pool.merging: metrics of several workers become one, and sums never go down."""

from __future__ import annotations

import json
import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from twistcorn.pool.exposition import Family, Sample, openmetrics
from twistcorn.pool.merging import merge, parse, total


def counter(value: float, name: str = "hits", **labels: str) -> Family:
    return Family(name, "counter", "help", [Sample("_total", tuple(labels.items()), value)])


def gauge(value: float, name: str = "depth", **labels: str) -> Family:
    return Family(name, "gauge", "help", [Sample("", tuple(labels.items()), value)])


def histogram(*counts: int, bounds: tuple[str, ...] = ("0.5", "+Inf")) -> Family:
    buckets = [Sample("_bucket", (("le", bound),), count) for bound, count in zip(bounds, counts, strict=True)]
    return Family("took", "histogram", "help", [*buckets, Sample("_count", (), counts[-1]), Sample("_sum", (), 1.5)])


def values(families: list[Family]) -> dict[str, float]:
    """All samples, by what a line of text begins with."""
    lines = [line for line in openmetrics(families).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class TestMerge:
    def test_counters_are_summed(self) -> None:
        """By their labels, over workers and those that are gone."""
        one = [counter(1, path="/"), counter(5, "other")]
        two = [counter(2, path="/")]
        three = [counter(4, path="/x")]
        assert values(merge(one, {2: two, 3: three})) == {
            'hits_total{path="/"}': 3, 'hits_total{path="/x"}': 4, "other_total": 5,
        }  # fmt: skip

    def test_histograms_are_summed(self) -> None:
        """Bucket by bucket."""
        found = values(merge([], {1: [histogram(1, 2)], 2: [histogram(0, 3)]}))
        assert found == {
            'took_bucket{le="0.5"}': 1, 'took_bucket{le="+Inf"}': 5, "took_count": 5, "took_sum": 3.0,
        }  # fmt: skip

    def test_histograms_of_different_code(self) -> None:
        """Also while a reload changes their buckets the text is one that can be read."""
        merged = merge([], {1: [histogram(1, 2)], 2: [histogram(1, 2, 3, bounds=("0.1", "0.5", "+Inf"))]})
        (family,) = read_openmetrics(openmetrics(merged))
        assert [sample.labels["le"] for sample in family.samples if "le" in sample.labels] == ["0.1", "0.5", "+Inf"]

    def test_gauges_get_their_worker(self) -> None:
        """And those of workers that are gone are gone."""
        gone = total([[gauge(9)]])
        merged = merge(gone, {2: [gauge(1, room="a")], 11: [gauge(2, room="a")]})
        assert values(merged) == {'depth{worker="2",room="a"}': 1, 'depth{worker="11",room="a"}': 2}

    def test_an_application_has_a_label_of_that_name(self) -> None:
        """It gets another one, as Prometheus does it."""
        assert values(merge([], {2: [gauge(1, worker="bee")]})) == {'depth{worker="2",exported_worker="bee"}': 1}

    @pytest.mark.parametrize("workers", [(1, 2), (2, 1)])
    def test_a_name_of_two_kinds(self, workers: tuple[int, int]) -> None:
        """One of them counts, the other is left out: the text stays one that can be read."""
        merged = merge([], {workers[0]: [counter(1, "a")], workers[1]: [gauge(1, "a")]})
        assert values(merged) == {"a_total": 1}

    def test_quantiles_are_left_out(self) -> None:
        """They cannot be summed; count and sum can."""
        samples = [Sample("", (("quantile", "0.5"),), 3), Sample("_count", (), 2), Sample("_sum", (), 6)]
        family = Family("a", "summary", "help", samples)
        assert values(merge([], {1: [family], 2: [family]})) == {"a_count": 4, "a_sum": 12}

    def test_sums_never_go_down(self) -> None:
        """What is moved from the living to the gone is counted as before."""
        one, two = [counter(1), histogram(1, 2)], [counter(2), histogram(3, 4)]
        assert values(merge(total([[], one]), {2: two})) == values(merge([], {1: one, 2: two}))


class TestParse:
    def test_families(self) -> None:
        """What a worker writes comes through."""
        text = json.dumps([["hits", "counter", "help", [["_total", [["path", "/"]], 2.5]]]])
        assert parse(text.encode()) == [counter(2.5, path="/")]

    def test_no_number(self) -> None:
        """As the formats know it."""
        text = json.dumps([["depth", "gauge", "help", [["", [], math.inf]]]])
        assert parse(text.encode()) == [gauge(math.inf)]

    @pytest.mark.parametrize("name", ["twistcorn_requests", "a.b", "", "a b", "a\nb"])
    def test_names_that_are_left_out(self, name: str) -> None:
        """Ours, and those that cannot be written."""
        assert parse(json.dumps([[name, "counter", "help", []]]).encode()) == []

    def test_labels_that_cannot_be_written(self) -> None:
        """Their samples are left out."""
        text = json.dumps([["depth", "gauge", "help", [["", [["a.b", ""]], 1], ["", [["ab", ""]], 2]]]])
        assert parse(text.encode()) == [gauge(2, ab="")]

    def test_kinds_that_are_not_known(self) -> None:
        """They are as good as none."""
        assert parse(b'[["a", "enum", "help", []]]') == [Family("a", "unknown", "help")]

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"5", b"[1]", b'[["a"]]', b'[["a", "gauge", "", [["", [], "x"]]]]', b'[[1, 2, 3, 4]]']
    )
    def test_something_else(self, data: bytes) -> None:
        """It is an error of one kind."""
        with pytest.raises(ValueError, match="no families"):
            parse(data)
