"""Answers that are cut: the client sees it, whatever cut them and however it finds their end."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.hostile.conftest import Serve
from tests.integration.harness import Server

#: What cuts an answer in its middle; `whole` is not cut.
SOURCE = """
import time

def pieces(how):
    yield b"begun"
    if how == "raise":
        raise KeyError("in the middle")
    if how in ("late", "killed"):
        while True:
            time.sleep(0.01)
    if how == "slow":
        while True:
            yield b"x" * 65536

def app(environ, start_response):
    how, _, length = environ["PATH_INFO"].strip("/").partition("/")
    start_response("200 OK", [("Content-Length", length)] if length else [])
    return pieces(how)
"""
WAYS = ["raise", "late", "slow", "killed"]
LONG = 1 << 40


def cut(server: Server, how: str, version: str, length: str = "") -> str:
    """Ask, and see how the answer ends: `reset`, or `end` where its last bytes are not there."""
    with server.connect() as client:
        if how == "slow":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.ask(f"/{how}/{length}", headers="Connection: close\r\n", version=version)
        head = client.read_to(b"\r\n\r\n")
        client.read_to(b"begun")
        if how == "killed":
            (worker,) = server.worker_pids
            os.kill(worker, signal.SIGKILL)
        if how == "slow":
            server.wait_for(rf'"GET /{how}/{length} HTTP/{version}" ')
        try:
            rest = client.rest()
        except ConnectionResetError:
            return "reset"
        assert b"chunked" in head or length
        assert not rest.endswith(b"0\r\n\r\n")
        return "end"


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("version", "length", "shown"),
    [("1.0", "", "reset"), ("1.1", "", "end"), ("1.0", str(LONG), "end"), ("1.1", str(LONG), "end")],
)
def test_client_can_tell(serve: Serve, how: str, version: str, length: str, shown: str) -> None:
    """By a reset, where nothing else shows where the answer ends; else in order, because a reset may get lost."""
    limits = {"late": ("--request-timeout", "0.3"), "slow": ("--write-timeout", "0.3")}.get(how, ())
    server = serve(SOURCE, *limits, "--access-log", "-", tracebacks=True).ready()
    assert cut(server, how, version, length) == shown


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_whole_answer_ends_in_order(serve: Serve, version: str) -> None:
    """Also one that nothing but its end delimits."""
    server = serve(SOURCE).ready()
    with server.connect() as client:
        client.ask("/whole/", headers="Connection: close\r\n", version=version)
        assert client.response().status == 200
        assert client.ended()
