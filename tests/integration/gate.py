"""A gate between a test and the application that it serves: the application says that it is there, and waits.

Law: what the test knows about the application's progress it knows from here, not from a clock.
"""

from __future__ import annotations

import contextlib
import socket
import time
import uuid

TIMEOUT = 20.0


class Visitor:
    """One call of the application, or one import of it, that waits at the gate.

    :ivar name: which it is.
    :ivar pid: the process that it is in.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        name, pid = sock.makefile("r").readline().split()
        self.name = name
        self.pid = int(pid)

    def release(self) -> None:
        """Let it go on."""
        with contextlib.suppress(BrokenPipeError):
            self._sock.sendall(b"!")

    def wait_for_end(self) -> None:
        """Wait until it is there no more: it was not released, so its process died."""
        assert self._sock.recv(1) == b"", f"{self.name} is still there"

    def close(self) -> None:
        """Release it."""
        self._sock.close()


class Gate:
    """The test's side; the application's is `probe.wait`.

    :ivar name: for the application, in the environment variable GATE.
    """

    def __init__(self) -> None:
        # In the abstract namespace: there is no file to remove and no path to be too long.
        self.name = f"twistcorn-test-{uuid.uuid4().hex}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind("\0" + self.name)
        self._listener.listen(128)
        self._waiting: list[Visitor] = []
        self._known: list[Visitor] = []

    def visitor(self, name: str, timeout: float = TIMEOUT) -> Visitor:
        """The next one of this name, as soon as it is at the gate."""
        deadline = time.monotonic() + timeout
        while True:
            for visitor in self._waiting:
                if visitor.name == name:
                    self._waiting.remove(visitor)
                    return visitor
            self._listener.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                raise AssertionError(f"{name} did not come to the gate within {timeout:g} s") from None
            sock.settimeout(TIMEOUT)
            visitor = Visitor(sock)
            self._waiting.append(visitor)
            self._known.append(visitor)

    def close(self) -> None:
        """Let everybody go on."""
        self._listener.close()
        for visitor in self._known:
            visitor.close()
