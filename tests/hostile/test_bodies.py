"""Uploads and pipelines over real loopback TCP, in sizes and rhythms that fill the kernel's memory with parts of lines.

What is left in the kernel closes the receive window when it is the end of a large packet: then both sides would wait.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tests.hostile.conftest import COUNTS, Serve
from tests.integration.client import Client

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(size: int) -> bytes:
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize(("size", "step"), [(64, 4096), (64, 1000), (1, 65536), (15, 999), (16, 4096), (8192, 8200)])
def test_uploads_in_chunks(serve: Serve, size: int, step: int) -> None:
    """Chunks of any size, sent in pieces of any other, arrive: none of their lines waits in the kernel for its end."""
    server = serve(COUNTS).ready()
    total = 600_000 if size < 64 else 2_000_000
    for _ in range(3):
        with server.connect() as client:
            client.send(CHUNKED)
            for piece in pieces(chunk(size) * (total // size) + b"0\r\n\r\n", step):
                client.send(piece)
            answer = client.response()
            assert (answer.status, int(answer.body)) == (200, total // size * size)


@pytest.mark.parametrize("seed", range(5))
def test_uploads_in_jittered_chunks(serve: Serve, seed: int) -> None:
    """Each chunk is its own send, with its own size; trailers end the body."""
    server, chance = serve(COUNTS).ready(), random.Random(seed)
    for _ in range(10):
        sizes = [chance.choice((8192, 100, 3)) + chance.randrange(200) for _ in range(300)]
        with server.connect() as client:
            client.send(CHUNKED)
            for size in sizes:
                client.send(chunk(size))
            client.send(b"0\r\nX-Sum: " + b"a" * chance.randrange(4000) + b"\r\n\r\n")
            answer = client.response()
            assert (answer.status, int(answer.body)) == (200, sum(sizes))


def heads(chance: random.Random, count: int) -> bytes:
    return b"".join(
        b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Pad: %b\r\n\r\n" % (number, b"p" * chance.randrange(3000))
        for number in range(count)
    )


def send_in_pieces(client: Client, data: bytes, step: int) -> None:
    for piece in pieces(data, step):
        client.send(piece)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1000, 4096, 8192, 65536, 1 << 30])
def test_pipelined_requests(serve: Serve, step: int) -> None:
    """Thousands of requests at once, with heads of any size: each is answered, though the window closes in between."""
    server, count = serve(COUNTS).ready(), 3000
    with server.connect() as client:
        data = heads(random.Random(step), count)
        sender = threading.Thread(target=send_in_pieces, args=(client, data, step))
        sender.start()
        answers = [client.response().status for _ in range(count)]
        sender.join()
    assert answers == [200] * count


def drip(client: Client, size: int) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    for _ in range(size // 1000):
        client.send(b"X: ")
        for _ in range(994):
            client.send(b"a")
        client.send(b"\r\n")


@pytest.mark.slow
def test_heads_byte_by_byte(serve: Serve) -> None:
    """Clients that send the longest head byte by byte do not hold up the others."""
    server = serve(COUNTS, "--header-timeout", "60s").ready()
    slow = [server.connect() for _ in range(3)]
    senders = [threading.Thread(target=drip, args=(client, 30_000)) for client in slow]
    for sender in senders:
        sender.start()
    worst, asked = 0.0, 0
    while any(sender.is_alive() for sender in senders):
        begun = time.monotonic()
        assert server.get("/") == "0"
        worst, asked = max(worst, time.monotonic() - begun), asked + 1
    for sender, client in zip(senders, slow, strict=True):
        sender.join()
        client.send(b"\r\n")
        assert client.response().status == 200
    assert asked
    assert worst < 1.0


def test_early_answer_to_an_upload(serve: Serve) -> None:
    """413 is read by a client that sends all of its body first, much more than what is on its way."""
    server = serve(COUNTS, "--limit-request-body", "1M").ready()
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\n\r\n")
        for _ in range(40):
            client.send(b"x" * 1_000_000)
        assert client.response().status == 413
        assert client.ended()
