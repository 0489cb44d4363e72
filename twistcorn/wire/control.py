"""The control socket's conventions, shared by both ends: its default paths and the line format.

Law: opens no file and no socket; the environment is a parameter. Does not import Twisted, because `twistcorn` does not.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ..pristine import socket

#: Most bytes of a request with its line end. Answers have no limit: a list of connections is long.
MAX_REQUEST = 64 << 10
#: Most bytes of the path of a UNIX socket: `sun_path` has 108, one of them for the final NUL (unix(7)).
MAX_PATH = 107
NAME = "twistcorn.sock"
#: The value of the setting `control` for no socket.
OFF = "off"
#: struct ucred: pid, uid, gid (unix(7)).
_UCRED = struct.Struct("3i")


class Peer(NamedTuple):
    """The process at the other end of a UNIX socket, from the kernel; its pid is 0 if in another namespace."""

    pid: int
    uid: int


def peer_of(sock: socket.socket) -> Peer:
    """The process that connected; at the client's end, the one that listens."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def default_paths(environ: Mapping[str, str], uid: int) -> list[str]:
    """The default paths of the socket, the best first; never in a working directory.

    The command tries all of them: a server started by the system has no $XDG_RUNTIME_DIR, a shell may have one.
    """
    folders = [environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}", "/run"]
    # The XDG Base Directory Specification: ignore a relative path.
    return list(dict.fromkeys(f"{folder.rstrip('/')}/{NAME}" for folder in folders if folder.startswith("/")))


def encode(value: object) -> bytes:
    """A line: JSON in ASCII, safe for any terminal and encoding."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
