"""The claims of twistcorn.policy.freeze: who holds a worker's lock, and when that has lasted too long."""

from __future__ import annotations

import pytest

from twistcorn.policy.freeze import (
    FreezeLimits,
    Look,
    Task,
    computing,
    is_kept_waiting,
    is_stopped,
    parse_task,
    verdict,
)
from twistcorn.policy.redo import SAFE, Log

HEART, REQUEST = 5.0, 30.0
LIMITS = FreezeLimits(HEART, REQUEST)
PLAIN, OVER = "unresponsive for more than 5 s", "with a request over its --request-timeout"


def test_name_of_a_thread_may_hold_anything() -> None:
    """State and ticks stand behind the last parenthesis."""
    stat = "12 (a) R 9) S 1 1 1 0 -1 4194304 100 0 0 0 70 30 0 0 20 0 9 0 5 6 7"
    assert parse_task(stat) == Task("S", 100)


def counted(**ticks: int) -> dict[int, Task]:
    return {int(name[1:]): Task("S", spent) for name, spent in ticks.items()}


#: situation: ticks of each thread at first, and later -> which one computes
THREADS = [
    ("one computes", counted(t1=5, t2=9), counted(t1=5, t2=109), 2),
    ("one computes, others wait for the lock", counted(t1=0, t2=0, t3=0), counted(t1=2, t2=90, t3=3), 2),
    ("two compute", counted(t1=0, t2=0), counted(t1=50, t2=50), None),
    ("none does", counted(t1=0, t2=0), counted(t1=0, t2=0), None),
    ("next to nothing", counted(t1=0), counted(t1=1), None),
    ("one has come meanwhile", counted(t1=0), counted(t1=50, t2=90), 1),
    ("all are gone", counted(t1=0), {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "before", "after", "thread"), THREADS, ids=[each[0] for each in THREADS])
def test_who_computes(situation: str, before: dict[int, Task], after: dict[int, Task], thread: int | None) -> None:
    """The thread that had nearly all of the processor time, where there is one."""
    assert computing(before, after) == thread


def test_stopped_from_outside() -> None:
    """All threads are stopped, or traced; without any nothing is known."""
    assert is_stopped({1: Task("T", 0), 2: Task("t", 0)})
    assert not is_stopped({1: Task("T", 0), 2: Task("R", 0)})
    assert not is_stopped({})


#: situation: the slot, unread bytes, its thread, the thread that holds the lock -> whether it is kept waiting
WAITING = [
    ("idle", Log("IDLE"), 0, 0, 7, False),
    ("idle, a request lies unread", Log("IDLE", method="POST"), 9, 0, 7, True),
    ("the same, and nobody knows who holds the lock", Log("IDLE"), 9, 0, None, True),
    ("a head in part", Log("READING"), 9, 0, 7, True),
    ("a body in part", Log("READING", consumed=True), 9, 0, 7, False),
    ("the one that holds the lock", Log("IN_APP", method="GET"), 9, 7, 7, False),
    ("another one, which may run again", Log("IN_APP", method="GET"), 9, 8, 7, True),
    ("another one, which may be the one", Log("IN_APP", method="GET"), 9, 8, None, False),
    ("another one, which must not run again", Log("IN_APP", method="POST"), 9, 8, 7, False),
    ("its answer is made, and not sent", Log("IN_APP", method="GET"), 9, 0, 7, True),
    ("its answer has begun", Log("RESPONDING", method="GET"), 9, 8, 7, False),
]


@pytest.mark.parametrize(
    ("situation", "log", "unread", "thread", "holder", "waits"), WAITING, ids=[each[0] for each in WAITING]
)
def test_who_is_kept_waiting(
    situation: str, log: Log, unread: int, thread: int, holder: int | None, waits: bool
) -> None:
    """Those to whom the kill would be of use."""
    assert is_kept_waiting(log, unread, thread, holder, SAFE) is waits


#: situation: what a look found -> why it is killed, and the status for who is to blame
LOOKS = [
    ("it may still beat", Look(HEART), ("", 502)),
    ("nothing runs in it", Look(5.1), (PLAIN, 502)),
    ("somebody has stopped it", Look(5.1, stopped=True, age=5.0), (PLAIN, 502)),
    ("a request runs", Look(29.0, age=29.0), ("", 502)),
    ("its time is over", Look(30.1, age=30.1), (f"{PLAIN}, {OVER}", 504)),
    ("its time is over, and its heart has just stopped", Look(4.0, age=40.0), ("", 502)),
    ("somebody waits", Look(6.0, age=6.0, waits=5.0), ("", 502)),
    ("somebody has waited", Look(6.0, age=6.0, waits=5.1), (f"{PLAIN}, while other requests waited for it", 502)),
    ("there are many of them", Look(6.0, age=6.0, crowded=True), (f"{PLAIN}, as too many other workers were", 502)),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "look", "expected"), LOOKS, ids=[each[0] for each in LOOKS])
def test_when_it_has_lasted_too_long(situation: str, look: Look, expected: tuple[str, int]) -> None:
    """A request has its own time while nobody waits, and the heartbeat's otherwise."""
    assert verdict(look, LIMITS) == expected


def test_no_limits() -> None:
    """Without a limit for requests only who waits counts; without one for hearts nothing does."""
    assert verdict(Look(9e9, age=9e9), FreezeLimits(HEART, 0)) == ("", 502)
    assert verdict(Look(9e9, age=9e9, waits=6.0), FreezeLimits(HEART, 0))[0] != ""
    assert verdict(Look(9e9), FreezeLimits(0, REQUEST)) == ("", 502)
