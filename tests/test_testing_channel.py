"""The claims of twistcorn.testing about the wire: it refuses what amp and a real SEQPACKET socket refuse."""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.protocols import amp

from twistcorn.testing import ImpossibleError, RecordingChannel, sent
from twistcorn.wire import amp_commands, channel
from twistcorn.wire.channel import MAX_LENDS, Lend

LEND = Lend(3, 40, 0)


class Channels:
    """The same message to a recording channel and to a real one."""

    def __init__(self) -> None:
        self.recording = RecordingChannel()
        self.master, self.worker = channel.pair()

    def send(self, sock: Any, descriptors: list[int], lends: list[Lend]) -> type[BaseException] | None:
        """With which error it ends."""
        try:
            channel.send_lends(sock, descriptors, lends)
        except OSError as error:
            return type(error)
        return None

    def close(self) -> None:
        self.master.close()
        self.worker.close()


@pytest.fixture
def channels() -> Iterator[Channels]:
    both = Channels()
    yield both
    both.close()


class TestRecordingChannel:
    def test_lends_go_through(self) -> None:
        """They are recorded by message, with their descriptors."""
        recording: Any = RecordingChannel()
        channel.send_lends(recording, [0, 1], [LEND, Lend(4, 41, 0)])
        channel.send_lends(recording, [2], [Lend(5, 42, 1)])

        assert [len(message) for message in recording.messages] == [2, 1]
        assert recording.lends == [LEND, Lend(4, 41, 0), Lend(5, 42, 1)]
        assert recording.descriptors == [0, 1, 2]

    def test_descriptor_is_closed(self, channels: Channels) -> None:
        """It fails as the real one does."""
        closed = os.dup(0)
        os.close(closed)

        assert channels.send(channels.recording, [closed], [LEND]) is OSError
        assert channels.send(channels.master, [closed], [LEND]) is OSError

    def test_other_end_is_closed(self, channels: Channels) -> None:
        """EPIPE, as the real one."""
        channels.worker.close()
        channels.recording.error = errno.EPIPE

        assert channels.send(channels.recording, [0], [LEND]) is BrokenPipeError
        assert channels.send(channels.master, [0], [LEND]) is BrokenPipeError

    def test_channel_is_closed(self, channels: Channels) -> None:
        """EBADF, as the real one."""
        channels.recording.close()
        channels.master.close()

        assert channels.send(channels.recording, [0], [LEND]) is OSError
        assert channels.send(channels.master, [0], [LEND]) is OSError

    @pytest.mark.parametrize(
        ("descriptors", "lends"), [([0], []), ([0], [LEND, LEND]), ([0, 1], [LEND]), ([0] * 65, [LEND] * 65)]
    )
    def test_no_worker_could_read_it(self, descriptors: list[int], lends: list[Lend]) -> None:
        """One descriptor for each lend, at least one, at most MAX_LENDS."""
        recording: Any = RecordingChannel()
        with pytest.raises(ImpossibleError):
            channel.send_lends(recording, descriptors, lends)

        assert (recording.messages, MAX_LENDS) == ([], 64)

    def test_ancillary_data_is_something_else(self) -> None:
        """SCM_RIGHTS, once."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))
        for ancillary in ([], [rights, rights], [(socket.SOL_SOCKET, 2, rights[2])]):
            with pytest.raises(ImpossibleError):
                RecordingChannel().sendmsg([b"x" * 12], ancillary)


def test_sent() -> None:
    """Arguments arrive as the other side gets them: through bytes; one that is forgotten is refused."""
    assert sent(amp_commands.BootFailed, message="é") == {"message": "é"}
    with pytest.raises(amp.InvalidSignature):
        sent(amp_commands.BootFailed)
