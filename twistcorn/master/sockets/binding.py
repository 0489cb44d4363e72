"""Binds the address of an endpoint string, or says why it cannot; releases it again.

Law: binds and releases sockets; the caller decides what is done with them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from ...errors import AddressError

#: Seconds that a live server has to answer on a UNIX socket with this path.
PROBE_SECONDS = 1.0


def bind(reactor: Any, description: str, backlog: int, factory: IProtocolFactory) -> Deferred[Any]:
    """Bind and listen; fires with Twisted's port, which accepts for the factory.

    :param description: the endpoint string.
    :raises AddressError: (in the Deferred) the address is taken, forbidden or malformed.
    """
    bound = maybeDeferred(_listen, reactor, description, backlog, factory)
    return bound.addErrback(_refused, description)


def _listen(reactor: Any, description: str, backlog: int, factory: IProtocolFactory) -> Any:
    kind = description.partition(":")[0]
    if kind == "unix":
        _clear_stale_socket(_unix_path(description))
    if kind in ("tcp", "tcp6", "unix") and "backlog=" not in description:
        description += f":backlog={backlog}"
    return serverFromString(reactor, description).listen(factory)


def _refused(failure: Failure, description: str) -> None:
    reason: Any = failure.value
    if isinstance(reason, error.CannotListenError):
        reason = reason.socketError
    if isinstance(reason, AddressError):
        raise reason
    if isinstance(reason, OSError):
        text = os.strerror(reason.errno) if reason.errno else str(reason)
    elif description.startswith("systemd:") and isinstance(reason, IndexError | KeyError | ValueError):
        text = "systemd passed no such socket (LISTEN_FDS, LISTEN_FDNAMES)"
    else:
        text = str(reason)
    raise AddressError(f"cannot listen on {description.removesuffix(':lockfile=0')}: {text}")


def release(port: Any, description: str) -> Deferred[None]:
    """Stop listening; a UNIX socket's file goes."""
    if description.startswith("systemd:"):
        # Its file, if it has one, is not ours to remove, as Twisted would.
        port.stopReading()
        port.socket.close()
        return maybeDeferred(lambda: None)
    return maybeDeferred(port.stopListening).addErrback(_file_was_gone, port.socket)


def _file_was_gone(failure: Failure, sock: socket.socket) -> None:
    """The file of a UNIX socket was removed by another process; Twisted stops there, so close the socket here."""
    failure.trap(FileNotFoundError)
    sock.close()


def address(sock: socket.socket) -> tuple[int, str, int]:
    """Family, host or path, and port (0 on UNIX) of a bound socket."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return sock.family, os.fsdecode(name), 0
    return sock.family, name[0], name[1]


def shown(family: int, host: str, port: int) -> str:
    """An address as an operator would type it into a browser or a proxy's configuration."""
    if family == socket.AF_UNIX:
        return f"unix:{host}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unix_path(description: str) -> str:
    """The path of a `unix:` endpoint: its first argument, or the one named address; a colon in it has a backslash."""
    arguments = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", description)[1:]]
    named = [argument.removeprefix("address=") for argument in arguments if argument.startswith("address=")]
    return (named or arguments)[0]


def _clear_stale_socket(path: str) -> None:
    """Remove the stale socket file of a killed master.

    :raises AddressError: a server answers on it, or the file is not a socket.
    """
    if path.startswith("\0"):
        return
    if not os.path.isdir(folder := os.path.dirname(path) or "."):
        raise AddressError(f"cannot listen on unix:{path}: {folder}: {os.strerror(errno.ENOENT)}")
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise AddressError(f"cannot listen on unix:{path}: the path exists and is not a socket")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except PermissionError:
            raise AddressError(f"cannot listen on unix:{path}: {os.strerror(errno.EACCES)}") from None
        except OSError:
            # A full backlog does not refuse (EAGAIN), nor does a busy server time out for being absent.
            pass
    raise AddressError(f"cannot listen on unix:{path}: {os.strerror(errno.EADDRINUSE)}")
