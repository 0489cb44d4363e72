"""Whether a client is still connected while nothing is sent to it.

Law: one check that does not wait. A client that has only shut down its sending side may still read: it is not gone.
"""

from __future__ import annotations

import contextlib

from ...pristine import select, socket

#: Keep-alive probes to a client that has shut down its sending side (tcp(7)): seconds until the first, seconds between
#: two, and the number of unanswered ones that ends the connection.
ASK_AFTER_SECONDS, ASK_EVERY_SECONDS, ASK_TIMES = 1, 5, 6


def is_gone(sock: socket.socket) -> bool:
    """Whether no client can read what would be sent.

    A closed client looks like one that has only shut down its sending side, until something is sent to it. So the
    kernel probes it (SO_KEEPALIVE), and learns within a minute (tcp_fin_timeout) if it is closed.
    """
    look = select.poll()
    look.register(sock, select.POLLRDHUP)
    found = look.poll(0)
    events = found[0][1] if found else 0
    if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
        return True
    if events and sock.family != socket.AF_UNIX and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASK_AFTER_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_EVERY_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASK_TIMES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return False
