"""The claims of twistcorn.master.sockets.answer_log: what is told of the requests that the master answers itself."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.integration.harness import wait_until
from tests.master.stage import Desk, tcp
from twistcorn.master.sockets.answer_log import AnswerLog, read
from twistcorn.master.sockets.table import ConnectionRecord
from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import CONSUMED, SlotState

FORMAT = '%(h)s "%(r)s" %(s)s %(B)s "%(a)s" %(worker)s %(attempt)s %(X)s'
HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nUser-Agent:  curl \r\n\r\n"


class Logged:
    """A dispatcher whose answers are in a log."""

    def __init__(self, desk: Desk, folder: Path, text: str = FORMAT) -> None:
        self.desk = desk
        self.path = folder / "access"
        self.log = AnswerLog(Clock(), desk.board, self._attach)
        self.configure(text)

    def _attach(self, log: AnswerLog | None) -> None:
        self.desk.dispatcher.answers.log = log

    def configure(self, text: str) -> None:
        """Other settings."""
        self.log.configure(Settings(access_log=str(self.path), access_log_format=text))

    def asks(self, data: bytes = HEAD) -> ConnectionRecord:
        """A client has sent so much."""
        (connection,) = self.desk.file(1, tcp)
        self.desk.client(-1).sendall(data)
        return connection

    def lines(self) -> list[str]:
        """What is in the file at the end."""
        self.end()
        return self.path.read_text().splitlines()

    def end(self) -> None:
        """The server ends."""
        sink = self.log.end()
        if sink is not None:
            sink.close()


@pytest.fixture
def logged(desk: Desk, tmp_path: Path) -> Iterator[Logged]:
    """A dispatcher, with a log."""
    made = Logged(desk, tmp_path)
    yield made
    made.end()


class TestLines:
    def test_request_waited(self, logged: Logged) -> None:
        """503: all that its head says, and no worker."""
        logged.desk.dispatcher.answers.answer(logged.asks(), 503)

        assert logged.lines() == ['127.0.0.1 "GET /a?b=c HTTP/1.1" 503 24 "curl" 0 1 -']

    def test_how_long_it_waited(self, logged: Logged) -> None:
        """In the queue, and in all."""
        logged.configure("%(queue)s %(L)s %(app)s")
        logged.desk.dispatcher.answers.answer(logged.asks(), 503, since=time.monotonic() - 2)
        queue, whole, app = map(float, logged.lines()[0].split())

        assert 2 <= queue < 12
        assert whole == pytest.approx(queue, abs=1e-5)
        assert app == 0

    def test_request_ran(self, logged: Logged) -> None:
        """502, by method, path and age, with all of its head where that was not taken."""
        logged.configure(FORMAT + " %(app)s")
        connection = logged.asks()
        since = time.monotonic_ns() - 3_000_000_000
        logged.desk.writes(connection, SlotState.IN_APP, head=b"GET /a", since=since)
        connection.attempt = 1
        logged.desk.dispatcher.answers.answer(connection, 502, "GET")
        line, _, age = logged.lines()[0].rpartition(" ")

        assert line == '127.0.0.1 "GET /a?b=c HTTP/1.1" 502 16 "curl" 0 2 -'
        assert 3 <= float(age) < 13

    def test_head_was_taken(self, logged: Logged) -> None:
        """What is unread is the next request's, or of the body: method and path are the slot's."""
        connection = logged.asks()
        logged.desk.writes(connection, SlotState.IN_APP, head=b"POST /pay")
        logged.desk.dispatcher.answers.answer(connection, 502, "POST")

        assert logged.lines() == ['127.0.0.1 "POST /pay HTTP/1.1" 502 16 "-" 0 1 -']

    def test_part_of_a_request_was_taken(self, logged: Logged) -> None:
        """Nothing is told of it: a body may look like a head."""
        connection = logged.asks()
        logged.desk.writes(connection, SlotState.READING)
        logged.desk.dispatcher.answers.answer(connection, 502)

        assert logged.lines() == ['127.0.0.1 "-" 502 16 "-" 0 1 -']

    def test_answer_was_cut(self, logged: Logged) -> None:
        """Its status and size died with the worker; that it was cut is told."""
        worker = logged.desk.worker()
        connection = logged.asks()
        logged.desk.dispatcher.connection_arrived([connection])
        logged.desk.spawner.takes(worker)
        logged.desk.writes(connection, SlotState.RESPONDING, head=b"GET /a")
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        logged.desk.spawner.exits(worker)

        assert logged.lines() == ['127.0.0.1 "GET /a?b=c HTTP/1.1" - 0 "curl" 0 1 X']

    def test_worker_has_taken_the_body(self, logged: Logged) -> None:
        """503 for a request that was to wait, and is gone from the kernel: the next one is not taken for it."""
        connection = logged.asks()
        logged.desk.writes(connection, SlotState.CLOSING, CONSUMED)
        logged.desk.dispatcher.answers.answer(connection, 503)

        assert logged.lines() == ['127.0.0.1 "-" 503 24 "-" 0 1 -']

    def test_head_request(self, logged: Logged) -> None:
        """Its answer has no body."""
        logged.desk.dispatcher.answers.answer(logged.asks(b"\r\nHEAD / HTTP/1.0\r\n\r\n"), 503)

        assert logged.lines() == ['127.0.0.1 "HEAD / HTTP/1.0" 503 0 "-" 0 1 -']

    def test_client_is_gone(self, logged: Logged) -> None:
        """Its line is there all the same."""
        connection = logged.asks()
        connection.sock.close()
        logged.log.log_answer(connection, 502, 16, b"", 0.0)

        assert logged.lines() == ['- "-" 502 16 "-" 0 1 -']

    def test_settings_change(self, logged: Logged, tmp_path: Path) -> None:
        """Each line is where the settings said when it came, and in that format."""
        logged.desk.dispatcher.answers.answer(logged.asks(), 503)
        logged.log.configure(Settings(access_log=str(tmp_path / "other"), access_log_format="%(s)s"))
        logged.desk.dispatcher.answers.answer(logged.asks(), 503)
        logged.log.configure(Settings())
        logged.desk.dispatcher.answers.answer(logged.asks(), 503)

        wait_until(lambda: (tmp_path / "other").read_text() == "503\n", "the second line")
        assert len(logged.lines()) == 1

    def test_log_is_off(self, desk: Desk) -> None:
        """Nothing is noted, and nothing looked at."""
        log = AnswerLog(Clock(), desk.board, lambda log: None)
        log.configure(Settings())

        assert log.end() is None
        assert desk.dispatcher.answers.log is None


class TestEnd:
    def test_nobody_reads(self, desk: Desk, tmp_path: Path) -> None:
        """The end waits for no reader: whoever closes what is left does."""
        path = tmp_path / "access"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(reader, bytes(4096))
        logged = Logged(desk, tmp_path)
        desk.dispatcher.answers.answer(logged.asks(), 503)
        sink = logged.log.end()
        assert sink is not None
        assert not sink.flush(0)

        while not sink.flush(0):
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 65536)
        sink.close()
        os.close(reader)


class TestRead:
    @given(st.binary(max_size=200), st.sampled_from(["", "GET /", "POST /a b"]))
    def test_any_bytes(self, data: bytes, known: str) -> None:
        """Whatever a client has sent is read."""
        line, block = read(data, known)
        assert block is None or line is not None

    def test_fields(self) -> None:
        """Names are in lower case, values without the space around; what is no field is left out."""
        _, block = read(b"GET / HTTP/1.1\r\nA:  b \r\nnonsense\r\nC:\r\n\r\nD: e\r\n", "")
        assert block is not None
        assert block.headers == ((b"a", b"b"), (b"c", b""))
