"""Opens and closes the descriptors of connections, which the application may have closed or replaced meanwhile.

Law: a number that is no longer ours belongs to other code: it is neither shut down nor closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import struct

from twisted.logger import Logger

from ...pristine import os, select, socket
from ..process import failing
from .connection import Connection
from .phases import Phase

_log = Logger()
_connect = ctypes.CDLL(None).connect


def check_known(known: Connection, descriptor: int) -> None:
    """Handle a new descriptor with the number of a known connection: the application closed that one.

    If a thread has that connection, end the worker: the thread may be about to send its answer to the new client.
    """
    if known.phase is Phase.TURN:
        os.close(descriptor)
        failing.fail(f"the application closed file descriptor {descriptor}, a client connection")
    known.stream.sock.detach()
    _log_closed(descriptor)


def take_descriptor(descriptor: int, family: int) -> socket.socket:
    """Make a socket of a received descriptor; closes it on failure."""
    try:
        # Without SOCK_NONBLOCK the socket gets the default time-out, which the application may have set.
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0, fileno=descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def part(epoll: select.epoll, sock: socket.socket, shut: bool) -> None:
    """Close our copy.

    :param shut: end the connection as well.
    """
    descriptor = sock.fileno()
    try:
        epoll.unregister(descriptor)
    except OSError:
        sock.detach()
        _log_closed(descriptor)
        return
    if shut:
        # A child that the application forked may have a copy: without this the client would never see the end.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def reset(sock: socket.socket) -> None:
    """Send a reset now, though the master has a copy: connect(2) to AF_UNSPEC. SO_LINGER would wait for the last copy.

    A UNIX socket has no resets, and stays as it is.
    """
    address = struct.pack("=H14x", socket.AF_UNSPEC)
    _connect(sock.fileno(), address, len(address))


def _log_closed(descriptor: int) -> None:
    _log.error(
        "the application closed file descriptor {number}, a client connection; that client is disconnected",
        number=descriptor,
    )
