"""Answers that never end, end badly, or end their connection."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.hostile.conftest import Serve
from tests.integration.client import Client
from tests.integration.command import said
from tests.integration.harness import Server

#: Bodies that never end, one for each way to make one; and what says that one has ended.
ENDLESS = """
import time

def pieces(piece):
    print("begun", flush=True)
    try:
        while True:
            time.sleep(0.001)
            yield piece
    finally:
        print("ended", flush=True)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    status = path[1:4] + " A" if path[1:4].isdigit() else "200 OK"
    write = start_response(status, [])
    if path.endswith("write"):
        try:
            while True:
                write(b"a")
        finally:
            print("ended", flush=True)
    if path == "/good":
        return [b"good"]
    return pieces(b"" if path.endswith("empty") else b"a")
"""
CLOSES = """
class Body:
    def __init__(self, *pieces):
        self.pieces = pieces
    def __iter__(self):
        return iter(self.pieces)
    def close(self):
        raise KeyError("at the end")

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")] if environ["PATH_INFO"] == "/length" else [])
    return Body(b"go", b"od")
"""


@pytest.mark.parametrize("kind", ["pieces", "empty", "write"])
def test_heads_of_endless_bodies_hold_no_thread(serve: Serve, kind: str) -> None:
    """More of them than there are threads are answered, on connections that go on; so are 204 and 304."""
    server = serve(ENDLESS, "--threads", "2").ready()
    with server.connect() as client:
        for method, path in [("HEAD", "/")] * 4 + [("GET", "/204/"), ("GET", "/304/")] * 2:
            client.ask(path + kind, method)
            client.response(method)
        assert client.get("/good").body == b"good"
    server.wait_for("ended", count=8)


@pytest.mark.parametrize("kind", ["pieces", "empty", "write"])
def test_a_client_that_resets_ends_what_never_ends(serve: Serve, kind: str) -> None:
    """Its iteration is closed, also where nothing would be sent that could show it."""
    server = serve(ENDLESS, "--threads", "2", "--request-timeout", "0").ready()
    for number in range(2):
        client = server.connect()
        client.ask("/" + kind)
        if kind == "empty":
            server.wait_for("begun", count=number + 1)
        else:
            client.read_to(b"a\r\n")
        reset(client)
    server.wait_for("ended", count=2)
    assert server.get("/good") == "good"


def test_the_request_timeout_ends_empty_pieces(serve: Serve) -> None:
    """They say nothing, so the time goes on: 504."""
    server = serve(ENDLESS, "--request-timeout", "0.3", tracebacks=True).ready()
    with server.connect() as client:
        assert client.get("/empty").status == 504
    server.wait_for("ended")


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_close_that_raises_takes_no_answer_back(serve: Serve, path: str) -> None:
    """The answer is whole, the connection goes on, and the log has the exception."""
    server = serve(CLOSES, tracebacks=True).ready()
    with server.connect() as client:
        assert [client.get(path).body for _ in range(3)] == [b"good"] * 3
    server.wait_for("at the end", count=3)


@pytest.mark.parametrize("asked", ["", "Connection: keep-alive\r\n"])
def test_an_answer_says_that_it_is_the_last(serve: Serve, asked: str) -> None:
    """With --keep-alive 0, given or set while the server runs; and no longer once that is taken back."""
    server = serve(ENDLESS, "--keep-alive", "0").ready()
    assert is_last(server, asked)
    said(server, "set", "keep-alive", "5s")
    assert not is_last(server, asked)
    said(server, "set", "keep-alive", "0")
    assert is_last(server, asked)


def is_last(server: Server, asked: str) -> bool:
    """Whether an answer says that its connection ends, which is what then happens."""
    with server.connect() as client:
        answer = client.get("/good", asked)
        said = answer.headers.get("connection", "") == "close"
        if said:
            assert client.ended()
        else:
            assert client.get("/good").body == b"good"
    return said


def reset(client: Client) -> None:
    """End a connection with a reset, as one that was aborted."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
