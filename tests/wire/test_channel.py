"""The claims of twistcorn.wire.channel, over real SEQPACKET pairs and real descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.wire import channel
from twistcorn.wire.channel import MAX_LENDS, MAX_REPORTS, REPORTS_SIZE, Kind, Lend, Report

MOST = (1 << 32) - 1


class Pair:
    """Both ends of a channel, and the descriptors that went through it."""

    def __init__(self) -> None:
        self.master, self.worker = channel.pair()
        self._received: list[int] = []

    def receive(self) -> tuple[list[int], list[Lend]]:
        """One message at the worker's end."""
        descriptors, lends = channel.receive_lends(self.worker)
        self._received += descriptors
        return descriptors, lends

    def close(self) -> None:
        self.master.close()
        self.worker.close()
        for descriptor in self._received:
            os.close(descriptor)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A channel."""
    both = Pair()
    yield both
    both.close()


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Descriptors of as many different files as fit into a message."""
    opened = [os.memfd_create(f"connection {number}") for number in range(MAX_LENDS)]
    yield opened
    for descriptor in opened:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def lends(count: int) -> list[Lend]:
    """This number of different lends."""
    return [Lend(slot, 1000 + slot, slot % 3) for slot in range(count)]


def inodes(descriptors: list[int]) -> list[int]:
    return [os.fstat(descriptor).st_ino for descriptor in descriptors]


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """Limit the process to this number of further descriptors."""
    probe = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    for descriptor in probe:
        os.close(descriptor)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(probe, default=2) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestLends:
    def test_connections_are_lent(self, pair: Pair, files: list[int]) -> None:
        """Each lend arrives with its own connection's descriptor, several in one message."""
        channel.send_lends(pair.master, files[:3], lends(3))
        descriptors, received = pair.receive()

        assert received == lends(3)
        assert inodes(descriptors) == inodes(files[:3])

    def test_full_message(self, pair: Pair, files: list[int]) -> None:
        """A message carries MAX_LENDS connections whole."""
        channel.send_lends(pair.master, files, lends(MAX_LENDS))
        descriptors, received = pair.receive()

        assert received == lends(MAX_LENDS)
        assert inodes(descriptors) == inodes(files)

    def test_two_messages_wait(self, pair: Pair, files: list[int]) -> None:
        """Messages stay apart and in order, and then there is nothing."""
        channel.send_lends(pair.master, files[:2], lends(2))
        channel.send_lends(pair.master, files[2:3], [Lend(7, 8, 9)])

        assert pair.receive()[1] == lends(2)
        assert pair.receive()[1] == [Lend(7, 8, 9)]
        with pytest.raises(BlockingIOError):
            pair.receive()

    @pytest.mark.parametrize("lend", [Lend(0, 0, 0), Lend(MOST, MOST, 0xFFFF, 0xFFFF)])
    def test_extreme_numbers(self, pair: Pair, files: list[int], lend: Lend) -> None:
        """Every number that a field can have arrives as it was."""
        channel.send_lends(pair.master, files[:1], [lend])

        assert pair.receive()[1] == [lend]

    def test_app_runs_a_program(self, pair: Pair, files: list[int]) -> None:
        """A received connection is closed on exec: no program that the app starts inherits it."""
        channel.send_lends(pair.master, files[:2], lends(2))
        descriptors, _ = pair.receive()

        assert [os.get_inheritable(descriptor) for descriptor in descriptors] == [False, False]

    def test_master_closes_its_copy(self, pair: Pair) -> None:
        """The worker has its own copy: the connection stays open."""
        client, server = socket.socketpair()
        with client, server:
            channel.send_lends(pair.master, [server.fileno()], lends(1))
            server.close()
            descriptors, _ = pair.receive()
            os.write(descriptors[0], b"still here")

            assert client.recv(100) == b"still here"

    def test_worker_may_open_no_more_files(self, pair: Pair, files: list[int]) -> None:
        """All lends arrive, with as many descriptors as fit: the last lends come without theirs."""
        channel.send_lends(pair.master, files[:5], lends(5))
        with room_for(2):
            descriptors, received = pair.receive()

        assert received == lends(5)
        assert inodes(descriptors) == inodes(files[:2])

    def test_worker_may_open_nothing_at_all(self, pair: Pair, files: list[int]) -> None:
        """Lends without any descriptor are not mistaken for the end of the channel."""
        channel.send_lends(pair.master, files[:2], lends(2))
        with room_for(0):
            descriptors, received = pair.receive()

        assert (descriptors, received) == ([], lends(2))


