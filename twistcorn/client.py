"""A client of the control socket: finds a server, asks, hears the answer.

Law: no Twisted, so that a command starts at once. Each problem is one line for the operator.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Mapping
from typing import Any

from .errors import OperationError, UnreachableError
from .wire.control import OFF, default_paths, encode, peer_of

#: For a server that answers at all; under full load it takes some milliseconds.
ANSWER_SECONDS = 10.0
#: For a process that has ended its connections to be gone.
EXIT_SECONDS = 10.0
_READ_BYTES = 1 << 16

JSON = dict[str, Any]


def connect(control: str, environ: Mapping[str, str], uid: int) -> Client:
    """A client of the server at this place, or, when it is empty, at one of the default ones.

    :raises UnreachableError: nothing listens there, or nobody may speak.
    """
    if control == OFF:
        raise UnreachableError("--control off: there is no control socket")
    paths = [control] if control else default_paths(environ, uid)
    problems = []
    for path in paths:
        try:
            return Client(path)
        except OSError as error:
            if control and not isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
                raise OperationError(f"{path}: {_reason(error)}") from None
            problems.append(f"{path} ({_reason(error)})")
    raise UnreachableError(
        f"no server at {', '.join(problems)}: start it, or name its control socket with --control PATH or"
        " TWISTCORN_CONTROL"
    )


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied: only root and the user of the server may connect"
    return error.strerror or str(error)


class Client:
    """One connection.

    :raises OSError: it cannot be made.
    :ivar path: where.
    :ivar pid: of the server; 0 when it is in another namespace.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._unread = b""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.settimeout(ANSWER_SECONDS)
            self._sock.connect(path)
            self.pid = peer_of(self._sock).pid
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    def fileno(self) -> int:
        """For select(2)."""
        return self._sock.fileno()

    def ask(self, command: str, *, time: float | None = ANSWER_SECONDS, **arguments: object) -> Any:
        """Ask, and wait for the answer.

        :param time: for the answer; None: whatever it takes.
        :raises OperationError: it was refused, or no answer came.
        """
        self.send(command, **arguments)
        return result(self.receive(time))

    def send(self, command: str, **arguments: object) -> None:
        """Ask; the answer comes by `receive` or `arrived`."""
        # A server that refuses a connection has ended it, and has said why.
        with contextlib.suppress(BrokenPipeError):
            self._sock.sendall(encode({"command": command, **arguments}))

    def receive(self, time: float | None = None) -> JSON:
        """The next line.

        :param time: for it to come; None: whatever it takes.
        :raises OperationError: none came.
        """
        self._sock.settimeout(time)
        while b"\n" not in self._unread:
            try:
                self._read()
            except TimeoutError:
                raise OperationError(f"no answer from the server (pid {self.pid}) within {time:g} s") from None
        return self._line()

    def arrived(self) -> list[JSON]:
        """The lines that are there, when there is something to read.

        :raises OperationError: the server is gone.
        """
        self._read()
        lines = []
        while b"\n" in self._unread:
            lines.append(self._line())
        return lines

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise OperationError("the server closed the connection")
        self._unread += data

    def _line(self) -> JSON:
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
            assert isinstance(answer, dict)
        except (ValueError, AssertionError):
            raise OperationError(f"not a twistcorn server: invalid answer at {self.path}") from None
        return answer

    def stop(self, quick: bool) -> None:
        """Stop the server, and wait until its process is gone; it sets itself a time for that.

        :raises OperationError: it was refused.
        """
        process = self._process()
        try:
            self.ask("stop", quick=quick)
            with contextlib.suppress(OperationError):
                while True:
                    self.receive()
            if process is not None and not select.select([process], [], [], EXIT_SECONDS)[0]:
                raise OperationError(f"the server has stopped, but its process (pid {self.pid}) is still running")
        finally:
            if process is not None:
                os.close(process)

    def _process(self) -> int | None:
        """A descriptor that can be read when the server's process is gone (pidfd_open(2)); None where there is none."""
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None


def result(answer: JSON) -> Any:
    """The result in an answer.

    :raises OperationError: it is a refusal.
    """
    if answer.get("ok") is not True:
        raise OperationError(str(answer.get("error", "the server gave no reason")), str(answer.get("detail", "")))
    return answer.get("result")
