"""Asks the kernel once, at the start, whether it can do what the server relies on.

Law: tries each ability on its own sockets and files, closes them, and decides nothing: `policy.abilities` does. All of
it takes some milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping

from ..policy.abilities import Ability
from ..policy.redo import Facts
from ..wire import channel
from ..wire.scoreboard import Scoreboard
from .sockets import tcp_info

#: Milliseconds that something may take to arrive over loopback, which it usually does at once.
ARRIVAL_MILLISECONDS = 1000


def try_channel() -> bool:
    """A descriptor arrives with the message that it was sent with, and messages stay apart."""
    with contextlib.ExitStack() as stack:
        ours, theirs = map(stack.enter_context, channel.pair())
        lends = [channel.Lend(1, 2, 3), channel.Lend(4, 5, 6)]
        for lend in lends:
            channel.send_lends(ours, [ours.fileno()], [lend])
        inode = os.fstat(ours.fileno()).st_ino
        for lend in lends:
            descriptors, received = channel.receive_lends(theirs)
            for descriptor in descriptors:
                stack.callback(os.close, descriptor)
            if received != [lend] or [os.fstat(each).st_ino for each in descriptors] != [inode]:
                return False
    return True


def try_memory() -> bool:
    """A store through one mapping of a memory file shows in another."""
    with contextlib.closing(Scoreboard.create(1, 1)) as board:
        other = Scoreboard(os.dup(board.fd), 1, 1)
        with contextlib.closing(other):
            board.words[1] = 77
            return other.words[1] == 77


def try_edges() -> bool:
    """An edge is reported once, and again when the descriptor is rearmed."""
    ours, theirs = socket.socketpair()
    mask = select.EPOLLIN | select.EPOLLET
    with ours, theirs, select.epoll() as epoll:
        epoll.register(ours, mask)
        theirs.send(b"x")
        told = [bool(epoll.poll(ARRIVAL_MILLISECONDS / 1000)), bool(epoll.poll(0))]
        epoll.modify(ours, mask)
        return [*told, bool(epoll.poll(ARRIVAL_MILLISECONDS / 1000))] == [True, False, True]


def try_unread() -> bool:
    """FIONREAD counts unread bytes, peeked ones included."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"hello")
        ours.recv(3, socket.MSG_PEEK)
        before = tcp_info.unread(ours)
        ours.recv(3)
        return (before, tcp_info.unread(ours)) == (5, 2)


def try_counts() -> bool:
    """The kernel counts bytes read from and written to a TCP stream exactly."""
    with _tcp() as (ours, client):
        found = [tcp_info.facts(ours)]
        client.send(b"hello")
        _await(ours)
        found.append(tcp_info.facts(ours))
        ours.recv(3)
        ours.send(b"answers")
        found.append(tcp_info.facts(ours))
        return found == [
            Facts(True, False, 0, 0, 0),
            Facts(True, False, 5, 0, 0),
            Facts(True, False, 2, 7, 3),
        ]


def try_reset() -> bool:
    """The client sees a reset at once, though a copy of the connection is open."""
    with _tcp() as (ours, client), ours.dup():
        tcp_info.reset(ours)
        _await(client)
        try:
            client.recv(1, socket.MSG_DONTWAIT)
        except ConnectionResetError:
            return True
        return False


TRIALS: Mapping[Ability, Callable[[], bool]] = {
    Ability.CHANNEL: try_channel, Ability.MEMORY: try_memory, Ability.EDGES: try_edges,
    Ability.UNREAD: try_unread, Ability.COUNTS: try_counts, Ability.RESET: try_reset,
}  # fmt: skip


def missing(trials: Mapping[Ability, Callable[[], bool]] = TRIALS) -> list[Ability]:
    """The abilities that this kernel lacks; one that cannot be tried counts as missing."""
    failed = []
    for ability, works in trials.items():
        try:
            if works():
                continue
        except OSError:
            pass
        failed.append(ability)
    return failed


@contextlib.contextmanager
def _tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection over loopback: the server's, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), ARRIVAL_MILLISECONDS / 1000)
        with client:
            ours, _ = listening.accept()
            with ours:
                yield ours, client


def _await(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(ARRIVAL_MILLISECONDS)
