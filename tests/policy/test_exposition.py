"""The claims of twistcorn.policy.exposition: what is written is what prometheus_client reads, in both formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from twistcorn.policy.exposition import (
    OPENMETRICS_TYPE,
    PROMETHEUS_TYPE,
    Family,
    MetricSample,
    counter,
    gauge,
    histogram,
    negotiate,
    openmetrics,
    prometheus,
)

Write = Callable[[Iterable[Family]], str]
Read = Callable[[str], Iterable[object]]

BOTH = pytest.mark.parametrize(("write", "read"), [(prometheus, read_prometheus), (openmetrics, read_openmetrics)])

#: What a label may hold: anything, line breaks and quotes among it.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
NUMBERS = st.integers(0, 1 << 60) | st.floats(0, allow_nan=False)


def samples(read: Read, text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples that a reader finds, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples  # type: ignore[attr-defined]
    }


@BOTH
@given(TEXTS, TEXTS, NUMBERS)
def test_counter(write: Write, read: Read, label: str, help: str, value: float) -> None:
    """Its samples end in _total; labels and values come through as they are."""
    text = write([counter("a_total", help, {(("path", label),): value})])
    assert samples(read, text) == {("a_total", (("path", label),)): value}


@BOTH
def test_gauge(write: Write, read: Read) -> None:
    """Also what is below nothing, or no number."""
    text = write([gauge("a", "b", {(): -1.5}), gauge("c", "d", {(): math.inf}), gauge("e", "f", {(): math.nan})])
    found = samples(read, text)
    assert (found["a", ()], found["c", ()]) == (-1.5, math.inf)
    assert math.isnan(found["e", ()])


@BOTH
def test_histogram(write: Write, read: Read) -> None:
    """Buckets are added up, the last one has no bound, and the count is that of the last."""
    text = write([histogram("a_seconds", "b", (0.5, 1.0), [1, 2, 4], 9.5)])
    assert samples(read, text) == {
        ("a_seconds_bucket", (("le", "0.5"),)): 1,
        ("a_seconds_bucket", (("le", "1.0"),)): 3,
        ("a_seconds_bucket", (("le", "+Inf"),)): 7,
        ("a_seconds_count", ()): 7,
        ("a_seconds_sum", ()): 9.5,
    }


@BOTH
@pytest.mark.parametrize(
    ("kind", "suffix"), [("info", "_info"), ("unknown", ""), ("summary", "_sum"), ("gaugehistogram", "_gsum")]
)
def test_other_kinds(write: Write, read: Read, kind: str, suffix: str) -> None:
    """What an application may have: where the older format has no such kind it takes the next one."""
    gauge = [MetricSample("_bucket", (("le", "+Inf"),), 1), MetricSample("_gcount", (), 1)]
    extra = gauge if kind == "gaugehistogram" else []
    text = write([Family("a", kind, "b", [*extra, MetricSample(suffix, (), 1)])])
    assert samples(read, text)[f"a{suffix}", ()] == 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PROMETHEUS_TYPE),
        ("*/*", PROMETHEUS_TYPE),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", PROMETHEUS_TYPE),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", OPENMETRICS_TYPE),
        ("text/html, Application/OpenMetrics-Text; q=0.7", OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0", PROMETHEUS_TYPE),
        (";;,,=", PROMETHEUS_TYPE),
    ],
)
def test_negotiation(accept: str, content_type: str) -> None:
    """OpenMetrics is for who asks for it."""
    assert negotiate(accept)[0] == content_type
