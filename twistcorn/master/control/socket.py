"""The control socket: its file, and who may connect.

Law: the file has mode 0600 from its creation, is never taken from a live server, and is removed at the end. Only root
and the master's user may connect, by the kernel's SO_PEERCRED, whatever the file's permissions become.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from ...errors import OperationError
from ...logs.logger import Logger
from ...wire.control import MAX_PATH, default_paths, peer_of
from .commands import ControlCommands
from .session import Session

#: Concurrent connections: people and scripts. Each holds at most one long answer in memory.
MAX_CLIENTS = 64
#: Connections that the kernel queues.
BACKLOG = 64
#: Until accept(2) is retried when no descriptor is left.
ACCEPT_RETRY_SECONDS = 1.0
#: Two servers that start at once check for an existing socket, and replace it, one after the other; each takes less
#: than a millisecond. Tries, and the seconds between them.
_LOCK_TRIES, _LOCK_RETRY_SECONDS = 20, 0.005


def place(environ: Mapping[str, str], uid: int) -> str:
    """The default path of the socket: in the first default directory that exists and is writable.

    :raises OperationError: none is.
    """
    paths = default_paths(environ, uid)
    for path in paths:
        if os.access(os.path.dirname(path), os.W_OK | os.X_OK):
            return path
    folders = ", ".join(os.path.dirname(path) for path in paths)
    raise OperationError(f"no writable directory among {folders}; set --control PATH, or --control off")


def claim(path: str) -> socket.socket:
    """A listening socket at this path; a dead server's is replaced.

    :raises OperationError: why it cannot be created.
    """
    if len(os.fsencode(path)) > MAX_PATH:
        raise OperationError(f"path too long: a socket path has at most {MAX_PATH} bytes; set a shorter --control PATH")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # bind(2) gives the file the socket's own mode, less the umask: it is private from its creation.
        os.fchmod(sock.fileno(), 0o600)
        with _one_at_a_time(os.path.dirname(path)):
            _clear(path)
            sock.bind(path)
            sock.listen(BACKLOG)
    except OSError as problem:
        sock.close()
        raise OperationError(str(problem.strerror)) from None
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def _one_at_a_time(folder: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_RETRY_SECONDS)
        # A lock that another process keeps is no reason to go without a socket: then bind(2) decides.
        yield
    finally:
        os.close(descriptor)


def _clear(path: str) -> None:
    """Remove the socket of a dead server."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OperationError("the file exists and is not a socket; set another --control PATH")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
            who = f"in use by a running server (pid {peer_of(probe).pid})"
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            who = "in use by a running server, which is busy"
    raise OperationError(f"{who}; set another --control PATH for this one")


class Control(FileDescriptor):
    """Accepts clients.

    :param path: absolute; the constructor creates the file.
    :raises OperationError: why the socket cannot be created.
    """

    log = Logger()

    def __init__(self, reactor: Any, path: str, clerk: ControlCommands) -> None:
        super().__init__(reactor)
        self.path = path
        self._clock = reactor
        self._clerk = clerk
        self._sock = claim(path)
        self._file = _identity(path)
        self._sessions: set[Session] = set()
        self.startReading()

    def fileno(self) -> int:
        return self._sock.fileno()

    def doRead(self) -> None:
        """Accept one client; others follow in the next round of the reactor."""
        try:
            accepted, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # No descriptor is left.
            self.stopReading()
            self._clock.callLater(ACCEPT_RETRY_SECONDS, self._again)
            return
        with accepted:
            accepted.setblocking(False)
            peer = peer_of(accepted)
            if peer.uid in (0, os.geteuid()):
                self._welcome(accepted)
            else:
                self.log.warn("control socket: refused user {uid} (pid {pid})", uid=peer.uid, pid=peer.pid)

    def _again(self) -> None:
        if self._sock.fileno() >= 0:
            self.startReading()

    def _welcome(self, accepted: socket.socket) -> None:
        session = Session(self._clerk, self._sessions.discard)
        many = len(self._sessions) >= MAX_CLIENTS
        self._sessions.add(session)
        factory = Factory.forProtocol(lambda: session)
        factory.noisy = False
        self._clock.adoptStreamConnection(accepted.fileno(), socket.AF_UNIX, factory)
        if many:
            session.refuse(f"too many clients: at most {MAX_CLIENTS}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """An error on the socket itself, or the end of the reactor."""
        self.close()

    def close(self) -> None:
        """Stop listening, and remove the file if it is still this server's.

        A client that asked the server to stop waits for that: its connection ends with the process.
        """
        self.stopReading()
        if self._sock.fileno() >= 0 and _identity(self.path) == self._file:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._sock.close()
        for session in list(self._sessions):
            if not session.stops:
                session.close()


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file; None: no such file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_control(reactor: Any, path: Callable[[], str], clerk: ControlCommands) -> Control | None:
    """The control socket, or None and a warning: the server serves without it.

    :param path: returns the path; raises `OperationError` when there is none.
    """
    where = ""
    try:
        where = os.path.abspath(path())
        control = Control(reactor, where, clerk)
    except OperationError as problem:
        Control.log.warn("no control socket{at}: {why}", at=f" at {where}" if where else "", why=str(problem))
        return None
    Control.log.info("control socket: {path}", path=where)
    return control
