"""The channel: the messages on the SEQPACKET pair between the master and one worker, and their framing.

Law: AMP carries orders, the channel carries connections. The master sends lends (connections, several per message);
the worker sends reports on them. A message is a sequence of fixed records and is never split (unix(7), SOCK_SEQPACKET).
Uses no reactor; a received descriptor belongs to the caller.
"""

from __future__ import annotations

import array
import enum
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..pristine import socket

_LEND = struct.Struct("=IIHH")
_REPORT = struct.Struct("=III")

#: Most connections in one message: well under SCM_MAX_FD (253, unix(7)), and one accept batch of the listener.
MAX_LENDS = 64
#: Most reports in one message; a message must easily fit the socket's buffer.
MAX_REPORTS = 256
#: Flag of a lend: its request has waited for a thread in another worker. It goes first here, and does not hop again.
HOPPED = 1
#: Flag of a lend: the first bytes of a head follow, read by an earlier worker. It is alone in its message.
CARRIES = 2
#: Most bytes of a carried head: a longer one is refused anyway.
MAX_CARRIED = 32768


class Lend(NamedTuple):
    """A connection on its way to a worker.

    :ivar slot: its place on the scoreboard.
    :ivar sequence: the number of this lend; reports and slot writes carry it.
    :ivar listener: which listener accepted it, an index.
    :ivar flags: `HOPPED`, `CARRIES`, both or 0.
    :ivar carried: the first bytes of the current request's head, already read from the kernel; set with `CARRIES`.
    """

    slot: int
    sequence: int
    listener: int
    flags: int = 0
    carried: bytes = b""


class Kind(enum.IntEnum):
    """What a worker reports about a lend."""

    TAKEN = 1
    CLOSED = 2
    #: Handed back: to any worker; because its request waits for a thread; because it waited too long, or the queue is
    #: full; because it has been idle for long.
    RELEASED = 3
    WAITS = 4
    REFUSED = 5
    PARKED = 6
    #: A thread is free while requests wait in the master; concerns no connection.
    CREDIT = 7
    #: Handed back, to any worker; the bytes of a head already read follow. Alone in its message.
    CARRIED = 8


class Report(NamedTuple):
    """A worker's report on a lent connection. RELEASED also reports a lend that it could not take.

    :ivar carried: with CARRIED: the bytes already read of the current request's head.
    """

    kind: int
    slot: int
    sequence: int
    carried: bytes = b""


def pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair for one worker: the master's end (non-blocking) and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send_lends(channel: socket.socket, descriptors: Sequence[int], lends: Sequence[Lend]) -> None:
    """Send connections, at most `MAX_LENDS`; one that carries bytes goes alone.

    :raises BlockingIOError: the worker's queue is full (EAGAIN).
    :raises OSError: ETOOMANYREFS (too many descriptors in flight), EPIPE or ECONNRESET (the worker is dead).
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    channel.sendmsg([b"".join([_LEND.pack(*lend[:4]) + lend.carried for lend in lends])], ancillary)


def receive_lends(channel: socket.socket) -> tuple[list[int], list[Lend]]:
    """Receive one message of connections; `[], []` is the end of the channel.

    Fewer descriptors than lends: the kernel cut some off (MSG_CTRUNC, at the limit of open files), and the last lends
    have none.
    """
    descriptors = array.array("i")
    room = socket.CMSG_SPACE(MAX_LENDS * descriptors.itemsize)
    data, ancillary, _, _ = channel.recvmsg(_LENDS_SIZE, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if len(data) >= _LEND.size and (first := Lend(*_LEND.unpack_from(data))).flags & CARRIES:
        return list(descriptors), [first._replace(carried=data[_LEND.size :])]
    return list(descriptors), [Lend(*record) for record in _LEND.iter_unpack(data)]


def pack_reports(reports: Iterable[Report]) -> bytes:
    """One message of reports, at most `MAX_REPORTS`; one that carries bytes goes alone."""
    return b"".join([_REPORT.pack(*report[:3]) + report.carried for report in reports])


def unpack_reports(data: bytes) -> list[Report]:
    """The reports of one message."""
    if len(data) >= _REPORT.size and (first := Report(*_REPORT.unpack_from(data))).kind == Kind.CARRIED:
        return [first._replace(carried=data[_REPORT.size :])]
    return [Report(*record) for record in _REPORT.iter_unpack(data)]


#: Largest message of reports, and of lends, in bytes.
REPORTS_SIZE = max(_REPORT.size * MAX_REPORTS, _REPORT.size + MAX_CARRIED)
_LENDS_SIZE = max(_LEND.size * MAX_LENDS, _LEND.size + MAX_CARRIED)