class TestEnds:
    def test_master_is_gone(self, pair: Pair, files: list[int]) -> None:
        """Its last messages still arrive; an empty message is the end."""
        channel.send_lends(pair.master, files[:1], lends(1))
        pair.master.close()

        assert pair.receive()[1] == lends(1)
        assert pair.receive() == ([], [])

    def test_worker_is_dead(self, pair: Pair, files: list[int]) -> None:
        """Lending to a dead worker is an error, and no signal."""
        pair.worker.close()

        with pytest.raises(BrokenPipeError):
            channel.send_lends(pair.master, files[:1], lends(1))

    def test_worker_does_not_read(self, pair: Pair, files: list[int]) -> None:
        """A full queue raises its own error, after more messages than a worker may leave unacknowledged."""
        sent = 0
        with pytest.raises(BlockingIOError):  # noqa: PT012
            for _ in range(100_000):
                channel.send_lends(pair.master, files[:1], lends(1))
                sent += 1

        assert sent > 16

    def test_connection_was_closed(self, pair: Pair, files: list[int]) -> None:
        """A descriptor that is not open is refused, with all of its message."""
        os.close(files[1])

        with pytest.raises(OSError, match="Bad file descriptor"):
            channel.send_lends(pair.master, files[:3], lends(3))
        with pytest.raises(BlockingIOError):
            pair.receive()

    def test_new_pair(self, pair: Pair) -> None:
        """Neither end blocks, keeps message boundaries out, or is inherited by accident."""
        for end in (pair.master, pair.worker):
            assert not end.getblocking()
            assert end.type == socket.SOCK_SEQPACKET
            assert not end.get_inheritable()


class TestReports:
    def test_reports_are_sent(self, pair: Pair) -> None:
        """Reports arrive in their order, as one message."""
        sent = [Report(Kind.TAKEN, 1, 2), Report(Kind.CLOSED, 1, 2), Report(Kind.RELEASED, MOST, MOST)]
        pair.worker.send(channel.pack_reports(sent))

        assert channel.unpack_reports(pair.master.recv(REPORTS_SIZE)) == sent

    def test_longest_message(self, pair: Pair) -> None:
        """MAX_REPORTS reports fit into one message, and into the room in which it is received."""
        sent = [Report(Kind.TAKEN, slot, slot) for slot in range(MAX_REPORTS)]
        pair.worker.send(channel.pack_reports(sent))

        assert channel.unpack_reports(pair.master.recv(REPORTS_SIZE)) == sent

    def test_kinds(self) -> None:
        """The numbers are the wire's: a worker of another release must mean the same."""
        assert {kind.name: int(kind) for kind in Kind} == {
            "TAKEN": 1, "CLOSED": 2, "RELEASED": 3, "WAITS": 4, "REFUSED": 5, "PARKED": 6, "CREDIT": 7,
            "CARRIED": 8,
        }  # fmt: skip

    def test_bytes(self) -> None:
        """A report is three little words, in the byte order of the machine."""
        packed = channel.pack_reports([Report(Kind.CLOSED, 1, 2), Report(Kind.TAKEN, 3, 4)])

        assert list(memoryview(packed).cast("I")) == [2, 1, 2, 1, 3, 4]

    @given(
        st.lists(
            st.builds(
                Report, st.sampled_from([*set(Kind) - {Kind.CARRIED}]), st.integers(0, MOST), st.integers(0, MOST),
                st.just(b""),
            ),
            max_size=MAX_REPORTS,
        )
    )  # fmt: skip
    def test_any_reports(self, reports: list[Report]) -> None:
        """What is packed is what is unpacked."""
        assert channel.unpack_reports(channel.pack_reports(reports)) == reports

    @pytest.mark.parametrize("size", [1, 12, channel.MAX_CARRIED])
    def test_bytes_of_a_head(self, pair: Pair, size: int) -> None:
        """Bytes of a head follow their report, and their lend, whatever their number."""
        sent = Report(Kind.CARRIED, 1, 2, b"x" * size)
        pair.worker.send(channel.pack_reports([sent]))
        assert channel.unpack_reports(pair.master.recv(REPORTS_SIZE)) == [sent]

        lend = Lend(7, 8, 9, channel.CARRIES, b"y" * size)
        channel.send_lends(pair.master, [pair.master.fileno()], [lend])
        descriptors, lends = channel.receive_lends(pair.worker)
        os.close(descriptors[0])
        assert lends == [lend]
