"""The claims of twistcorn.master.sockets.tcp_info: what it says of a connection is what happened on it."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.master.stage import tcp
from twistcorn.master.sockets import tcp_info
from twistcorn.policy.redo import Facts

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The server's end of a TCP connection, and the client's."""
    with contextlib.ExitStack() as stack:
        ours, client = tcp()
        yield stack.enter_context(ours), stack.enter_context(client)


def wait_for_end(sock: socket.socket) -> None:
    """Wait until the other side's end, or reset, is there."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    assert poll.poll(5000)


class TestFacts:
    def test_nothing_happened(self, pair: Pair) -> None:
        """Both streams are at their beginnings."""
        assert tcp_info.facts(pair[0]) == Facts(True, False, 0, 0, 0)

    def test_request_waits(self, pair: Pair) -> None:
        """What is only looked at is not taken."""
        ours, client = pair
        client.sendall(b"x" * 100)
        assert ours.recv(1000, socket.MSG_PEEK) == b"x" * 100

        assert tcp_info.facts(ours) == Facts(True, False, 100, 0, 0)

    def test_client_sends_meanwhile(self, pair: Pair) -> None:
        """What arrives between two questions to the kernel does not pass for taken."""
        ours, client = pair
        code = "import socket\nsock = socket.socket(fileno=0)\nfor _ in range(20000): sock.send(b'x')"
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = subprocess.Popen([sys.executable, "-c", code], stdin=client.fileno())
        seen = {tcp_info.facts(ours).consumed}
        while sender.poll() is None:
            seen.add(tcp_info.facts(ours).consumed)

        assert (sender.returncode, seen) == (0, {0})

    def test_streams_moved(self, pair: Pair) -> None:
        """What was taken, and what was sent, each by itself."""
        ours, client = pair
        client.sendall(b"x" * 100)
        ours.recv(30)
        ours.send(b"y" * 7)

        assert tcp_info.facts(ours) == Facts(True, False, 70, 7, 30)

    @pytest.mark.parametrize("taken", [0, 40, 100])
    def test_client_ended_its_side(self, pair: Pair, taken: int) -> None:
        """The end of its stream is no byte of it, read or not."""
        ours, client = pair
        client.sendall(b"x" * 100)
        client.shutdown(socket.SHUT_WR)
        wait_for_end(ours)
        if taken:
            ours.recv(taken)
        if taken == 100:
            assert ours.recv(1) == b""

        assert tcp_info.facts(ours) == Facts(True, True, 100 - taken, 0, taken)

    def test_client_does_not_read(self, pair: Pair) -> None:
        """What the kernel took counts, sent or not: it will be."""
        ours, client = pair
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                total += ours.send(b"z" * 100_000)
        assert tcp_info.facts(ours).written == total

        client.settimeout(5)
        read = 0
        while read < total:
            read += len(client.recv(1 << 20))
        assert tcp_info.facts(ours).written == total

    def test_more_was_announced(self, pair: Pair) -> None:
        """What waits for more (MSG_MORE) counts."""
        ours, _ = pair
        ours.send(b"head", socket.MSG_MORE)

        assert tcp_info.facts(ours).written == 4

    def test_client_reset_it(self, pair: Pair) -> None:
        """There is nobody to answer."""
        ours, client = pair
        tcp_info.reset(client)
        wait_for_end(ours)

        assert not tcp_info.facts(ours).alive

    def test_we_ended_it(self, pair: Pair) -> None:
        """Nothing more can be sent."""
        pair[0].shutdown(socket.SHUT_WR)

        assert not tcp_info.facts(pair[0]).alive

    def test_unix_socket(self) -> None:
        """Its kernel counts nothing but what waits."""
        ours, client = socket.socketpair()
        with ours, client:
            client.sendall(b"hello")

            assert tcp_info.facts(ours) == Facts(True, False, 5, None, None)

    def test_kernel_says_nothing(self) -> None:
        """A socket that it has no answer for is as good as dead."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            assert not tcp_info.facts(listening).alive


class TestDiscard:
    def test_part(self, pair: Pair) -> None:
        """So many bytes go, the others wait."""
        ours, client = pair
        client.sendall(b"request" + b"next")

        assert tcp_info.discard(ours, 7) == 7
        assert ours.recv(100) == b"next"

    def test_there_is_less(self, pair: Pair) -> None:
        """It waits for nothing."""
        ours, client = pair
        ours.setblocking(True)
        client.sendall(b"abc")

        assert tcp_info.discard(ours, 100_000) == 3
        assert tcp_info.discard(ours, 100_000) == 0


class TestReset:
    def test_another_process_has_a_copy(self, pair: Pair) -> None:
        """The client is told at once."""
        ours, client = pair
        with ours.dup():
            tcp_info.reset(ours)

            with pytest.raises(ConnectionResetError):
                client.recv(1)
