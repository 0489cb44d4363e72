"""What is read from wrk's output, and what it is told."""

from __future__ import annotations

import pytest

from bench.command import BenchError
from bench.loads import Errors, Generator
from bench.workloads import CASES, Persistence, Workload
from bench.wrk import command_of, find_wrk, parse, script

CLEAN = """\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.93ms    1.63ms  24.77ms   81.08%
    Req/Sec     7.97k   528.11     8.73k    65.00%
  15862 requests in 2.00s, 2.39MB read
Requests/sec:   7922.23
Transfer/sec:      1.19MB
times 3930.5 3800.0 9100.0 20000.0 24770.0
"""
ERRORS = "  Socket errors: connect 1, read 46335, write 2, timeout 24\n  Non-2xx or 3xx responses: 7\n"
FAULTY = CLEAN.replace("Requests/sec", ERRORS + "Requests/sec")
GENERATOR = Generator("wrk", "wrk 4", connections=32, cpu=1)
BY_NAME = {case.name: case for case in CASES}


def test_clean_run() -> None:
    """Count, rate and times are read; no errors are no errors."""
    load = parse(CLEAN)
    assert (load.requests, load.per_second, load.errors) == (15862, 7922.23, Errors())
    assert load.mean_latency == pytest.approx(0.0039305)
    assert load.fast is not None
    assert (load.fast.p50, load.fast.p99, load.fast.worst) == pytest.approx((0.0038, 0.0091, 0.02477))


def test_run_with_errors() -> None:
    """Every kind of error wrk counts is kept."""
    assert parse(FAULTY).errors == Errors(connect=1, read=46335, write=2, timeout=24, bad_status=7)


def test_output_of_something_else() -> None:
    """Output that is not wrk's is refused, not read as zero."""
    with pytest.raises(BenchError, match="not understood"):
        parse("unable to connect")


def test_command_line_asks_for_close() -> None:
    """One thread, and the workload's headers before the address."""
    workload = Workload(BY_NAME["hello"], Persistence.CLOSE)
    command = command_of(GENERATOR, workload, 8000, 4, "file.lua", "/", 32)
    options = ["wrk", "-t1", "-c32", "-d4s", "-s", "file.lua", "-H", "Connection: close"]
    assert command == [*options, "http://127.0.0.1:8000/"]


def test_script_posts_only_where_there_is_a_body() -> None:
    """A body makes the request a POST; without one, wrk's own request is left as it is."""
    post, get = (script(Workload(BY_NAME[name], Persistence.KEEP_ALIVE)) for name in ("json", "hello"))
    assert post.startswith('wrk.method = "POST"\nwrk.body = "{\\"name\\": \\"bench\\"')
    assert "wrk." not in get
    assert get in post


def test_missing_wrk_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no wrk is told in one line how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchError, match=r"apt-get install wrk$"):
        find_wrk(connections=32, cpu=None)
