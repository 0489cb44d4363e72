"""The claims of twistcorn.worker.loop.traffic: the bytes of all connections are counted, each once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.cases import DEFAULTS, head
from tests.http.served import Clock, Served
from tests.worker.apps import app
from twistcorn.worker.loop.traffic import Traffic


@pytest.fixture
def served() -> Iterator[Served]:
    """A worker whose application says hello."""
    made = Served(app([b"hello"]), DEFAULTS)
    yield made
    made.close()


def test_bytes_of_open_connections(served: Served, clock: Clock) -> None:
    """They are counted at the next sweep, and not again at the one after it."""
    clients = [served.connect(slot) for slot in range(2)]
    for client in clients:
        served.send(client, head())
    sent = sum(len(client.read()) for client in clients)
    assert served.totals.received == 0

    for _ in range(2):
        clock.pass_by(served, 0.5)
        assert (served.totals.received, served.totals.sent) == (2 * len(head()), sent)


def test_bytes_of_a_connection_that_leaves(served: Served) -> None:
    """They are counted when it leaves, also what was taken after its last answer."""
    client = served.connect()
    served.send(client, head(b"X : not valid") + b"more")
    sent = len(client.read())
    client.sock.close()
    served.run()

    assert (served.totals.received, served.totals.sent) == (len(head(b"X : not valid")) + 4, sent)


def test_a_connection_that_comes_back(served: Served, clock: Clock) -> None:
    """Bytes that another worker has counted are not counted here."""
    client = served.connect()
    served.send(client, head())
    connection = served.connections()[0]
    assert connection.stream.consumed == len(head())

    again = Traffic(served.board.words, served.region)
    stream = connection.stream
    stream.seen_consumed, stream.seen_written = stream.consumed, stream.written
    again.count(served.connections())
    assert served.totals.received == 0
