"""The claims of twistcorn.worker.wsgi.access_log: one correct line per request, shortly after, in the right place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock as Reactor
from twisted.logger import capturedLogs

from tests.http.served import Client, Served
from tests.worker.conftest import TIMES
from twistcorn.logs.access import MAX_UNWRITTEN_ENTRIES, WRITE_INTERVAL_SECONDS
from twistcorn.worker.wsgi.access_log import AccessLog

Serve = Callable[..., tuple[Served, Client]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
FORMAT = "%(m)s %(U)s %(s)s %(B)s %(X)s %(attempt)s"


class Logged:
    """A worker with an access log.

    :ivar path: the file.
    """

    def __init__(self, served: Served, folder: Path, format: str = FORMAT) -> None:
        self.path = folder / "access"
        self.reactor = Reactor()
        self.served = served
        self.on: AccessLog | None = None
        self.log = AccessLog(self.reactor, 1, self._attach)
        self.settings = replace(TIMES, access_log=str(self.path), access_log_format=format)
        self.log.configure(self.settings)

    def _attach(self, log: AccessLog | None) -> None:
        self.on = self.served.poller.custody.access = log
        service: Any = self.served.turns._server
        service.access = log

    def lines(self, path: Path | None = None) -> list[str]:
        """What is in the file, once all that was noted is."""
        self.log.close()
        return (path or self.path).read_text().splitlines()


@pytest.fixture
def logged(serve: Serve, tmp_path: Path) -> Iterator[Callable[..., tuple[Logged, Client]]]:
    """Makes a worker with an access log, and a client."""
    made: list[Logged] = []

    def make(application: Any = None, format: str = FORMAT, **settings: Any) -> tuple[Logged, Client]:
        served, client = serve(application, replace(TIMES, **settings))
        made.append(Logged(served, tmp_path, format))
        return made[-1], client

    yield make
    for each in made:
        each.log.configure(TIMES)


def streams(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
    """A body of two pieces and eight bytes."""
    start("200 OK", [])
    yield b"abc"
    yield b"defgh"


def large(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """More than a socket's buffers hold."""
    start("200 OK", [("Content-Length", str(4 << 20))])
    return [b"x" * (4 << 20)]


