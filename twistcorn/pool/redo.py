"""What becomes of a connection whose worker died: a pure verdict over its slot, and what the kernel knows.

Law: values in, a value out. The slot tells what the worker was about to do, the kernel what it has done; where they
disagree the kernel is right. RFC 9110 section 9.2.2 allows to repeat idempotent requests only, and a request is never
repeated once a byte of it was taken or a byte of its answer was given to the kernel.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

#: Deaths in a row, without a request answered in between, after which a connection with bytes waiting is suspected
#: of killing its workers' parser.
MAX_DEATHS = 2

#: RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


class Verdict(enum.Enum):
    """What the master does with the connection."""

    LEND = "lend it again"
    REPLAY = "lend it again, and its request runs once more"
    ANSWER_502 = "answer 502 and end it"
    DISCARD_AND_LEND = "drop what is left of the answered request and lend it again"
    RESET = "reset it, so that a cut response shows as one"
    CLOSE = "end it"

    @property
    def word(self) -> str:
        """For the log, behind a number of connections."""
        return _WORDS[self]


_WORDS = {
    Verdict.LEND: "lent again", Verdict.REPLAY: "run again", Verdict.ANSWER_502: "answered 502",
    Verdict.DISCARD_AND_LEND: "lent again, their answer being whole", Verdict.RESET: "reset", Verdict.CLOSE: "closed",
}  # fmt: skip


class Log(NamedTuple):
    """The redo log, as the dead worker left it (`wire.scoreboard.Slot`).

    :ivar state: the name of the slot's state.
    :ivar consumed: whether bytes of the request were taken before its answer began.
    :ivar ends: whether the connection ends behind the answer.
    :ivar method: of the request that was in the app.
    :ivar carried: bytes of the request that are no longer in the kernel, but with the master.
    """

    state: str
    consumed: bool = False
    ends: bool = False
    method: str = ""
    consumed0: int = 0
    consume_to: int = 0
    written0: int = 0
    written_end: int = 0
    carried: int = 0


class Facts(NamedTuple):
    """What the kernel knows of a connection that nobody uses.

    :ivar alive: the client can still be answered: it has not reset the connection, and we have not ended it.
    :ivar ended: the client has ended its side.
    :ivar unread: bytes that wait to be read.
    :ivar written: bytes that the kernel ever took for the client, None where it does not count (AF_UNIX).
    :ivar consumed: bytes ever taken of the client's, None where the kernel does not count.
    """

    alive: bool
    ended: bool
    unread: int
    written: int | None
    consumed: int | None


class Case(NamedTuple):
    """What the master knows besides.

    :ivar blamed: the request of this connection killed the worker; `others_blamed`: that of another did.
    :ivar replayed: the request was run again before, and that counts.
    :ivar deaths: workers that died, with bytes waiting here and no request answered in between, this one included.
    :ivar replay: whether the operator allows replays.
    """

    blamed: bool = False
    others_blamed: bool = False
    replayed: bool = False
    deaths: int = 0
    replay: bool = True


#: The states of `wire.scoreboard.State` in which no app has seen a request and no byte of a response has been sent.
UNTOUCHED = ("FREE", "IDLE", "READING")


def verdict(log: Log, facts: Facts, case: Case) -> Verdict:
    """The verdict on a connection."""
    if log.state == "CLOSING" or not facts.alive:
        return Verdict.CLOSE
    if log.state == "RESPONDING":
        return _responding(log, facts, case)
    if taken(log, facts):
        return Verdict.ANSWER_502
    if log.state in UNTOUCHED:
        if facts.ended and not facts.unread:
            return Verdict.CLOSE
        return Verdict.LEND if case.deaths <= MAX_DEATHS else Verdict.ANSWER_502
    return _again(log, case)


def taken(log: Log, facts: Facts) -> bool:
    """Whether a byte of the present request was taken that the master has not, so that nobody else can read it."""
    return log.consumed or (facts.consumed is not None and facts.consumed != log.consumed0 + log.carried)


def _responding(log: Log, facts: Facts, case: Case) -> Verdict:
    if facts.written is None:
        return Verdict.RESET
    if log.written_end and facts.written == log.written_end:
        if log.ends or facts.consumed is None or not 0 <= log.consume_to - facts.consumed <= facts.unread:
            return Verdict.CLOSE
        return Verdict.DISCARD_AND_LEND
    if facts.written != log.written0:
        return Verdict.RESET
    return Verdict.ANSWER_502 if taken(log, facts) else _again(log, case)


def _again(log: Log, case: Case) -> Verdict:
    """The request was in the app, and everything that it could leave behind with the kernel is undone."""
    if case.blamed or not case.replay or log.method not in IDEMPOTENT:
        return Verdict.ANSWER_502
    # A death that another request is blamed for does not use up the one replay.
    return Verdict.REPLAY if case.others_blamed or not case.replayed else Verdict.ANSWER_502
