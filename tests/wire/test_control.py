"""The claims of twistcorn.wire.control: where the socket is, and what a line is."""

from __future__ import annotations

import json
import os
import socket

from twistcorn.wire.control import default_paths, encode, peer_of


def test_default_places() -> None:
    """The session's directory first, then the user's, then the system's."""
    assert default_paths({"XDG_RUNTIME_DIR": "/tmp/x/"}, 7) == [
        "/tmp/x/twistcorn.sock", "/run/user/7/twistcorn.sock", "/run/twistcorn.sock",
    ]  # fmt: skip
    assert default_paths({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == [
        "/run/user/7/twistcorn.sock", "/run/twistcorn.sock",
    ]  # fmt: skip


def test_never_the_working_directory() -> None:
    """A relative path in the environment, or none, is not used."""
    for environ in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "run"}, {"XDG_RUNTIME_DIR": "."}):
        assert default_paths(environ, 0) == ["/run/user/0/twistcorn.sock", "/run/twistcorn.sock"]


def test_a_line_has_one_newline() -> None:
    """Any content survives, and the line is ASCII."""
    value = {"text": "a\nb\x1b[2J é \ud800"}
    line = encode(value)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line[:-1].decode("ascii").isprintable()
    assert json.loads(line) == value


def test_peer() -> None:
    """The kernel says who is at the other end."""
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == (os.getpid(), os.getuid())