class TestLines:
    def test_whole_answer(self, logged: Any) -> None:
        """Its bytes are those of the body."""
        log, client = logged()
        log.served.send(client, GET)
        assert log.lines() == ["GET / 200 5 + 1"]

    def test_head(self, logged: Any) -> None:
        """An answer to HEAD has no body."""
        log, client = logged()
        log.served.send(client, GET.replace(b"GET", b"HEAD"))
        assert log.lines() == ["HEAD / 200 0 + 1"]

    def test_environ_that_is_no_text(self, logged: Any) -> None:
        """Whatever the application leaves there, its request is answered and has its line."""

        class Unspeakable:
            def __str__(self) -> str:
                raise LookupError("on purpose")

        def leaves(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
            environ["app.thing"], environ["REMOTE_ADDR"] = Unspeakable(), [1]
            start("200 OK", [])
            return [b"left"]

        log, client = logged(leaves, "%(s)s %(h)s %({app.thing}e)s")
        log.served.send(client, GET)
        assert log.lines() == ["200 [1] -"]

    def test_chunks(self, logged: Any) -> None:
        """Chunk framing does not count."""
        log, client = logged(streams)
        log.served.send(client, GET)
        assert log.lines() == ["GET / 200 8 + 1"]

    def test_application_fails(self, logged: Any) -> None:
        """500 is an answer as well; one that fails in the middle of its body has said what it said, and is cut."""

        def fails(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
            if environ["PATH_INFO"] == "/late":
                start("200 OK", [("Content-Length", "9")])
                yield b"abc"
            raise LookupError("on purpose")

        log, client = logged(fails)
        with capturedLogs():
            log.served.send(client, GET)
            log.served.send(client, GET.replace(b"/ ", b"/late "))
        assert log.lines() == ["GET / 500 26 + 1", "GET /late 200 3 X 1"]

    def test_refused(self, logged: Any) -> None:
        """What never reaches the application has its line: with its request line, where that could be read."""
        log, client = logged(limit_request_body=3)
        log.served.send(client, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        other = log.served.connect(1)
        log.served.send(other, b"nonsense\r\n\r\n")
        assert log.lines() == ["POST /x 413 0 - 1", "- - 400 0 - 1"]

    def test_rest_that_the_client_takes_later(self, logged: Any) -> None:
        """The line comes when all is sent, and says how long that took."""
        log, client = logged(large, f"{FORMAT} %(write)s")
        log.served.send(client, GET)
        assert log.lines() == []
        while not client.read().endswith(b"x") or len(client.received) < 4 << 20:
            log.served.run()
        *said, write = log.lines()[0].split()
        assert said == ["GET", "/", "200", str(4 << 20), "+", "1"]
        assert float(write) > 0

    def test_remainder_that_no_client_reads(self, logged: Any) -> None:
        """A client left early: the line counts the bytes that the kernel accepted, and says that it was aborted."""
        log, client = logged(large)
        log.served.send(client, GET)
        client.sock.close()
        log.served.run()
        *_, sent, end, _ = log.lines()[0].split()
        assert 0 < int(sent) < 4 << 20
        assert end == "X"

    def test_client_is_gone_before_a_small_answer(self, logged: Any) -> None:
        """Nothing of it was sent."""
        clients: list[Client] = []

        def goes(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
            clients[0].sock.close()
            start("200 OK", [])
            return [b"hello"]

        log, client = logged(goes)
        clients.append(client)
        log.served.send(client, GET)
        assert log.lines() == ["GET / 200 0 X 1"]

    def test_json(self, logged: Any) -> None:
        """The id is the one that the client gets."""
        log, client = logged(format="json")
        log.served.send(client, GET)
        (answer,) = client.answers()
        assert [json.loads(line)["request_id"] for line in log.lines()] == answer["X-Request-ID"]

    def test_variables_and_fields(self, logged: Any) -> None:
        """As the application set them."""

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
            environ["shop.user"] = 'ann "x"'
            start("200 OK", [("ETag", "7")])
            return [b""]

        log, client = logged(app, "%({shop.user}e)s %({etag}o)s %({host}i)s %({shop.no}e)s")
        log.served.send(client, GET)
        assert log.lines() == ['ann \\"x\\" 7 a -']

    def test_application_breaks_its_environ(self, logged: Any) -> None:
        """What is the server's own is not taken from there: each request has its line."""

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
            if environ["PATH_INFO"] == "/bad":
                environ["twistcorn.attempt"] = environ["twistcorn.queue_time"] = '"}\n'
            start("200 OK", [])
            return [b""]

        log, client = logged(app)
        log.served.send(client, GET.replace(b"/ ", b"/bad "))
        log.served.send(client, GET)
        assert log.lines() == ["GET /bad 200 0 + 1", "GET / 200 0 + 1"]

    def test_line_cannot_be_made(self, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error is logged; the access log continues."""
        log, client = logged()
        real: Any = log.log._lines.line
        failed: list[Any] = []

        def line(entry: Any) -> Any:
            if not failed:
                failed.append(entry)
                raise KeyError("internal")
            return real(entry)

        monkeypatch.setattr(log.log._lines, "line", line)
        log.served.send(client, GET)
        log.served.send(client, GET)
        with capturedLogs() as told:
            assert len(log.lines()) == 1
        assert len(told) == 1


class TestTimes:
    def test_lines_are_written_shortly_after(self, logged: Any) -> None:
        """By timer, when there are few."""
        log, client = logged()
        log.served.send(client, GET)
        assert log.log._noted
        log.reactor.advance(WRITE_INTERVAL_SECONDS)
        assert not log.log._noted

    def test_many_are_written_between_rounds(self, logged: Any) -> None:
        """Without waiting for that, some at a time."""
        log, client = logged()
        for _ in range(MAX_UNWRITTEN_ENTRIES):
            log.log.between_rounds()
            assert len(log.log._noted) < MAX_UNWRITTEN_ENTRIES
            log.served.send(client, GET)
        log.log.between_rounds()
        assert not log.log._noted
        assert len(log.lines()) == MAX_UNWRITTEN_ENTRIES

    def test_while_it_is_off_nothing_runs(self, logged: Any) -> None:
        """No timer, no note."""
        log, client = logged()
        log.log.configure(TIMES)
        assert log.on is None
        assert not log.reactor.getDelayedCalls()
        log.served.send(client, GET)
        assert not log.log._noted


class TestConfigure:
    def test_live(self, logged: Any, tmp_path: Path) -> None:
        """Another format and another file count from the next request on; what was noted keeps its own."""
        log, client = logged()
        log.served.send(client, GET)
        log.log.configure(replace(log.settings, access_log_format="%(s)s"))
        log.served.send(client, GET)
        log.log.configure(replace(log.settings, access_log_format="%(s)s", access_log=str(tmp_path / "other")))
        log.served.send(client, GET)
        assert log.lines(tmp_path / "other") == ["200"]
        assert log.lines() == ["GET / 200 5 + 1", "200"]

    def test_file_that_cannot_be_opened(self, logged: Any, tmp_path: Path) -> None:
        """The error is logged, and the access log continues as it was."""
        log, client = logged()
        with capturedLogs() as told:
            log.log.configure(replace(log.settings, access_log=str(tmp_path / "missing" / "log")))
        assert [event["why"] for event in told] == ["No such file or directory"]
        log.served.send(client, GET)
        assert log.lines() == ["GET / 200 5 + 1"]

    def test_rotation(self, logged: Any, tmp_path: Path) -> None:
        """Entries from before the order are in the old file, later ones in the new file."""
        log, client = logged()
        log.served.send(client, GET)
        log.path.rename(tmp_path / "old")
        log.log.reopen()
        log.served.send(client, GET.replace(b"/ ", b"/new "))
        assert log.lines() == ["GET /new 200 5 + 1"]
        assert log.lines(tmp_path / "old") == ["GET / 200 5 + 1"]


def test_what_the_log_says_of_itself_is_json_as_well(logged: Any, tmp_path: Path) -> None:
    """Here: its file cannot be reopened. A JSON log stays JSON."""
    log, _ = logged(format="json")
    folder = tmp_path / "logs"
    folder.mkdir()
    log.log.configure(replace(log.settings, access_log=str(folder / "access")))
    folder.rename(tmp_path / "moved")
    log.log.reopen()
    (said,) = map(json.loads, log.lines(tmp_path / "moved" / "access"))
    assert (said["event"], said["worker"]) == ("log", 1)
    assert said["text"].startswith("cannot reopen ")
