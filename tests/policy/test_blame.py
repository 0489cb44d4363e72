"""The claims of twistcorn.policy.blame: what a worker died of, and whose request it was, case by case."""

from __future__ import annotations

import signal

import pytest

from twistcorn.policy.blame import FAULTS, NOBODY, Cause, blame, cause, current_thread

FAULT, EXIT, MEMORY, OUTSIDE, ORDERED = Cause.FAULT, Cause.EXIT, Cause.MEMORY, Cause.OUTSIDE, Cause.ORDERED
KILL, TERM, SEGV, ABRT = signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT

#: situation: exit code, signal, told to leave, killed by the master, out of memory -> cause
CAUSES = [
    ("it crashed", (None, SEGV, False, False, False), FAULT),
    ("it aborted itself", (None, ABRT, False, False, False), FAULT),
    ("it crashed while it drained", (None, SEGV, True, False, False), FAULT),
    ("it crashed before the master's SIGKILL came", (None, SEGV, True, True, False), FAULT),
    ("the app ended the process", (0, None, False, False, False), EXIT),
    ("the app ended the process with a code", (3, None, False, False, False), EXIT),
    ("it found itself broken by a request that runs", (70, None, False, False, False), EXIT),
    ("it found itself broken by one that may be over", (71, None, False, False, False), Cause.BROKEN),
    ("it found itself broken while it drained", (71, None, True, False, False), Cause.BROKEN),
    ("it was told to leave and ended with an error", (1, None, True, False, False), EXIT),
    ("it was told to leave and left", (0, None, True, False, False), ORDERED),
    ("it was told to leave and somebody killed it", (None, KILL, True, False, False), ORDERED),
    ("the master killed it", (None, KILL, False, True, False), ORDERED),
    ("it left just before the master's SIGKILL came", (1, None, False, True, False), ORDERED),
    ("the kernel killed it for memory", (None, KILL, False, False, True), MEMORY),
    ("the kernel killed it for memory while it drained", (None, KILL, True, False, True), MEMORY),
    ("somebody killed it", (None, KILL, False, False, False), OUTSIDE),
    ("somebody ended it", (None, TERM, False, False, False), OUTSIDE),
    ("another process was killed for memory meanwhile", (None, TERM, False, False, True), OUTSIDE),
]


#: situation: its exit, as above -> cause, where its heart stood still
FROZEN = [
    ("the master killed it", (None, KILL, False, True, False), Cause.FROZEN),
    ("the master killed it while it drained", (None, KILL, True, True, False), Cause.FROZEN),
    ("somebody else killed it before", (None, KILL, False, False, False), OUTSIDE),
    ("it crashed before the master's SIGKILL came", (None, SEGV, False, True, False), FAULT),
    ("the kernel killed it for memory", (None, KILL, False, True, True), MEMORY),
]


@pytest.mark.parametrize(("situation", "facts", "expected"), FROZEN, ids=[case[0] for case in FROZEN])
def test_cause_of_a_freeze(
    situation: str, facts: tuple[int | None, int | None, bool, bool, bool], expected: Cause
) -> None:
    """A heart that stood still explains the master's kill, and no other end."""
    assert cause(*facts, frozen=True) is expected


@pytest.mark.parametrize(("situation", "facts", "expected"), CAUSES, ids=[case[0] for case in CAUSES])
def test_cause(situation: str, facts: tuple[int | None, int | None, bool, bool, bool], expected: Cause) -> None:
    """What it died of follows from how it ended, and from what the master wanted of it."""
    assert cause(*facts) is expected


def test_signals_that_are_faults() -> None:
    """Those that a process brings upon itself; none that people send to end one."""
    names = {signal.Signals(number).name for number in FAULTS}

    assert names == {"SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS"}


@pytest.mark.parametrize("each", Cause)
def test_causes_for_which_a_request_may_be_blamed(each: Cause) -> None:
    """A signal from outside and an order of the master blame nobody."""
    assert each.is_fault == (each not in (OUTSIDE, ORDERED, Cause.BROKEN))


def test_nothing_is_known() -> None:
    """Nobody is blamed, but what was read may have been the cause."""
    assert (NOBODY.slots, NOBODY.fault, NOBODY.status) == (frozenset(), True, 502)


#: What faulthandler writes (CPython 3.8 to 3.14).
TRACEBACK = """Fatal Python error: Segmentation fault

Thread 0x00007f3d0a7fc6c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait

Current thread 0x00007f3d0affd6c0 (most recent call first):
  File "app.py", line 5 in crash

Extension modules: _cffi_backend (total: 1)
"""

#: situation: what was written -> the thread
TRACEBACKS = [
    ("a fault in one of several threads", TRACEBACK, 0x7F3D0AFFD6C0),
    ("newer interpreters tell its name", "Current thread 0x7f [app-3] (most recent call first):\n", 0x7F),
    ("a fault outside of Python", "Fatal Python error: Bus error\n\nThread 0x7f (most recent call first):\n", None),
    ("the app only writes of a thread", "we said: Current thread 0x7f\n", None),
    ("nothing was written", "", None),
    ("what was written was cut", "Fatal Python error: Segmenta", None),
]


@pytest.mark.parametrize(("situation", "text", "thread"), TRACEBACKS, ids=[case[0] for case in TRACEBACKS])
def test_current_thread(situation: str, text: str, thread: int | None) -> None:
    """The thread that died, where faulthandler says which."""
    assert current_thread(text) == thread


#: situation: by a fault, the thread that died, the thread of each slot, suspects -> the slots to blame
BLAMES = [
    ("it ran on the thread that died", (True, 22, {1: 11, 2: 22}, []), {2}),
    ("the thread that died ran no request", (True, 33, {1: 11, 2: 22}, []), set()),
    ("the thread that died ran none, and one request ran elsewhere", (True, 33, {1: 11}, [1]), set()),
    ("it was the only one", (True, None, {1: 11}, []), {1}),
    ("it was one of several", (True, None, {1: 11, 2: 22}, []), set()),
    ("it was there at every death of late", (True, None, {1: 11, 2: 22}, [2]), {2}),
    ("two were there at every death of late", (True, None, {1: 11, 2: 22, 3: 33}, [2, 3]), set()),
    ("the thread is known, whoever is suspected", (True, 11, {1: 11, 2: 22}, [2]), {1}),
    ("no request ran", (True, None, {}, []), set()),
    ("somebody killed the worker", (False, None, {1: 11}, [1]), set()),
    ("somebody killed it, and a thread was noted before", (False, 11, {1: 11}, []), set()),
]


@pytest.mark.parametrize(("situation", "facts", "slots"), BLAMES, ids=[case[0] for case in BLAMES])
def test_blame(situation: str, facts: tuple[bool, int | None, dict[int, int], list[int]], slots: set[int]) -> None:
    """One request is blamed, and only when it must have been that one."""
    assert blame(*facts) == slots
