"""The claims of twistcorn.console.tables: what the server answered, for people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console.seen import doing, status, worker
from twistcorn.console import tables

RELOADED = {"at": 940.0, "took": 2.0, "generation": 2, "problem": "", "needs_restart": []}


class TestStatus:
    def test_serving(self) -> None:
        """What counts, one thing in a line."""
        assert tables.status(status()) == [
            "twistcorn 1.2, pid 77: serving shop:app, up 3m20s",
            "listening on  http://127.0.0.1:8000",
            "workers       3 of 3 ready; generation 1",
            "requests      200/s, errors 0.5/s, p99 34 ms (last 10 s)",
            "threads       6 of 24 busy, queue 1",
            "memory        180 MiB, master and workers",
            "connections   12 open, 4 parked, 1 waiting",
            "event loop    lag 1.0 ms, max 20 ms in the last minute",
            "reload        none yet",
        ]

    def test_no_requests(self) -> None:
        """There is no p99 of nothing."""
        recent = {"seconds": 1.0, "rate": 0.0, "errors": 0.0, "p50": None, "p95": None, "p99": None}
        assert tables.requests(status(requests=recent)) == "0/s, errors 0/s, p99 - (last 1 s)"

    def test_in_trouble(self) -> None:
        """Workers that are not ready, a pause, requests that kill: each is there."""
        counts = {"target": 3, "starting": 2, "ready": 1, "draining": 0, "stopping": 0, "waiting": 1, "gone": 0}
        shown = tables.status(
            status(workers=counts, recycling_paused=True, quarantine={"GET /\x1b[2J": 90.0}, busy=30, threads=8)
        )
        assert "workers       1 of 3 ready, 2 starting, 1 waiting; generation 1" in shown
        assert "threads       8 of 8 busy, queue 1" in shown
        assert "recycling     paused: new workers do not boot" in shown
        assert "quarantine    GET /?[2J, 1m30s left" in shown

    @pytest.mark.parametrize(
        ("running", "last", "text"),
        [
            (True, None, "in progress"),
            (False, {**RELOADED, "problem": ""}, "done 1m00s ago in 2.0 s"),
            (False, {**RELOADED, "problem": "no app\nsecond line"}, "cancelled 1m00s ago: no app"),
            (
                False, {**RELOADED, "needs_restart": ["listen", "backlog"]},
                "done 1m00s ago in 2.0 s; not applied, restart the server to change: --listen, --backlog",
            ),
        ],
    )
    def test_reload(self, running: bool, last: Any, text: str) -> None:
        """The one that runs, else the last."""
        assert tables.reload(status(reload={"running": running, "last": last})) == text


class TestWorkers:
    def test_table(self) -> None:
        """Aligned, with what each is doing."""
        shown = tables.workers([
            worker(1, doing("GET /slow", 2.5), doing()), worker(12, outdated="age", rss=0, requests=123456),
        ])  # fmt: skip
        assert shown == [
            "WORKER   PID  GEN  STATE           AGE  BUSY  CONN      RSS  REQUESTS  DOING",
            "     1  1001    1  ready         1m00s   2/8     2  1.0 MiB       100  GET /slow for 2.5 s and 1 more",
            "    12  1012    1  ready (age)  12m00s   0/8     2        -    123456  -",
        ]

    def test_none(self) -> None:
        """The head alone."""
        assert len(tables.workers([])) == 1


def test_connections() -> None:
    """Who, where, how much, and what for."""
    base = {"slot": 3, "peer": "10.0.0.1:4711", "listener": 0, "worker": 2, "age": 61.0, "received": 100, "sent": 5000}
    shown = tables.connections([
        {**base, "state": "in_app", "request": "GET /x", "request_age": 1.5},
        {**base, "peer": "", "worker": None, "state": "waiting", "request": "", "request_age": 0.0},
    ])  # fmt: skip
    assert shown == [
        "SLOT  PEER           WORKER    AGE  STATE    RECEIVED     SENT  REQUEST",
        "   3  10.0.0.1:4711       2  1m01s  in_app      100 B  4.9 KiB  GET /x for 1.5 s",
        "   3  unix                -  1m01s  waiting     100 B  4.9 KiB",
    ]


def test_settings() -> None:
    """Values as options take them."""
    shown = tables.settings([
        {"name": "threads", "value": 8, "origin": "default", "change": "live"},
        {"name": "listen", "value": ["tcp:1", "tcp:2"], "origin": "command line", "change": "restart"},
        {"name": "slow", "value": 1.5, "origin": "set", "change": "live"},
        {"name": "workers", "value": "2:8", "origin": "file", "change": "live", "now": "5"},
    ])  # fmt: skip
    assert [line.split(maxsplit=2)[:2] for line in shown] == [
        ["NAME", "VALUE"], ["threads", "8"], ["listen", "tcp:1,tcp:2"], ["slow", "1.5"], ["workers", "2:8"],
    ]  # fmt: skip
    assert "2:8 (now 5)" in shown[-1]


def test_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time and level, then the text; its further lines are indented, and nothing in it reaches the terminal."""
    monkeypatch.setattr(tables, "localtime", lambda seconds: (2026, 1, 2, 3, 4, 5, 0, 0, 0))
    entries = [
        {"time": 1.0, "level": "info", "text": "hello"}, {"time": 1.0, "level": "critical", "text": "a\x1b[2J\nb\nc"},
        {"time": 1.0, "level": "warn", "text": "\n"},
    ]  # fmt: skip
    assert list(tables.log(entries)) == [
        "2026-01-02 03:04:05 info     hello",
        "2026-01-02 03:04:05 critical a?[2J",
        "    b",
        "    c",
        "2026-01-02 03:04:05 warn     ",
    ]


@pytest.mark.parametrize(("stack", "end"), [("thread a:\n  here", ["thread a:", "  here"]), (None, [])])
def test_stack(stack: str | None, end: list[str]) -> None:
    """What runs, then where the threads are, if the worker said so."""
    seen = {"worker": 2, "pid": 7, "stack": stack, "doing": [doing("GET /x", 3.0)]}
    assert tables.stack(seen) == ["worker 2 (pid 7)", "running: GET /x for 3.0 s", "", *end]
