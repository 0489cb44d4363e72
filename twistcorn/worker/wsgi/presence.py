"""Whether a client that is being sent nothing is still there.

Law: one look, that does not wait. A client that has only ended its own side may still read, so that is not the end.
"""

from __future__ import annotations

import contextlib

from ...pristine import select, socket

#: Seconds until the kernel asks a client that has ended its side, then between two questions; how many unanswered ones
#: are the end (tcp(7)).
ASK_AFTER_SECONDS, ASK_EVERY_SECONDS, ASK_TIMES = 1, 5, 6


def is_gone(sock: socket.socket) -> bool:
    """Whether nobody can read any more what would be sent.

    A client that has closed its connection looks like one that has ended its side alone until something is sent to it:
    from then on the kernel asks (SO_KEEPALIVE), and is told within a minute that nobody is there (tcp_fin_timeout).
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
