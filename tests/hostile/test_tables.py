"""Tables that strangers fill: what is used stays fast, on the real program."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Client

#: `/known` and all below `/made` are there; an answer says whether its call ran on the leader's thread.
APP = """
import sys

def app(environ, start_response):
    frame, inline = sys._getframe(), False
    while frame is not None:
        inline |= frame.f_code.co_name == "run_inline"
        frame = frame.f_back
    path = environ["PATH_INFO"]
    there = path == "/known" or path.startswith("/made/")
    start_response("200 OK" if there else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"inline" if inline else b"pooled"]
"""
#: More than there is room for.
PATHS = 1500


def ask_for(client: Client, prefix: str) -> None:
    """Ask for paths that are new; digits would be identifiers."""
    words = [str(number).translate(str.maketrans("0123456789", "abcdefghij")) for number in range(PATHS)]
    for begin in range(0, PATHS, 50):
        asked = words[begin : begin + 50]
        client.send(b"".join(f"GET {prefix}{word} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for word in asked))
        for _ in asked:
            client.response()


@pytest.mark.parametrize("prefix", ["/nothing-", "/made/"])
def test_made_up_paths(serve: Serve, prefix: str) -> None:
    """Whether they are answered 404 or 200, a route that was known runs where it ran before, and so does a new one."""
    server = serve(APP, "--workers", "1").ready()
    with server.connect() as client:
        for _ in range(20):
            client.get("/known")
        ask_for(client, prefix)
        assert [client.get("/known").body for _ in range(20)] == [b"inline"] * 20
        assert [client.get("/made/later").body for _ in range(20)] == [b"inline"] * 20
