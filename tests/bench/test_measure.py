"""What is read from wrk's output."""

from __future__ import annotations

import pytest

from bench.command import BenchError
from bench.measure import Errors, Generator, find_wrk, parse_wrk, wrk_command

CLEAN = """\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.93ms    1.63ms  24.77ms   81.08%
    Req/Sec     7.97k   528.11     8.73k    65.00%
  15862 requests in 2.00s, 2.39MB read
Requests/sec:   7922.23
Transfer/sec:      1.19MB
"""
ERRORS = "  Socket errors: connect 1, read 46335, write 2, timeout 24\n  Non-2xx or 3xx responses: 7\n"
FAULTY = CLEAN.replace("Requests/sec", ERRORS + "Requests/sec")
GENERATOR = Generator("wrk", "wrk 4", connections=32, cpu=1)


def test_clean_run() -> None:
    """Count, rate and mean latency are read; no errors are no errors."""
    load = parse_wrk(CLEAN)
    assert (load.requests, load.per_second, load.errors) == (15862, 7922.23, Errors())
    assert load.mean_latency == pytest.approx(0.00393)


def test_run_with_errors() -> None:
    """Every kind of error wrk counts is kept."""
    assert parse_wrk(FAULTY).errors == Errors(connect=1, read=46335, write=2, timeout=24, bad_status=7)


@pytest.mark.parametrize(
    ("text", "seconds"), [("752.13us", 0.00075213), ("1.20s", 1.2), ("1.50m", 90.0), ("0.00us", 0.0)]
)
def test_latency_units(text: str, seconds: float) -> None:
    """wrk changes the unit with the size."""
    assert parse_wrk(CLEAN.replace("3.93ms", text)).mean_latency == pytest.approx(seconds)


def test_output_of_something_else() -> None:
    """Output that is not wrk's is refused, not read as zero."""
    with pytest.raises(BenchError, match="not understood"):
        parse_wrk("unable to connect")


def test_command_line_asks_for_close() -> None:
    """One thread, and the workload's headers before the address."""
    command = wrk_command(GENERATOR, "http://h/", {"Connection": "close"}, 4)
    assert command == ["wrk", "-t1", "-c32", "-d4s", "-H", "Connection: close", "http://h/"]


def test_missing_wrk_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no wrk is told in one line how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchError, match=r"apt-get install wrk$"):
        find_wrk(connections=32, cpu=None)
