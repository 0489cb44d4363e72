"""The claims of twistcorn.master.deaths: what the log says of a worker that is gone, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import LogLevel

from twistcorn.master.deaths import NAMED, describe
from twistcorn.pool.worker import State, Worker

INFO, WARN, ERROR = LogLevel.info, LogLevel.warn, LogLevel.error

#: situation: (what the record says, the exit, requests that ran) -> level and text
CASES: list[tuple[str, dict[str, Any], str, list[str], Any, str]] = [
    (
        "it served and crashed",
        {"state": State.READY, "was_ready": True}, "SIGSEGV", [],
        ERROR, "worker 7 (pid 4711) died after 12.3 s: SIGSEGV; no request was running",
    ),
    (
        "it crashed in a request",
        {"state": State.READY, "was_ready": True}, "SIGSEGV", ["GET /a"],
        ERROR, "worker 7 (pid 4711) died after 12.3 s: SIGSEGV; running: GET /a",
    ),
    (
        "the app ended the process",
        {"state": State.READY, "was_ready": True}, "exit code 0", ["POST /b", "GET /a"],
        ERROR, "worker 7 (pid 4711) died after 12.3 s: exit code 0; running: POST /b, GET /a",
    ),
    (
        "it was retired and left",
        {"state": State.DRAINING, "was_ready": True}, "exit code 0", [],
        INFO, "worker 7 (pid 4711) is gone",
    ),
    (
        "it was told to leave at once and was killed then",
        {"state": State.STOPPING, "was_ready": True}, "SIGKILL", [],
        INFO, "worker 7 (pid 4711) is gone",
    ),
    (
        "it was retired and crashed",
        {"state": State.DRAINING, "was_ready": True}, "SIGSEGV", [],
        WARN, "worker 7 (pid 4711) ended while draining: SIGSEGV; no request was running",
    ),
    (
        "it was retired and left a request behind",
        {"state": State.DRAINING, "was_ready": True}, "exit code 0", ["GET /a"],
        WARN, "worker 7 (pid 4711) ended while draining: exit code 0; running: GET /a",
    ),
    (
        "it died while it booted",
        {"state": State.STARTING}, "exit code 1", [],
        ERROR, "worker 7 (pid 4711) died before it was ready: exit code 1",
    ),
    (
        "it could not boot",
        {"state": State.STARTING, "boot_error": "no module named shop"}, "exit code 0", [],
        ERROR, "worker 7 (pid 4711) could not boot: no module named shop",
    ),
    (
        "it was killed for its time",
        {"state": State.STOPPING, "was_ready": True, "killed": "draining for more than 30 s"}, "SIGKILL", ["GET /a"],
        ERROR, "worker 7 (pid 4711) was killed: draining for more than 30 s; running: GET /a",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("situation", "record", "status", "running", "level", "text"), CASES, ids=[case[0] for case in CASES]
)
def test_worker_is_gone(
    situation: str, record: dict[str, Any], status: str, running: list[str], level: Any, text: str
) -> None:
    """What was expected is info; what was not names pid, cause and what was running."""
    worker = Worker(7, 0, 1, None, pid=4711, **record)

    assert describe(worker, status, running, 12.345) == (level, text)


def test_many_requests_were_running() -> None:
    """Some are named and the rest is counted: the log keeps its lines."""
    worker = Worker(7, 0, 1, None, pid=4711, state=State.READY, was_ready=True)
    running = [f"GET /{number}" for number in range(NAMED + 3)]

    text = describe(worker, "SIGKILL", running, 1.0)[1]

    assert text.endswith(f"GET /{NAMED - 1} and 3 more")
