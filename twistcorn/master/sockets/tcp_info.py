"""The kernel's view of a connection, and the operations that only the kernel can do.

Law: reads and acts on sockets that no worker uses any more; keeps nothing and decides nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct
import termios

from ...policy.redo import Facts

# struct tcp_info (linux/tcp.h): the state, and the counters that the redo log is compared with.
_STATE = 0
_BYTES_RECEIVED = 128
_NOTSENT_BYTES = 144
#: Bytes sent, and behind it bytes sent again.
_BYTES_SENT = 200
_TCP_INFO_SIZE = 216
#: States of a connection that can be answered: not ended, or only by the client (include/net/tcp_states.h).
_ESTABLISHED, _CLOSE_WAIT = 1, 8

#: Bytes dropped per call.
_SCRATCH_BYTES = 65536

#: A pair of reads takes some microseconds; no client sends between all of these.
_MAX_READS = 100

_libc = ctypes.CDLL(None, use_errno=True)


def facts(sock: socket.socket) -> Facts:
    """What the kernel knows; a broken socket is not alive."""
    try:
        waiting = unread(sock)
        if sock.family == socket.AF_UNIX:
            return Facts(True, False, waiting, None, None)
        waiting, info = _at_one_time(sock, waiting)
    except OSError:
        return Facts(False, True, 0, None, None)
    if len(info) < _TCP_INFO_SIZE:
        # A kernel older than 4.19 does not count retransmits.
        return Facts(info[_STATE] in (_ESTABLISHED, _CLOSE_WAIT), False, waiting, None, None)
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED)
    sent, again = struct.unpack_from("=QQ", info, _BYTES_SENT)
    (unsent,) = struct.unpack_from("=I", info, _NOTSENT_BYTES)
    ended = info[_STATE] == _CLOSE_WAIT
    return Facts(
        alive=ended or info[_STATE] == _ESTABLISHED,
        ended=ended,
        unread=waiting,
        # What was sent once more is not more; what was not sent yet is, because it will be.
        written=sent - again + unsent,
        # The end of the client's stream counts as a byte.
        consumed=received - waiting - ended,
    )


def _at_one_time(sock: socket.socket, waiting: int) -> tuple[int, bytes]:
    """Unread bytes, and TCP_INFO of the same moment: what arrives in between would pass for taken."""
    for _ in range(_MAX_READS):
        before, info = waiting, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        waiting = unread(sock)
        if waiting == before:
            break
    return waiting, info


def unread(sock: socket.socket) -> int:
    """Bytes that wait to be read.

    :raises OSError: the socket is closed.
    """
    (size,) = struct.unpack("=i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
    return int(size)


def discard(sock: socket.socket, most: int) -> int:
    """Read and drop up to `most` of the bytes that wait; returns how many those were."""
    left = most
    with contextlib.suppress(OSError):
        while left > 0 and (size := len(sock.recv(min(left, _SCRATCH_BYTES), socket.MSG_DONTWAIT))):
            left -= size
    return most - left


def reset(sock: socket.socket) -> None:
    """Send a reset now, whatever copies exist: connect(2) to AF_UNSPEC. SO_LINGER would wait for the last copy."""
    address = struct.pack("=H14x", socket.AF_UNSPEC)
    _libc.connect(sock.fileno(), address, len(address))
