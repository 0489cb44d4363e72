"""Heads that arrive in pieces: each byte is checked once, limits hold at each piece, and when bytes are taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.http.cases import DEFAULTS, head
from tests.http.driver import connected, until
from tests.http.served import Served
from tests.worker.apps import app
from twistcorn.errors import HTTPError
from twistcorn.wire.channel import CARRIES, Kind, Lend
from twistcorn.wire.scoreboard import SlotState
from twistcorn.worker.http.request import PEEK_BYTES
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.loop.partial import MAX_PEEKS, REST_SECONDS, Partial

LIMITS = replace(DEFAULTS, limit_request_line=64, limit_request_fields=3, limit_request_field_size=64)
LINE = b"GET / HTTP/1.1\r\n"


def first_refusal(data: bytes) -> tuple[int, int]:
    """After how many bytes the head was refused, and with which status."""
    partial = Partial()
    for size in range(1, len(data) + 1):
        try:
            if partial.find_end(data[:size], LIMITS):
                break
        except HTTPError as error:
            return size, error.status
    return 0, 0


@pytest.mark.parametrize(
    ("data", "size", "status"),
    [
        (b"x" * 100, 65, 414),
        (b"\r\n" + b"x" * 100, 67, 414),
        (LINE + b"X: " + b"a" * 100, len(LINE) + 3 + 64, 431),
        (LINE + b"X: " + b" " * 100 + b"a" * 70, len(LINE) + 3 + 100 + 64, 431),
        (LINE + b"X: a\r\n" * 4, len(LINE) + 24, 431),
        (LINE + b"X: a\x00", len(LINE) + 5, 400),
        (LINE + b"X: a\n", len(LINE) + 5, 400),
        (LINE + b"X: a\r\n b", len(LINE) + 7, 400),
        (LINE + b"X: a\r\rb", len(LINE) + 6, 400),
        (LINE + b"X: a\r\n" * 3 + b"\r\n", 0, 0),
        (b"\r\n" + LINE + b"X: a\r\n" * 3 + b"\r\n", 0, 0),
    ],
)
def test_limits_hold_as_they_come(data: bytes, size: int, status: int) -> None:
    """A head that cannot become a request is refused at the byte that shows it, not at its end."""
    assert first_refusal(data) == (size, status)


def test_byte_by_byte_costs_no_more_than_its_length() -> None:
    """Only new bytes are checked: 32 KiB one by one take a second or two, and not half a minute."""
    data = head(*[b"X: " + b"a" * 4000] * 8)[:-2]
    assert len(data) < PEEK_BYTES
    partial, begun = Partial(), time.process_time()
    for size in range(1, len(data) + 1):
        assert partial.find_end(data[:size], DEFAULTS) == 0

    assert time.process_time() - begun < 2.0
    assert partial.find_end(data + b"\r\n", DEFAULTS) == len(data) + 2


@pytest.fixture
def worker() -> Iterator[Served]:
    served = Served(app([b"hello"]))
    yield served
    served.close()


def test_head_in_many_pieces_waits_its_turn(worker: Served) -> None:
    """After some peeks the connection rests for a short time; then all that has arrived is read at once."""
    client = worker.connect()
    request = head(b"X: " + b"a" * 100)
    for n in range(len(request)):
        worker.send(client, request[n : n + 1])
    assert not client.read()
    (connection,) = worker.connections()
    assert connection.partial is not None
    assert connection.partial.looks == MAX_PEEKS + 1

    worker.reactor.advance(REST_SECONDS)
    worker.run()
    assert [answer.body for answer in client.answers()] == [b"hello"]


def test_unix_client_that_writes_byte_by_byte_is_read() -> None:
    """The kernel lets its writer go on only when what it wrote is taken: a head is, though it is incomplete."""
    served = Served(app([b"hello"]))
    client = served.connect()
    request = head(b"X: " + b"a" * 2000)
    for n in range(len(request)):
        # Blocks no more than the kernel lets it: with a head that is left there it ends at some 270 writes.
        served.send(client, request[n : n + 1])
        served.reactor.advance(REST_SECONDS)
    served.run()

    assert [answer.body for answer in client.answers()] == [b"hello"]
    assert served.slot().consumed0 == len(request)
    served.close()


def test_head_that_fills_the_kernel_is_taken() -> None:
    """On TCP: with little in the kernel a head stays there, with much it is taken, and the slot says so."""
    served = Served(app([b"hello"]), address=Address(socket.AF_INET, "127.0.0.1", 8000))
    with connected("tcp") as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        served.lend(server.dup())
        client.sendall(head(b"X: " + b"a" * 3000)[:-2])
        until(server, len(head(b"X: " + b"a" * 3000)) - 2)
        served.poller.rounds.poll(5, served.turns.leader)
        assert (served.slot().state, served.slot().consumed) == (SlotState.READING, True)
        client.sendall(b"\r\n")
        served.poller.rounds.poll(5, served.turns.leader)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert (served.slot().state, served.slot().consumed) == (SlotState.IDLE, False)
    served.close()


@pytest.mark.parametrize("size", [1, 7, 40])
def test_head_that_was_taken_travels(worker: Served, size: int) -> None:
    """A worker that drains hands the bytes back; the next one answers, and its offsets count them once."""
    request = head(b"X: " + b"a" * 100)
    client = worker.connect()
    for n in range(size):
        worker.send(client, request[n : n + 1])
        worker.reactor.advance(REST_SECONDS)
    (connection,) = worker.connections()
    if connection.partial is not None and not connection.partial.taken:
        worker.reactor.advance(0)
        assert worker.slot().consumed is False
    server = connection.stream.sock.dup()
    carried: list[bytes] = []
    report = worker.poller.custody._report
    worker.poller.custody._report = lambda *told: carried.extend(told[3:]) or report(*told[:3])  # type: ignore[func-returns-value]
    worker.poller.custody.drain()
    taken = b"".join(carried)
    assert worker.reports[-1][0] is (Kind.CARRIED if taken else Kind.RELEASED)
    assert request.startswith(taken)
    assert bool(taken) is (size > 8)

    worker.poller.holdings.draining = False
    server.setblocking(False)
    worker.poller.custody.adopt(server.detach(), Lend(0, 2, 0, CARRIES if taken else 0, taken))
    worker.send(client, request[size:])
    assert [answer.body for answer in client.answers()] == [b"hello"]
    assert worker.slot().consumed0 == len(request)
