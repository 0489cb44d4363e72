"""The control socket as both of its ends know it: where it is looked for, and what a line is.

Law: opens nothing; the environment is a parameter. Imports nothing of Twisted, because the command `twistcorn` does not
either.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ..pristine import socket

#: Most bytes of a request with its end of line. Answers have no such limit: a list of connections is long.
MAX_REQUEST = 64 << 10
#: Most bytes of the path of a UNIX socket: `sun_path` has 108, and one is for the end (unix(7)).
MAX_PATH = 107
NAME = "twistcorn.sock"
#: The value of the setting `control` that means: no socket.
OFF = "off"
#: struct ucred: pid, uid, gid (unix(7)).
_UCRED = struct.Struct("3i")


class Peer(NamedTuple):
    """Who is at the other end of a UNIX socket, as the kernel says; the pid is 0 in another namespace."""

    pid: int
    uid: int


def peer_of(sock: socket.socket) -> Peer:
    """Who connected; at the client's end, who listens."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def default_paths(environ: Mapping[str, str], uid: int) -> list[str]:
    """Where the socket is when nobody says, the best place first; a working directory is never among them.

    The command looks in all of them: a server that the system starts has no $XDG_RUNTIME_DIR, a shell may have one.
    """
    folders = [environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}", "/run"]
    # The XDG Base Directory Specification: a relative path is to be ignored.
    return list(dict.fromkeys(f"{folder.rstrip('/')}/{NAME}" for folder in folders if folder.startswith("/")))


def encode(value: object) -> bytes:
    """A line: JSON in ASCII, on which no terminal and no encoding has any effect."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
