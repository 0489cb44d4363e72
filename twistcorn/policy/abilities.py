"""What the kernel must be able to do, and what follows where it cannot. Pure.

Law: what a worker needs to run is essential, and without it the server refuses to start. What only the redo log needs
may be missing: then nothing is replayed, and everything else works.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import NamedTuple


class Ability(enum.Enum):
    """What is tried at the start, as the log names it where it fails."""

    CHANNEL = "pass descriptors over SOCK_SEQPACKET sockets"
    MEMORY = "share memory files (memfd_create)"
    EDGES = "report unread bytes again when an edge-triggered descriptor is rearmed (epoll)"
    UNREAD = "report how many bytes wait unread on a socket (FIONREAD)"
    COUNTS = "count the bytes of a TCP connection (TCP_INFO, Linux 4.19)"
    RESET = "reset a connection that another process shares (connect to AF_UNSPEC)"


ESSENTIAL = (Ability.CHANNEL, Ability.MEMORY, Ability.EDGES)


class Judgement(NamedTuple):
    """What follows.

    :ivar refusal: why the server does not start, empty where it does.
    :ivar warning: what does not work, empty where all does.
    :ivar counts: whether the redo log can be compared with what the kernel knows.
    """

    refusal: str = ""
    warning: str = ""
    counts: bool = True


def judge(missing: Collection[Ability]) -> Judgement:
    """What follows from what is missing."""
    essential = [each for each in ESSENTIAL if each in missing]
    if essential:
        return Judgement(f"this kernel cannot {_listed(essential)}, which twistcorn requires", counts=False)
    lost = []
    counts = Ability.UNREAD not in missing and Ability.COUNTS not in missing
    if not counts:
        lost.append("requests are not replayed when their worker dies (as with --replay off)")
    if Ability.RESET in missing:
        lost.append("a truncated response without a Content-Length looks complete")
    if not lost:
        return Judgement()
    failed = [each for each in Ability if each in missing]
    return Judgement("", f"this kernel cannot {_listed(failed)}: {', and '.join(lost)}; everything else works", counts)


def _listed(abilities: Collection[Ability]) -> str:
    return ", nor ".join(each.value for each in abilities)
