"""The claims of twistcorn.master.workers.death_report: what the log says of a worker that is gone, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import LogLevel

from twistcorn.master.workers.death_report import MAX_NAMED_REQUESTS, Death, Running, describe
from twistcorn.policy.blame import Cause
from twistcorn.policy.worker import Worker, WorkerState

INFO, WARN, ERROR = LogLevel.info, LogLevel.warn, LogLevel.error

READY: dict[str, Any] = {"state": WorkerState.READY, "was_ready": True}
DRAINING: dict[str, Any] = {"state": WorkerState.DRAINING, "was_ready": True}
STOPPING: dict[str, Any] = {"state": WorkerState.STOPPING, "was_ready": True}
A, B = Running(1, "GET /a", 1.25), Running(2, "POST /b", 0.0)
HEAD, CURRENT = "Fatal Python error: Segmentation fault", "Current thread 0x7f (most recent call first):\n  File a.py"
OTHER = "Thread 0x80 (most recent call first):\n  File b.py"
STACK = f"{HEAD}\n\n{CURRENT}\n"

#: situation: what the record says, the death -> level and text
CASES: list[tuple[str, dict[str, Any], Death, Any, str]] = [
    (
        "it served and crashed",
        READY, Death("SIGSEGV", Cause.FAULT),
        ERROR, "died after 12.3 s: SIGSEGV; no request running",
    ),
    (
        "it crashed in a request",
        READY, Death("SIGSEGV", Cause.FAULT, running=[A, B._replace(blamed=True)], rss=45 << 20, last_words=STACK),
        ERROR,
        "died after 12.3 s: SIGSEGV, 45 MiB resident; running: POST /b for 0.0 s (blamed), GET /a for 1.2 s"
        f"\n{HEAD}\n{CURRENT}",
    ),
    (
        "the app ended the process",
        READY, Death("exit code 0", Cause.EXIT, running=[B, A]),
        ERROR, "died after 12.3 s: exit code 0; running: POST /b for 0.0 s, GET /a for 1.2 s",
    ),
    (
        "its cgroup was out of memory",
        READY, Death("SIGKILL", Cause.MEMORY, running=[A], rss=512 << 20),
        ERROR, "died after 12.3 s: SIGKILL, out of memory, 512 MiB resident; running: GET /a for 1.2 s",
    ),
    (
        "it was retired and left",
        DRAINING, Death("exit code 0", Cause.ORDERED, rss=45 << 20),
        INFO, "exited",
    ),
    (
        "it was retired, left, and connections were on their way to it",
        DRAINING, Death("exit code 0", Cause.ORDERED, connections="2 lent again"),
        INFO, "exited; connections: 2 lent again",
    ),
    (
        "it crashed with connections",
        READY, Death("SIGSEGV", Cause.FAULT, running=[A], connections="1 run again, 1 lent again", last_words=STACK),
        ERROR, "died after 12.3 s: SIGSEGV; running: GET /a for 1.2 s; connections: 1 run again, 1 lent again\n"
        f"{HEAD}\n{CURRENT}",
    ),
    (
        "it froze: its stack was logged when the holder of the lock was found",
        {**STOPPING, "killed": "unresponsive for more than 5 s"},
        Death("SIGKILL", Cause.FROZEN, running=[A], last_words=STACK),
        ERROR, "was killed: unresponsive for more than 5 s; running: GET /a for 1.2 s",
    ),
    (
        "it was told to leave at once and was killed then",
        STOPPING, Death("SIGKILL", Cause.ORDERED),
        INFO, "exited",
    ),
    (
        "it was retired and crashed",
        DRAINING, Death("SIGSEGV", Cause.FAULT),
        WARN, "ended while draining: SIGSEGV; no request running",
    ),
    (
        "it was retired and left a request behind",
        DRAINING, Death("exit code 0", Cause.ORDERED, running=[A]),
        WARN, "ended while draining: exit code 0; running: GET /a for 1.2 s",
    ),
    (
        "it died while it booted",
        {"state": WorkerState.STARTING}, Death("SIGSEGV", Cause.FAULT, last_words=STACK),
        ERROR, f"died while booting: SIGSEGV\n{HEAD}\n{CURRENT}",
    ),
    (
        "it failed to boot",
        {"state": WorkerState.STARTING, "boot_error": "no module named shop"}, Death("exit code 0", Cause.EXIT),
        ERROR, "failed to boot: no module named shop",
    ),
    (
        "it was killed for its time",
        {**STOPPING, "killed": "draining for more than 30 s"}, Death("SIGKILL", Cause.ORDERED, running=[A]),
        ERROR, "was killed: draining for more than 30 s; running: GET /a for 1.2 s",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("situation", "record", "death", "level", "text"), CASES, ids=[case[0] for case in CASES]
)
def test_worker_is_gone(situation: str, record: dict[str, Any], death: Death, level: Any, text: str) -> None:
    """What was expected is info; what was not names pid, cause and what was running."""
    worker = Worker(7, 0, 1, None, pid=4711, **record)

    assert describe(worker, death._replace(age=12.345)) == (level, f"worker 7 (pid 4711) {text}")


def test_many_requests_were_running() -> None:
    """Some are named, the blamed one among them, and the rest is counted: the log keeps its lines."""
    worker = Worker(7, 0, 1, None, pid=4711, **READY)
    numbers = range(MAX_NAMED_REQUESTS + 3)
    running = [Running(number, f"GET /{number}", 1.0, number == numbers[-1]) for number in numbers]

    text = describe(worker, Death("SIGKILL", Cause.OUTSIDE, running=running))[1]

    assert f"running: GET /{MAX_NAMED_REQUESTS + 2} for 1.0 s (blamed), GET /0" in text
    assert text.endswith(f"GET /{MAX_NAMED_REQUESTS - 2} for 1.0 s and 3 more")


@pytest.mark.parametrize(("others", "said"), [(0, ""), (1, "\n(1 other thread)"), (30, "\n(30 other threads)")])
def test_many_threads_were_running(others: int, said: str) -> None:
    """Only the stack of the thread that died is shown, wherever it stands; the rest is counted."""
    stacks = [OTHER] * (others // 2) + [CURRENT] + [OTHER] * (others - others // 2)
    death = Death("SIGSEGV", Cause.FAULT, last_words="\n\n".join([HEAD, *stacks]) + "\n")

    text = describe(Worker(7, 0, 1, None, pid=4711, **READY), death)[1]

    assert text.endswith(f"no request running\n{HEAD}\n{CURRENT}{said}")


def test_thread_that_died_is_not_known() -> None:
    """Then all stacks are shown: one of them may tell."""
    death = Death("SIGABRT", Cause.FAULT, last_words=f"{HEAD}\n\n{OTHER}\n\n{OTHER}\n")

    text = describe(Worker(7, 0, 1, None, pid=4711, **READY), death)[1]

    assert text.endswith(f"{HEAD}\n{OTHER}\n{OTHER}")
