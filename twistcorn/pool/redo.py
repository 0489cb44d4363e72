"""What becomes of a connection whose worker died: a pure verdict over its slot.

Law: reads a slot, touches nothing. RFC 9110 section 9.2.2 allows to repeat idempotent requests only; nothing is
repeated here yet: a connection is lent again only while no byte of a request was taken and no app saw one.
"""

from __future__ import annotations

import enum

#: Deaths in a row, without a request answered in between, after which a connection with bytes waiting is suspected
#: of killing its workers' parser.
MAX_DEATHS = 2


class Verdict(enum.Enum):
    """What the master does with the connection."""

    LEND = "lend it again"
    CLOSE = "close it"
    RESET = "reset it, so that a cut response shows as one"


#: The states of `wire.scoreboard.State` in which no app has seen a request and no byte of a response has been sent.
UNTOUCHED = ("FREE", "IDLE", "READING")


def verdict(state: str, consumed: bool, deaths: int) -> Verdict:
    """The verdict on a connection.

    :param state: the name of the slot's state.
    :param consumed: whether bytes of the request were taken from the kernel.
    :param deaths: workers that died holding it without having answered a request on it, this one included.
    """
    if state in UNTOUCHED and not consumed and deaths <= MAX_DEATHS:
        return Verdict.LEND
    return Verdict.RESET if state == "RESPONDING" else Verdict.CLOSE
