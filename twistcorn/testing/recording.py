"""The strict channel: records what passes, and refuses what no worker could read.

Law: as strict as a SEQPACKET socket; see the package.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import Any, cast

from twisted.protocols import amp

from ..wire import channel
from ..wire.channel import Lend

Ancillary = tuple[int, int, Any]


class ImpossibleError(AssertionError):
    """A sequence of events that the real thing never produces, or would not survive."""


def demand(fact: bool, otherwise: str) -> None:
    """Raise unless `fact` holds.

    :raises ImpossibleError: with the text `otherwise`.
    """
    if not fact:
        raise ImpossibleError(otherwise)


def sent(command: type[amp.Command], **arguments: object) -> dict[str, Any]:
    """The arguments of a command as they arrive on the other side, by name.

    :raises Exception: as amp raises, or fails its Deferred with: InvalidSignature for a missing or extra argument,
        TooLong for one over 65 535 bytes, others for a wrong type.
    """
    box = command(**arguments).makeArguments(arguments, None)
    box.serialize()
    return cast("dict[str, Any]", command.parseArguments(box, None))


class _Message:
    """One message, for the real receiving code of `wire.channel`."""

    def __init__(self, data: bytes, ancillary: Iterable[Ancillary]) -> None:
        self._data = data
        self._ancillary = [(level, kind, bytes(payload)) for level, kind, payload in ancillary]

    def recvmsg(self, size: int, room: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        taken = sum(socket.CMSG_SPACE(len(payload)) for _, _, payload in self._ancillary)
        demand(len(self._data) <= size and taken <= room, "the message is longer than a worker receives")
        return self._data, self._ancillary, 0, None


class RecordingChannel:
    """The master's end of a channel, in memory: accepts lends as a SEQPACKET socket does, and records them.

    :ivar messages: a list of lends for each message sent.
    :ivar descriptors: the descriptors sent with them, in the same order; not duplicated.
    :ivar error: the errno that sending fails with: EAGAIN, ETOOMANYREFS, EPIPE...; EBADF once closed; 0: success.
    """

    def __init__(self) -> None:
        self.messages: list[list[Lend]] = []
        self.descriptors: list[int] = []
        self.error = 0

    @property
    def lends(self) -> list[Lend]:
        """All lends sent, in order."""
        return [lend for message in self.messages for lend in message]

    def sendmsg(self, buffers: Iterable[bytes], ancillary: Iterable[Ancillary] = ()) -> int:
        """As `socket.sendmsg`.

        :raises OSError: with `error`; EBADF if this channel or a descriptor is closed.
        :raises ImpossibleError: for what no worker could read: not exactly one descriptor for each lend, no lend at
            all, more than `wire.channel.MAX_LENDS`, ancillary data other than one SCM_RIGHTS.
        """
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        data, rights = b"".join(buffers), list(ancillary)
        kinds = [(level, kind) for level, kind, _ in rights]
        demand(kinds == [(socket.SOL_SOCKET, socket.SCM_RIGHTS)], f"ancillary data other than one SCM_RIGHTS: {kinds}")
        descriptors, lends = channel.receive_lends(cast(socket.socket, _Message(data, rights)))
        demand(bool(lends), "an empty message means the end of the channel")
        demand(len(descriptors) == len(lends), f"{len(lends)} lends came with {len(descriptors)} descriptors")
        for descriptor in descriptors:
            os.fstat(descriptor)
        self.messages.append(lends)
        self.descriptors += descriptors
        return len(data)

    def close(self) -> None:
        """As `socket.close`."""
        self.error = errno.EBADF
