"""What becomes of a connection whose worker died: a pure verdict from its slot and the kernel's counts.

Law: values in, a value out. The slot says what the worker was about to do, the kernel what it has done; where they
disagree the kernel is right. A request that an application has seen runs again only where its method allows that, and
never once a byte of it was taken or a byte of its answer was given to the kernel.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

#: Deaths in a row, without a request answered in between, after which a connection with bytes waiting is suspected
#: of killing its workers' parser.
MAX_DEATHS = 2

#: RFC 9110 section 9.2.1: a client that sends one asks for no change, so half a run of it has left nothing behind.
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
#: RFC 9110 section 9.2.2: twice is the same as once, but half of it may be there when its worker dies, and what others
#: have done to the same thing meanwhile is undone.
IDEMPOTENT = SAFE | {"PUT", "DELETE"}
#: The methods that run again, for each value of --replay.
REPEATED = {"safe": SAFE, "idempotent": IDEMPOTENT, "off": frozenset[str]()}


class RedoVerdict(enum.Enum):
    """What the master does with the connection."""

    LEND = "lend it again"
    REPLAY = "lend it again, and its request runs once more"
    ANSWER_502 = "answer 502 and end it"
    DISCARD_AND_LEND = "drop what is left of the answered request and lend it again"
    CUT = "end it in order: the framing of its response shows that it is cut"
    RESET = "reset it, so that a cut response shows as one"
    CLOSE = "end it"

    @property
    def name_of(self) -> str:
        """For the log, behind a number of connections."""
        return _WORDS[self]


_WORDS = {
    RedoVerdict.LEND: "lent again", RedoVerdict.REPLAY: "run again", RedoVerdict.ANSWER_502: "answered 502",
    RedoVerdict.DISCARD_AND_LEND: "lent again, their answer being whole", RedoVerdict.CUT: "cut",
    RedoVerdict.RESET: "reset", RedoVerdict.CLOSE: "closed",
}  # fmt: skip


class Log(NamedTuple):
    """The redo log, as the dead worker left it (`wire.scoreboard.Slot`).

    :ivar state: the name of the slot's state.
    :ivar consumed: whether bytes of the request were taken before its answer began.
    :ivar framed: whether the answer tells where it ends.
    :ivar ends: whether the connection ends behind the answer.
    :ivar method: of the request that was in the app.
    :ivar carried: bytes of the request that are no longer in the kernel, but with the master.
    """

    state: str
    consumed: bool = False
    ends: bool = False
    framed: bool = False
    method: str = ""
    consumed0: int = 0
    consume_to: int = 0
    written0: int = 0
    written_end: int = 0
    carried: int = 0


class Facts(NamedTuple):
    """What the kernel knows of a connection that no process uses.

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


class RedoCase(NamedTuple):
    """What the master knows in addition.

    :ivar blamed: the request of this connection killed the worker; `others_blamed`: that of another did.
    :ivar replayed: the request was run again before, and that counts.
    :ivar deaths: workers that died, with bytes waiting here and no request answered in between, this one included.
    :ivar repeated: the methods that may run again.
    """

    blamed: bool = False
    others_blamed: bool = False
    replayed: bool = False
    deaths: int = 0
    repeated: frozenset[str] = SAFE


#: The states of `wire.scoreboard.State` in which no app has seen a request and no byte of a response has been sent.
UNTOUCHED = ("FREE", "IDLE", "READING")


def verdict(log: Log, facts: Facts, case: RedoCase) -> RedoVerdict:
    """The verdict on a connection."""
    if log.state == "CLOSING" or not facts.alive:
        return RedoVerdict.CLOSE
    if log.state == "RESPONDING":
        return _responding(log, facts, case)
    if taken(log, facts):
        return RedoVerdict.ANSWER_502
    if log.state in UNTOUCHED:
        if facts.ended and not facts.unread:
            return RedoVerdict.CLOSE
        return RedoVerdict.LEND if case.deaths <= MAX_DEATHS else RedoVerdict.ANSWER_502
    return _again(log, case)


def taken(log: Log, facts: Facts) -> bool:
    """Whether a byte of the present request was read that the master does not have, so that no worker can read it."""
    return log.consumed or (facts.consumed is not None and facts.consumed != log.consumed0 + log.carried)


def _responding(log: Log, facts: Facts, case: RedoCase) -> RedoVerdict:
    # A reset is sent once, and a client that it does not reach waits for ever; an orderly end is sent until it arrives.
    cut = RedoVerdict.CUT if log.framed else RedoVerdict.RESET
    if facts.written is None:
        return cut
    if log.written_end and facts.written == log.written_end:
        if log.ends or facts.consumed is None or not 0 <= log.consume_to - facts.consumed <= facts.unread:
            return RedoVerdict.CLOSE
        return RedoVerdict.DISCARD_AND_LEND
    if facts.written < log.written0 or 0 < log.written_end < facts.written:
        # The kernel contradicts the slot: the client must not take this for a complete response.
        return RedoVerdict.RESET
    if facts.written != log.written0:
        return cut
    return RedoVerdict.ANSWER_502 if taken(log, facts) else _again(log, case)


def _again(log: Log, case: RedoCase) -> RedoVerdict:
    """The request was in the app, and everything that it could leave behind with the kernel is undone."""
    if case.blamed or log.method not in case.repeated:
        return RedoVerdict.ANSWER_502
    # A death that another request is blamed for does not use up the one replay.
    return RedoVerdict.REPLAY if case.others_blamed or not case.replayed else RedoVerdict.ANSWER_502
