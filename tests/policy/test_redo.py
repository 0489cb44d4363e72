"""The claims of twistcorn.policy.redo: what becomes of a connection whose worker died, case by case."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from twistcorn.policy.redo import (
    IDEMPOTENT,
    MAX_DEATHS,
    REPEATED,
    SAFE,
    Facts,
    Log,
    RedoCase,
    RedoVerdict,
    verdict,
)
from twistcorn.wire.scoreboard import SlotState

LEND, REPLAY, DISCARD = RedoVerdict.LEND, RedoVerdict.REPLAY, RedoVerdict.DISCARD_AND_LEND
ANSWER, RESET, CLOSE, CUT = RedoVerdict.ANSWER_502, RedoVerdict.RESET, RedoVerdict.CLOSE, RedoVerdict.CUT

#: A request of 80 bytes, from 100 on, and an answer of 400, from 1000 on.
REQUEST = Log("", consumed0=100, consume_to=180, framed=True, written0=1000, written_end=1400)


def log(state: str, method: str = "GET", **more: Any) -> Log:
    return REQUEST._replace(state=state, method=method, **more)


def facts(consumed: int | None = 100, written: int | None = 1000, unread: int = 80, **more: bool) -> Facts:
    return Facts(more.get("alive", True), more.get("ended", False), unread, written, consumed)


#: What happened, what the slot says, what the kernel says, what the master knows -> verdict
CASES = [
    # Nobody saw a request: another worker goes on, and the client notices nothing.
    ("lent, and never looked at", log("FREE"), facts(), RedoCase(), LEND),
    ("idle", log("IDLE"), facts(unread=0), RedoCase(), LEND),
    ("idle, a request waits", log("IDLE"), facts(), RedoCase(deaths=1), LEND),
    ("a head in part", log("READING"), facts(), RedoCase(deaths=1), LEND),
    ("idle, on a UNIX socket", log("IDLE"), facts(None, None), RedoCase(deaths=1), LEND),
    ("a second worker died of it", log("READING"), facts(), RedoCase(deaths=MAX_DEATHS), LEND),
    # Its bytes may be what kills: not a third worker for it.
    ("a third worker died of it", log("READING"), facts(), RedoCase(deaths=MAX_DEATHS + 1), ANSWER),
    # There is nobody to answer, or nothing.
    ("the client has gone in order", log("IDLE"), facts(unread=0, ended=True), RedoCase(), CLOSE),
    ("the client has sent, and ended its side", log("IDLE"), facts(ended=True), RedoCase(), LEND),
    ("the client has reset it", log("IN_APP"), facts(alive=False), RedoCase(), CLOSE),
    ("it was being closed", log("CLOSING"), facts(180, 1400, 0), RedoCase(), CLOSE),
    # A part of the request is gone with the worker that took it.
    ("a body in part", log("READING", consumed=True), facts(150), RedoCase(), ANSWER),
    ("a body is about to be taken", log("READING", consumed=True), facts(), RedoCase(), ANSWER),
    ("in the app, body taken", log("IN_APP", consumed=True), facts(180), RedoCase(), ANSWER),
    ("taken, and the slot does not say so", log("IDLE"), facts(101), RedoCase(), ANSWER),
    # The app saw it: nobody knows what it has done. Safe requests have changed nothing (RFC 9110 section 9.2.1).
    ("in the app", log("IN_APP"), facts(), RedoCase(), REPLAY),
    ("in the app, on a UNIX socket", log("IN_APP"), facts(None, None), RedoCase(), REPLAY),
    *[(f"in the app, {method}", log("IN_APP", method), facts(), RedoCase(), REPLAY) for method in sorted(SAFE)],
    *[
        (f"in the app, {method}", log("IN_APP", method), facts(), RedoCase(), ANSWER)
        for method in sorted(IDEMPOTENT - SAFE)
    ],
    *[
        (f"in the app, {method}, allowed", log("IN_APP", method), facts(), RedoCase(repeated=IDEMPOTENT), REPLAY)
        for method in sorted(IDEMPOTENT)
    ],
    # Whom no app has seen goes on, whatever its method.
    *[
        (f"not in the app yet, {method}", log("READING", method), facts(), RedoCase(repeated=REPEATED["off"]), LEND)
        for method in ("PUT", "DELETE", "POST")
    ],
    ("nothing sent, PUT", log("RESPONDING", "PUT"), facts(), RedoCase(), ANSWER),
    ("another killed it, PUT", log("IN_APP", "PUT"), facts(), RedoCase(others_blamed=True), ANSWER),
    ("in the app, POST", log("IN_APP", "POST"), facts(), RedoCase(), ANSWER),
    ("in the app, PATCH", log("IN_APP", "PATCH"), facts(), RedoCase(), ANSWER),
    ("in the app, method not known", log("IN_APP", ""), facts(), RedoCase(), ANSWER),
    ("in the app, a second time", log("IN_APP"), facts(), RedoCase(replayed=True), ANSWER),
    ("in the app, it killed the worker", log("IN_APP"), facts(), RedoCase(blamed=True), ANSWER),
    ("in the app, several are blamed", log("IN_APP"), facts(), RedoCase(blamed=True, others_blamed=True), ANSWER),
    ("another killed it", log("IN_APP"), facts(), RedoCase(others_blamed=True, replayed=True), REPLAY),
    ("another killed it, POST", log("IN_APP", "POST"), facts(), RedoCase(others_blamed=True), ANSWER),
    ("no replay is wanted", log("IN_APP"), facts(), RedoCase(repeated=REPEATED["off"]), ANSWER),
    # The answer was about to be sent.
    ("nothing taken, nothing sent", log("RESPONDING"), facts(), RedoCase(), REPLAY),
    ("nothing sent, POST", log("RESPONDING", "POST"), facts(), RedoCase(), ANSWER),
    ("nothing sent, blamed", log("RESPONDING"), facts(), RedoCase(blamed=True), ANSWER),
    ("nothing sent, the request taken", log("RESPONDING"), facts(180), RedoCase(), ANSWER),
    ("nothing sent, the request taken in part", log("RESPONDING"), facts(120), RedoCase(), ANSWER),
    ("nothing sent, a body taken before", log("RESPONDING", consumed=True), facts(180), RedoCase(), ANSWER),
    # A part of the answer is out: the client must see that it is cut, and the end must reach it where it can.
    ("sent in part", log("RESPONDING"), facts(180, 1200), RedoCase(), CUT),
    ("sent in part, the request not taken", log("RESPONDING"), facts(100, 1200), RedoCase(), CUT),
    ("sent in part, in chunks", log("RESPONDING", written_end=0), facts(180, 1200), RedoCase(), CUT),
    (
        "sent in part, up to the end", log("RESPONDING", framed=False, written_end=0), facts(180, 1200), RedoCase(),
        RESET,
    ),
    ("on a UNIX socket", log("RESPONDING"), facts(None, None), RedoCase(), CUT),
    (
        "on a UNIX socket, up to the end", log("RESPONDING", framed=False, written_end=0), facts(None, None),
        RedoCase(), RESET,
    ),
    ("more is out than could be", log("RESPONDING"), facts(180, 1401), RedoCase(), RESET),
    ("less is out than before", log("RESPONDING"), facts(180, 900), RedoCase(), RESET),
    # All of it is out.
    ("sent whole", log("RESPONDING"), facts(180, 1400, 0), RedoCase(), DISCARD),
    ("sent whole, POST", log("RESPONDING", "POST"), facts(180, 1400, 0), RedoCase(), DISCARD),
    ("sent whole, blamed", log("RESPONDING"), facts(180, 1400, 0), RedoCase(blamed=True), DISCARD),
    ("sent whole, the next is there", log("RESPONDING"), facts(180, 1400, 99), RedoCase(), DISCARD),
    ("sent whole, the request not taken", log("RESPONDING"), facts(100, 1400, 99), RedoCase(), DISCARD),
    ("sent whole, and that was to be all", log("RESPONDING", ends=True), facts(180, 1400, 0), RedoCase(), CLOSE),
    ("sent before the request was there", log("RESPONDING"), facts(100, 1400, 79), RedoCase(), CLOSE),
    ("more is taken than belongs to it", log("RESPONDING"), facts(181, 1400, 9), RedoCase(), CLOSE),
]  # fmt: skip


@pytest.mark.parametrize(("log", "facts", "case", "expected"), [each[1:] for each in CASES], ids=[c[0] for c in CASES])
def test_worker_died(log: Log, facts: Facts, case: RedoCase, expected: RedoVerdict) -> None:
    """The table of the design, line by line."""
    assert verdict(log, facts, case) is expected


def test_states_are_those_of_the_scoreboard() -> None:
    """The pool knows the states by name, and the names are the scoreboard's: each has a case above."""
    assert {case[1].state for case in CASES} == {state.name for state in SlotState}


