"""The claims of twistcorn.pool.redo: what becomes of a connection whose worker died, case by case."""

from __future__ import annotations

import pytest

from twistcorn.pool.redo import MAX_DEATHS, UNTOUCHED, Verdict, verdict
from twistcorn.wire.scoreboard import State

LEND, CLOSE, RESET = Verdict.LEND, Verdict.CLOSE, Verdict.RESET

#: (what the slot says, bytes were taken from the kernel, workers that died with it) -> verdict
CASES = [
    # Nobody saw a request: another worker goes on, and the client notices nothing.
    ("FREE", False, 1, LEND),
    ("IDLE", False, 1, LEND),
    ("READING", False, 1, LEND),
    ("IDLE", False, MAX_DEATHS, LEND),
    # Its bytes may be what kills: not a third worker for it.
    ("IDLE", False, MAX_DEATHS + 1, CLOSE),
    ("READING", False, MAX_DEATHS + 1, CLOSE),
    # A part of the request is gone with the worker that took it.
    ("READING", True, 1, CLOSE),
    ("IDLE", True, 1, CLOSE),
    # The app saw it: nobody knows what it has done.
    ("IN_APP", False, 1, CLOSE),
    ("IN_APP", True, 1, CLOSE),
    # A part of the answer may be out: the client must see that it is cut.
    ("RESPONDING", False, 1, RESET),
    ("RESPONDING", True, 1, RESET),
    ("RESPONDING", True, MAX_DEATHS + 1, RESET),
    # The worker was ending it anyway.
    ("CLOSING", False, 1, CLOSE),
    ("CLOSING", True, 1, CLOSE),
]


@pytest.mark.parametrize(("state", "consumed", "deaths", "expected"), CASES)
def test_worker_died(state: str, consumed: bool, deaths: int, expected: Verdict) -> None:
    """A connection is lent again while no byte of a request was taken and no app saw one, and not endlessly."""
    assert verdict(state, consumed, deaths) is expected


def test_states_are_those_of_the_scoreboard() -> None:
    """The pool knows the states by name, and the names are the scoreboard's."""
    names = {state.name for state in State}

    assert {*UNTOUCHED, "RESPONDING"} <= names
    assert {case[0] for case in CASES} == names, "each state has a case above"


@pytest.mark.parametrize("state", [state.name for state in State])
def test_bytes_were_taken(state: str) -> None:
    """A connection of which bytes are lost is never lent again, whatever state its slot names."""
    assert verdict(state, True, 1) is not LEND
