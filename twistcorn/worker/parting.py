"""The end of a connection's descriptor, which the application may have closed or replaced meanwhile.

Law: a number that is no longer ours is somebody else's: it is neither shut down nor closed.
"""

from __future__ import annotations

import contextlib

from twisted.logger import Logger

from ..pristine import os, select, socket
from . import failing

_log = Logger()


def refuse_if_known(descriptor: int, known: bool) -> None:
    """End the worker where the kernel gives a number away that a connection here has.

    A thread may be about to answer one client on it, and the next one would read that.
    """
    if known:
        os.close(descriptor)
        failing.fail(f"the application closed file descriptor {descriptor}, which was a client's")


def part(epoll: select.epoll, sock: socket.socket, shut: bool) -> None:
    """Let go of our copy.

    :param shut: end the connection as well.
    """
    descriptor = sock.fileno()
    try:
        epoll.unregister(descriptor)
    except OSError:
        sock.detach()
        _log.error(
            "the application closed file descriptor {number}, which was a client's: that connection ends",
            number=descriptor,
        )
        return
    if shut:
        # Also a process forked by the app may have a copy: without this the client would never see the end.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()