def everything() -> list[tuple[Log, Facts, RedoCase]]:
    """Every combination of what matters, also the impossible ones."""
    logs = [
        log(state.name, method, consumed=consumed, ends=ends, written_end=end)
        for state, method, consumed, ends, end in itertools.product(
            SlotState, ("GET", "PUT", "POST", ""), (False, True), (False, True), (0, 1400)
        )
    ]
    kernels = [
        Facts(alive, ended, unread, written, consumed)
        for alive, ended, unread, (written, consumed) in itertools.product(
            (True, False), (True, False), (0, 80),
            [(None, None), *itertools.product((999, 1000, 1200, 1400, 1401), (99, 100, 150, 180, 181))],
        )
    ]  # fmt: skip
    cases = [
        RedoCase(blamed, others, replayed, deaths, repeated)
        for blamed, others, replayed, deaths, repeated in itertools.product(
            (True, False), (True, False), (True, False), (0, MAX_DEATHS + 1), REPEATED.values()
        )
    ]
    return list(itertools.product(logs, kernels, cases))


def test_whatever_was_left() -> None:
    """Of all the combinations: no byte is answered twice, no request is run again that must not be."""
    for log, facts, case in everything():
        found = verdict(log, facts, case)
        if found in (RedoVerdict.REPLAY, RedoVerdict.LEND):
            # Another worker must find the request as it came, and the client must have nothing of an answer.
            assert not log.consumed
            assert facts.consumed in (None, log.consumed0)
            assert log.state != "RESPONDING" or facts.written == log.written0
        if found is RedoVerdict.REPLAY:
            assert log.method in case.repeated
            assert not case.blamed
            assert case.others_blamed or not case.replayed
        if found is RedoVerdict.LEND:
            assert log.state in ("FREE", "IDLE", "READING")
        if found is RedoVerdict.ANSWER_502:
            assert log.state != "RESPONDING" or facts.written == log.written0
        if found is RedoVerdict.DISCARD_AND_LEND:
            assert facts.written == log.written_end
            assert not log.ends
        if log.state == "CLOSING" or not facts.alive:
            assert found is RedoVerdict.CLOSE
