"""A client of the control socket: finds a server, sends commands, receives answers.

Law: does not import Twisted, so that commands start at once. Each error is one line for the operator.
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

#: Time-out for an answer; under full load it takes some milliseconds.
ANSWER_SECONDS = 10.0
#: Time-out for the server's process to exit after it has closed its connections.
EXIT_SECONDS = 10.0
_READ_BYTES = 1 << 16

JSON = dict[str, Any]


def connect(control: str, environ: Mapping[str, str], uid: int) -> Client:
    """Connect to the server at this path, or, if empty, at one of the default paths.

    :raises UnreachableError: nothing listens there, or access is denied.
    """
    if control == OFF:
        raise UnreachableError("--control off: no control socket to connect to")
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

    :raises OSError: it cannot connect.
    :ivar path: the socket's path.
    :ivar pid: of the server; 0 if it is in another namespace.
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
        """Close the connection."""
        self._sock.close()

    def fileno(self) -> int:
        """For select(2)."""
        return self._sock.fileno()

    def ask(self, command: str, *, time: float | None = ANSWER_SECONDS, **arguments: object) -> Any:
        """Send a command, and wait for the answer.

        :param time: seconds to wait for the answer; None: no limit.
        :raises OperationError: the server refused, or did not answer in time.
        """
        self.send(command, **arguments)
        return result(self.receive(time))

    def send(self, command: str, **arguments: object) -> None:
        """Send a command; `receive` or `arrived` returns the answer."""
        # A server that refuses a connection has sent the reason and closed it.
        with contextlib.suppress(BrokenPipeError):
            self._sock.sendall(encode({"command": command, **arguments}))

    def receive(self, time: float | None = None) -> JSON:
        """The next line.

        :param time: seconds to wait for it; None: no limit.
        :raises OperationError: no line came in time.
        """
        self._sock.settimeout(time)
        while b"\n" not in self._unread:
            try:
                self._read()
            except TimeoutError:
                raise OperationError(f"no answer from the server (pid {self.pid}) within {time:g} s") from None
        return self._line()

    def arrived(self) -> list[JSON]:
        """The lines that have arrived; call this when the socket is readable.

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
        """Stop the server, and wait until its process is gone; the server limits how long that takes.

        :raises OperationError: the server refused.
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
        """A pidfd, readable once the server's process is gone (pidfd_open(2)); None if not available."""
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None


def result(answer: JSON) -> Any:
    """The result in an answer.

    :raises OperationError: the server refused the command.
    """
    if answer.get("ok") is not True:
        raise OperationError(str(answer.get("error", "the server gave no reason")), str(answer.get("detail", "")))
    return answer.get("result")
