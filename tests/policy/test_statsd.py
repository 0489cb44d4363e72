"""The claims of twistcorn.policy.statsd: gunicorn's names, and as many as there were."""

from __future__ import annotations

import pytest

from twistcorn.policy.histogram import BOUNDS, BUCKETS
from twistcorn.policy.statsd import DATAGRAM_BYTES, datagrams, gauges, middle, requests

NONE = [0] * BUCKETS


def test_nothing_happened() -> None:
    """That is told as well."""
    assert requests({"200": 5}, {"200": 5}, (NONE, NONE)) == ["gunicorn.requests:0|c"]


def test_what_happened_since() -> None:
    """Requests and statuses are told as differences."""
    lines = requests({"200": 5}, {"200": 8, "404": 1, "5xx": 0}, (NONE, NONE))
    assert lines == [
        "gunicorn.requests:4|c", "gunicorn.request.status.200:3|c", "gunicorn.request.status.404:1|c",
    ]  # fmt: skip


def test_times() -> None:
    """The middle of each bucket in milliseconds, with a rate that stands for the number."""
    later = [0, 1, 4] + [0] * (BUCKETS - 3)
    lines = requests({}, {}, ([0, 0, 2] + [0] * (BUCKETS - 3), later))
    assert lines[1:] == ["gunicorn.request.duration:0.096|ms", "gunicorn.request.duration:0.192|ms|@0.5"]


@pytest.mark.parametrize("bucket", range(1, BUCKETS - 1))
def test_middle(bucket: int) -> None:
    """It lies within the bucket."""
    assert BOUNDS[bucket - 1] < middle(bucket) < BOUNDS[bucket]


def test_the_last_bucket() -> None:
    """It has no end, so it is told as its beginning."""
    assert middle(BUCKETS - 1) == BOUNDS[-1]


def test_gauges() -> None:
    """What is so now."""
    assert gauges(4, 2) == ["gunicorn.workers:4|g", "gunicorn.backlog:2|g"]


def test_datagrams() -> None:
    """Whole lines, as many as fit."""
    lines = [f"gunicorn.request.status.{number}:1|c" for number in range(100, 200)]
    packed = datagrams(lines)
    assert b"\n".join(packed).decode().split("\n") == lines
    assert max(map(len, packed)) <= DATAGRAM_BYTES
    assert len(packed) == 3
