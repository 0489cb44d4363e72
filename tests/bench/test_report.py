"""Medians, spreads, ratios, notes and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.loads import Errors
from bench.pace import Percentiles
from bench.records import Failure, Outcome, Sample
from bench.report import (
    Row,
    Spread,
    cells,
    error_note,
    noise,
    ratio,
    spread,
    summarise,
    table,
    workload_table,
)
from bench.workloads import Case, Persistence, Workload

CASE = Case("any", "hello", b"")
KEEP = Workload(CASE, Persistence.KEEP_ALIVE)
CLOSE = Workload(CASE, Persistence.CLOSE)
SAMPLE = Sample(
    server="twistcorn",
    workload="any-keepalive",
    round=1,
    requests=20_000,
    per_second=10_000.0,
    mean_latency=0.0032,
    errors=Errors(),
    wall_seconds=2.0,
    server_cpu_seconds=1.0,
    load_cpu_seconds=0.5,
    stays_open=True,
)


def row_of(*samples: Sample, workload: Workload = KEEP) -> Row:
    """The only row of these samples of one server."""
    return summarise(samples, workload, [samples[0].server], connections=32)[0]


def test_one_run_tells_its_cost() -> None:
    """CPU time is divided by the requests, busy is CPU over wall time."""
    assert SAMPLE.cpu_micros == 50.0
    assert (SAMPLE.server_busy, SAMPLE.load_busy) == (0.5, 0.25)
    assert SAMPLE.in_flight == pytest.approx(32)


def test_run_without_requests_has_no_cost() -> None:
    """Nothing is divided by nothing."""
    silent = replace(SAMPLE, requests=0, per_second=0.0)
    assert silent.cpu_micros is None
    assert row_of(silent).cpu is None


def test_spread_of_nothing_one_and_many() -> None:
    """The median is quoted, with the least and the greatest."""
    assert spread([]) is None
    assert spread([5.0]) == Spread(5.0, 5.0, 5.0, 1)
    assert spread([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0, 3)
    assert Spread(2.0, 1.0, 9.0, 3).relative == 4.0
    assert Spread(0.0, 0.0, 0.0, 2).relative == 0.0


def test_ratio_needs_both() -> None:
    """It is ours over theirs; without one of them, or with nothing of theirs, there is none."""
    two, four, zero = (Spread(value, value, value, 1) for value in (2.0, 4.0, 0.0))
    assert ratio(four, two) == 0.5
    assert [ratio(None, four), ratio(two, None), ratio(zero, two)] == [None] * 3


def test_rows_keep_the_order_and_compare_with_twistcorn() -> None:
    """Each server has its row, in the order asked for, and the baseline's medians over its own."""
    other = replace(SAMPLE, server="other", per_second=2_500.0, requests=5_000)
    outcomes: list[Outcome] = [other, SAMPLE, replace(other, round=2), replace(other, workload="elsewhere")]
    rows = summarise(outcomes, KEEP, ["other", "twistcorn"], connections=32)
    assert [(row.server, row.rate_ratio, row.cpu_ratio) for row in rows] == [
        ("other", 4.0, 0.25),
        ("twistcorn", 1.0, 1.0),
    ]
    assert rows[0].rate == Spread(2_500.0, 2_500.0, 2_500.0, 2)


def test_errors_of_all_rounds_are_shown() -> None:
    """wrk's errors are added up over the rounds and never hidden."""
    samples = [replace(SAMPLE, errors=Errors(read=3)), replace(SAMPLE, errors=Errors(read=1, bad_status=2))]
    assert row_of(*samples).notes == ("ERRORS: 4 read, 2 bad status",)
    assert error_note(Errors()) is None


@pytest.mark.parametrize(
    ("workload", "change", "note"),
    [
        (KEEP, {}, None),
        (KEEP, {"stays_open": False}, "closes after each response"),
        (KEEP, {"mean_latency": 0.0008}, "serves about 8 of 32 connections, the others wait"),
        (CLOSE, {"workload": "any-close"}, "ignores Connection: close"),
        (CLOSE, {"workload": "any-close", "stays_open": False}, None),
        (KEEP, {"load_cpu_seconds": 1.98}, "the load generator was the limit (99% busy)"),
        (KEEP, {"killed": True}, "had to be killed after 1 of 1 runs"),
    ],
)
def test_notes(workload: Workload, change: dict[str, object], note: str | None) -> None:
    """Whatever makes a figure mean something else stands beside it."""
    row = row_of(replace(SAMPLE, **change), workload=workload)  # type: ignore[arg-type]
    assert row.notes == (() if note is None else (note,))


def test_failures_stand_in_the_table() -> None:
    """A server that did not run has a row with the reason; one failed round does not hide the others."""
    outcomes: list[Outcome] = [
        Failure("absent", "any-keepalive", 0, "not installed"),
        SAMPLE,
        Failure("twistcorn", "any-keepalive", 2, "exited"),
    ]
    absent, present = summarise(outcomes, KEEP, ["absent", "twistcorn"], connections=32)
    assert absent.notes == ("NOT RUN: not installed",)
    assert cells(absent, "8")[2:-1] == ("-",) * 8
    assert present.notes == ("FAILED round 2: exited",)
    assert cells(present, "8")[2] == "10000"


def test_fast_requests_are_told_apart() -> None:
    """Where a part of the load is slow, the times of the rest have columns and a ratio of their own."""
    times = Percentiles(1000, 0.002, 0.001, 0.004, 0.005, 0.006)
    mixed = replace(SAMPLE, fast=times)
    other = replace(mixed, server="other", fast=replace(times, p99=0.016))
    rows = summarise([mixed, other], KEEP, ["twistcorn", "other"], connections=32)
    assert [row.fast_p99_ratio for row in rows] == [1.0, 0.25]
    text = workload_table(rows, {"twistcorn": "8", "other": "8"})
    assert "fast p99 ms" in text
    assert "16.00-16.00" in text
    assert "fast" not in workload_table([row_of(SAMPLE)], {"twistcorn": "8"})


def test_variant_is_compared_with_where_it_is_alone() -> None:
    """Without twistcorn itself, its variant is what the others are compared with."""
    pool = replace(SAMPLE, server="twistcorn-pool")
    other = replace(SAMPLE, server="other", per_second=5_000.0)
    rows = summarise([other, pool], KEEP, ["other", "twistcorn-pool"], connections=32)
    assert [row.rate_ratio for row in rows] == [2.0, 1.0]


def test_table_is_aligned() -> None:
    """Names to the left, figures to the right, notes as long as they are."""
    assert table(("server", "req/s", "notes"), [("a", "1", ""), ("longer", "123456", "a long note")]) == (
        "server   req/s  notes\n------  ------  -----\na            1\nlonger  123456  a long note"
    )


def test_noise_names_the_worst_row() -> None:
    """The spread is told for both figures, with the row where it is widest."""
    calm = row_of(replace(SAMPLE, server="calm"), replace(SAMPLE, server="calm", per_second=10_100.0))
    wild = row_of(SAMPLE, replace(SAMPLE, per_second=30_000.0))
    first, second = noise([calm, wild]).split("\n")
    assert first.startswith("noise of req/s:")
    assert first.endswith("100% at worst (twistcorn, any-keepalive)")
    assert second.startswith("noise of CPU us/req:")


def test_noise_of_one_round_is_unknown() -> None:
    """One value has no spread, and zero is not claimed."""
    assert noise([row_of(SAMPLE)]).startswith("noise: unknown")
