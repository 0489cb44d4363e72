"""The claims of twistcorn.policy.merging: metrics of several workers become one, and sums never go down."""

from __future__ import annotations

import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from twistcorn.policy.exposition import openmetrics
from twistcorn.policy.merging import Told, Values, merge, parse, total, trim


def told(worker: int, *families: tuple[str, str, dict[str, Values]]) -> list[Told]:
    """What a worker tells: name, kind and groups of each family."""
    return parse(json.dumps([(name, kind, "help", groups) for name, kind, groups in families]).encode(), worker)


def hits(worker: int, **paths: float) -> list[Told]:
    """One that counts hits by path."""
    groups = {path: {f'hits_total{{path="{path}"}}': value} for path, value in paths.items()}
    return told(worker, ("hits", "counter", groups))


def took(worker: int, **buckets: int) -> list[Told]:
    """One that measures times; bounds are tenths, `inf` is the last."""
    bounds = {name: "+Inf" if name == "inf" else str(int(name[1:]) / 10) for name in buckets}
    values = {f'took_bucket{{le="{bounds[name]}"}}': count for name, count in buckets.items()}
    return told(worker, ("took", "histogram", {"": {**values, "took_count": buckets["inf"], "took_sum": 1.5}}))


def values(families: list[Told]) -> Values:
    """All samples, by what a line of text begins with."""
    lines = [line for line in openmetrics(families).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class TestMerge:
    def test_counters_are_summed(self) -> None:
        """By their labels, over workers and those that are gone."""
        assert values(merge(hits(1, a=1, b=5), [hits(2, a=2), hits(3, c=4)])) == {
            'hits_total{path="a"}': 3, 'hits_total{path="b"}': 5, 'hits_total{path="c"}': 4,
        }  # fmt: skip

    def test_histograms_are_summed(self) -> None:
        """Bucket by bucket."""
        found = values(merge([], [took(1, b5=1, inf=2), took(2, b5=0, inf=3)]))
        assert found == {
            'took_bucket{le="0.5"}': 1, 'took_bucket{le="+Inf"}': 5, "took_count": 5, "took_sum": 3.0,
        }  # fmt: skip

    def test_histograms_of_different_code(self) -> None:
        """Also while a reload changes their buckets the text is one that can be read."""
        merged = merge([], [took(1, b5=1, inf=2), took(2, b1=1, b5=2, inf=3)])
        (family,) = read_openmetrics(openmetrics(merged))
        assert [sample.labels["le"] for sample in family.samples if "le" in sample.labels] == ["0.1", "0.5", "+Inf"]

    def test_gauges_get_their_worker(self) -> None:
        """And those of workers that are gone are gone."""
        gone = total([told(1, ("depth", "gauge", {"": {"depth": 9}}))])
        living = [
            told(2, ("depth", "gauge", {"": {"depth": 1}})),
            told(11, ("depth", "gauge", {"": {'depth{room="a"}': 2}})),
        ]
        assert values(merge(gone, living)) == {'depth{worker="2"}': 1, 'depth{worker="11",room="a"}': 2}

    @pytest.mark.parametrize("kinds", [("counter", "gauge"), ("gauge", "counter")])
    def test_a_name_of_two_kinds(self, kinds: tuple[str, str]) -> None:
        """The first one counts, the other is left out: the text stays one that can be read."""
        merged = merge([], [told(1, ("a", kinds[0], {"": {"a_total": 1}})), told(2, ("a", kinds[1], {"": {"a": 2}}))])
        assert len(values(merged)) == len(merged) == 1

    def test_sums_never_go_down(self) -> None:
        """What is moved from the living to the gone is counted as before."""
        one, two = [*hits(1, a=1), *took(1, b5=1, inf=2)], [*hits(2, a=2), *took(2, b5=3, inf=4)]
        before = values(merge([], [one, two]))
        assert values(merge(total([[], one]), [two])) == before
        assert values(merge([], [one, two])) == before


class TestParse:
    def test_families(self) -> None:
        """Lines come through as they are."""
        text = b'[["hits", "counter", "help", {"g": {"hits_total{path=\\"/\\"}": 2.5}}]]'
        (family,) = parse(text, 1)
        assert family == Told("hits", "counter", "help", {"g": {'hits_total{path="/"}': 2.5}})
        assert family.lines() == ['hits_total{path="/"} 2.5']

    def test_no_number(self) -> None:
        """Written as the formats know it."""
        (family,) = parse(b'[["depth", "gauge", "help", {"": {"depth": Infinity}}]]', 1)
        assert family.lines() == ['depth{worker="1"} +Inf']

    def test_kinds_that_are_not_known(self) -> None:
        """They are as good as none."""
        assert parse(b'[["a", "enum", "help", {}]]', 1) == [Told("a", "unknown", "help")]

    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"5", b"[1]", b'[["a"]]', b'[["a", "gauge", "", {"": {"a": "x"}}]]', b'[["a", "gauge", "", [1]]]'],
    )
    def test_something_else(self, data: bytes) -> None:
        """It is an error of one kind."""
        with pytest.raises(ValueError, match="no families"):
            parse(data, 1)


class TestTrim:
    def test_little_is_kept(self) -> None:
        """While there is room nothing is forgotten."""
        gone = total([hits(1, a=1, b=2)])
        trim(gone, 2, [])
        assert values(gone) == {'hits_total{path="a"}': 1, 'hits_total{path="b"}': 2}

    def test_oldest_make_room(self) -> None:
        """Those that nobody tells any more, so that no sum that is told goes down."""
        gone = total([hits(1, a=1, b=2, c=3), hits(2, d=4)])
        trim(gone, 2, [hits(3, a=1)])
        assert values(gone) == {'hits_total{path="a"}': 1, 'hits_total{path="d"}': 4}

    def test_all_are_told(self) -> None:
        """What living workers tell stays, however much that is."""
        gone = total([hits(1, a=1, b=2, c=3)])
        trim(gone, 1, [hits(2, a=1, b=1), hits(3, c=1)])
        assert len(values(gone)) == 3
