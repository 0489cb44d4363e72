"""Many connections that have had an answer each and then do nothing.

Law: blocking sockets, loopback, one after the other; all are closed when the ``with`` block ends.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

from bench.command import BenchError
from bench.workloads import Workload

#: A server that does not answer within this has no room for the connection.
PATIENCE = 1.0
#: So many without room, and there is none.
ENOUGH = 5
#: One whose work grows with the connections it has may need longer for all of them; then it holds so many.
OPENING = 60.0
#: Descriptors beside the connections, in the server and here.
OTHERS = 500


def raise_limit(connections: int) -> None:
    """Let this process, and the servers it starts, have so many descriptors."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < connections + OTHERS:
        raise BenchError(
            f"{connections} connections need a limit of {connections + OTHERS} open files, it is {hard}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ask(port: int, workload: Workload) -> socket.socket | None:
    """A connection that has had its answer; ``None`` when there is no room for it."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    received = b""
    try:
        sock.connect(("127.0.0.1", port))
        sock.sendall(workload.request(workload.case.path))
        while not received.endswith(workload.case.body):
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionError("closed before the answer's end")
            received += piece
    except OSError:
        sock.close()
        return None
    sock.setblocking(False)
    return sock


def is_open(sock: socket.socket) -> bool:
    """Whether the server has not closed the connection."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def idle(port: int, workload: Workload, connections: int) -> Iterator[list[socket.socket]]:
    """Open as many as there is room, and time, for."""
    held: list[socket.socket] = []
    refused = 0
    try:
        end = time.monotonic() + OPENING
        while len(held) < connections and refused < ENOUGH and time.monotonic() < end:
            sock = ask(port, workload)
            if sock is None:
                refused += 1
            else:
                held.append(sock)
        yield held
    finally:
        for sock in held:
            sock.close()
