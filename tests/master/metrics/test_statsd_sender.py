"""The claims of twistcorn.master.metrics.statsd_sender: a real UDP socket is told, each second, what happened in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import capturedLogs

from tests.master.stage import Stage, texts
from twistcorn.master.metrics.statsd_sender import INTERVAL_SECONDS, RESOLVE_RETRY_SECONDS, Addresses, StatsD
from twistcorn.wire.scoreboard import W_LED_LATENCY, W_LED_REQUESTS, W_LED_STATUS
from twistcorn.wire.statuses import COLUMNS, ROWS


class Sending(Stage):
    """A supervisor on a clock, and a StatsD server, which is a UDP socket.

    :ivar problem: why its name is not resolved.
    """

    def __init__(self) -> None:
        super().__init__(workers=1)
        self.serve()
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.problem: OSError | None = None
        self.asked: list[tuple[str, int]] = []
        address = f"stats.example:{self.server.getsockname()[1]}"
        self.statsd = StatsD(self.clock, address, self.supervisor.tally, lambda: (1, 0), self.resolve)

    def resolve(self, host: str, port: int) -> Deferred[Addresses]:
        self.asked.append((host, port))
        if self.problem is not None:
            return fail(self.problem)
        return succeed(socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_DGRAM))

    def answer(self, requests: int, code: int = 200) -> None:
        """The worker answers."""
        base = self.board.worker_base(self.ready[0].region)
        for word in (W_LED_REQUESTS, W_LED_STATUS + ROWS["GET"] + COLUMNS[code], W_LED_LATENCY + 1):
            self.board.words[base + word] += requests

    def told(self) -> list[str]:
        """What has come since the last time."""
        lines: list[str] = []
        try:
            while True:
                lines += self.server.recv(2000).decode().split("\n")
        except BlockingIOError:
            return lines

    def close(self) -> None:
        self.statsd.stop()
        self.server.close()
        super().close()


@pytest.fixture
def sending() -> Iterator[Sending]:
    made = Sending()
    yield made
    made.close()


def test_it_is_told_each_second(sending: Sending) -> None:
    """What happened in that second, and what is so now."""
    sending.statsd.start()
    sending.answer(3)
    assert sending.told() == []
    sending.clock.advance(INTERVAL_SECONDS)
    assert sending.told() == [
        "gunicorn.requests:3|c", "gunicorn.request.status.200:3|c", "gunicorn.request.duration:0.096|ms|@0.333333333",
        "gunicorn.workers:1|g", "gunicorn.backlog:0|g",
    ]  # fmt: skip

    sending.answer(1, 404)
    sending.clock.advance(INTERVAL_SECONDS)
    assert sending.told()[:2] == ["gunicorn.requests:1|c", "gunicorn.request.status.404:1|c"]
    assert sending.asked == [("stats.example", sending.server.getsockname()[1])]


def test_a_worker_dies(sending: Sending) -> None:
    """What it had counted is told, once."""
    sending.statsd.start()
    sending.answer(3)
    sending.spawner.exits(sending.ready[0], signal=9)
    for expected in ("gunicorn.requests:3|c", "gunicorn.requests:0|c"):
        sending.clock.advance(INTERVAL_SECONDS)
        assert sending.told()[0] == expected


def test_the_last_word(sending: Sending) -> None:
    """What happened in the last part of a second is told when the server stops."""
    sending.statsd.start()
    sending.answer(2)
    sending.statsd.stop()
    assert sending.told()[0] == "gunicorn.requests:2|c"
    sending.clock.advance(INTERVAL_SECONDS)
    assert sending.told() == []


def test_the_name_is_not_known(sending: Sending) -> None:
    """A warning; a minute later it is tried again, and nothing is lost meanwhile."""
    sending.problem = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with capturedLogs() as logged:
        sending.statsd.start()
        sending.answer(2)
        sending.clock.advance(INTERVAL_SECONDS)
    port = sending.server.getsockname()[1]
    assert texts(logged) == [
        f"--statsd stats.example:{port}: [Errno -2] Name or service not known; sending no metrics,"
        " retrying in 60 s"
    ]

    sending.problem = None
    sending.clock.advance(RESOLVE_RETRY_SECONDS)
    sending.clock.advance(INTERVAL_SECONDS)
    assert sending.told()[0] == "gunicorn.requests:2|c"


def test_nobody_listens(sending: Sending) -> None:
    """It is sent all the same; UDP does not mind."""
    sending.statsd.start()
    sending.server.close()
    for _ in range(3):
        sending.answer(1)
        sending.clock.advance(INTERVAL_SECONDS)


def test_the_server_comes_back(sending: Sending) -> None:
    """It is told all from then on, though the kernel has still to tell that an earlier datagram was refused."""
    sending.statsd.start()
    address = sending.server.getsockname()
    sending.server.close()
    sending.clock.advance(INTERVAL_SECONDS)
    sending.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sending.server.bind(address)
    sending.server.setblocking(False)
    sending.answer(2)
    sending.clock.advance(INTERVAL_SECONDS)
    assert sending.told()[0] == "gunicorn.requests:2|c"


@pytest.mark.parametrize("resolved", [True, False])
def test_it_is_stopped_before_the_name_is_known(sending: Sending, resolved: bool) -> None:
    """Then nothing is begun any more."""
    late: Deferred[Addresses] = Deferred()
    sending.statsd = StatsD(sending.clock, "a:1", sending.supervisor.tally, lambda: (1, 0), lambda host, port: late)
    sending.statsd.start()
    sending.statsd.stop()
    before = len(sending.clock.getDelayedCalls())
    if resolved:
        late.callback(socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_DGRAM))
    else:
        late.errback(socket.gaierror("no"))
    assert len(sending.clock.getDelayedCalls()) == before
