"""Bodies that clients hold back until 100 Continue: when that is sent, and when it is too late."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.http.cases import DEFAULTS, NEXT, head, post
from tests.http.served import Client, Served
from tests.worker.apps import Start
from tests.worker.recorders import Recorded
from twistcorn.errors import RequestTimeout
from twistcorn.settings import Settings
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import W_SPOOLED, SlotState
from twistcorn.worker.http import spool
from twistcorn.worker.wsgi.call import Application

READ = replace(DEFAULTS, expect="read", body_timeout=30.0)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY = b"hello\nyou\n"
ASKS = post(b"Expect: 100-continue", b"Content-Length: 10")

#: What is done with `wsgi.input`.
Use = Callable[[Any], bytes]
Make = Callable[..., tuple[Served, Client]]


def reader(use: Use) -> Application:
    """An application that answers what this reads."""

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        data = use(environ["wsgi.input"]) if environ["REQUEST_METHOD"] == "POST" else b"hello"
        start_response("200 OK", [])
        return [data]

    return app


def fill(stream: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: stream.readinto(buffer)])


def from_start(stream: Any) -> bytes:
    stream.read(3)
    stream.seek(0)
    return bytes(stream.read())


READERS: dict[str, tuple[Use, bytes]] = {
    "all": (lambda stream: stream.read(), BODY),
    "all, by None": (lambda stream: stream.read(None), BODY),
    "a part": (lambda stream: stream.read(3), b"hel"),
    "parts": (lambda stream: b"|".join(iter(lambda: stream.read(4), b"")), b"hell|o\nyo|u\n"),
    "past the end": (lambda stream: stream.read() + stream.read() + stream.read(5), BODY),
    "a line": (lambda stream: stream.readline(), b"hello\n"),
    "a part of a line": (lambda stream: stream.readline(2), b"he"),
    "lines": (lambda stream: b"|".join(stream.readlines()), b"hello\n|you\n"),
    "some lines": (lambda stream: b"|".join(stream.readlines(1)), b"hello\n"),
    "iteration": (lambda stream: b"|".join(stream), b"hello\n|you\n"),
    "into a buffer": (fill, BODY),
    "twice": (from_start, BODY),
    "from the end": (lambda stream: b"%d" % stream.seek(0, io.SEEK_END), b"10"),
    "through a buffer": (lambda stream: io.BufferedReader(stream).read(), BODY),
    "as text": (lambda stream: io.TextIOWrapper(stream, "ascii").read().encode(), BODY),
}


@pytest.fixture(autouse=True)
def _pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No leader waits for a client."""
    monkeypatch.setattr("tests.http.served.MODE", "pool")


@pytest.fixture
def make() -> Iterator[Make]:
    """A worker with a client; the client sends its body when the thread waits for it."""
    made: list[Served] = []

    def make(application: Application, body: bytes | None = BODY, settings: Settings = READ) -> tuple[Served, Client]:
        served = Served(application, settings)
        made.append(served)
        client = served.connect()

        def answer() -> None:
            assert client.read().endswith(CONTINUE)
            if body is None:
                client.sock.close()
            else:
                client.sock.sendall(body)

        served.turns.aside = answer
        return served, client

    yield make
    for each in made:
        each.close()


def statuses(client: Client, *methods: str) -> list[int]:
    return [answer.status for answer in client.answers(*methods)]


class TestRead:
    @pytest.mark.parametrize(("use", "answer"), READERS.values(), ids=READERS)
    def test_each_way_to_read(self, make: Make, use: Use, answer: bytes) -> None:
        """The client gets 100 Continue, once; then the connection goes on."""
        served, client = make(reader(use))
        served.send(client, ASKS)
        served.send(client, head())

        assert statuses(client) == [100, 200, 200]
        assert [each.body for each in client.answers()] == [b"", answer, b"hello"]
        assert served.count(W_SPOOLED) == 0

    def test_nothing_is_read_yet(self, make: Make) -> None:
        """Asking only for the properties of the stream sends no 100 Continue."""

        def look(stream: Any) -> bytes:
            assert stream.readable()
            assert stream.seekable()
            assert not stream.writable()
            assert not stream.closed
            assert stream.tell() == 0
            assert iter(stream) is stream
            assert stream.read
            assert client.read() == b""
            return bytes(stream.read())

        served, client = make(reader(look))
        served.send(client, ASKS)
        assert statuses(client) == [100, 200]

    def test_large_body(self, make: Make) -> None:
        """It arrives in any number of pieces, and is kept in a file, as any other."""
        size = 3 << 20
        sent: list[int] = []

        def kind(stream: Any) -> bytes:
            data = stream.read()
            assert stream.fileno() >= 0
            assert data == b"x" * size
            return b"whole"

        served, client = make(reader(kind))

        def piece() -> None:
            left = size - sum(sent)
            sent.append(client.sock.send(b"x" * min(left, 100_000)))

        served.turns.aside = piece
        served.send(client, post(b"Expect: 100-continue", b"Content-Length: %d" % size))

        assert [answer.body for answer in client.answers()] == [b"", b"whole"]
        assert len(sent) > 10

    def test_body_is_there_by_then(self, make: Make) -> None:
        """A client that has begun to send its body gets no 100 Continue (RFC 9110 section 10.1.1)."""

        def late(stream: Any) -> bytes:
            client.sock.sendall(BODY)
            return bytes(stream.read())

        served, client = make(reader(late))
        served.send(client, ASKS)
        assert statuses(client) == [200]

    def test_what_follows(self, make: Make) -> None:
        """The next request follows the body, and is not read with it."""
        served, client = make(reader(lambda stream: stream.read(100)), BODY + NEXT)
        served.send(client, ASKS)

        assert [answer.body for answer in client.answers()] == [b"", BODY, b"hello"]

    def test_redo_log(self) -> None:
        """The slot says that bytes are taken before one is, so that no death runs the request again without a body."""
        worker = Recorded(reader(lambda stream: stream.read()), READ)
        client = worker.connect()
        worker.turns.aside = lambda: client.sock.sendall(BODY)
        worker.send(client, ASKS)
        aside = ("since", "thread", "deadline")
        steps = [entry for entry in worker.journal if entry[0] not in aside]
        size = len(client.read()) - len(CONTINUE)
        worker.close()

        assert steps[:5] == [
            ("IN_APP", ""), ("IN_APP", "consumed"), ("take", len(ASKS)), ("send", len(CONTINUE)), ("take", len(BODY)),
        ]  # fmt: skip
        assert steps[5:10] == [
            ("written0", len(CONTINUE)), ("written_end", len(CONTINUE) + size), ("consume_to", len(ASKS + BODY)),
            ("RESPONDING", "consumed"), ("send", size),
        ]  # fmt: skip
        assert [verb for verb, _ in steps[10:]] == ["consumed0", "written_end", "IDLE"]


def answers(status: str) -> Application:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response(status, [("Content-Length", "2")])
        return [b"no"]

    return app


class TestNotRead:
    @pytest.mark.parametrize("status", ["401 Unauthorized", "413 Content Too Large", "200 OK"])
    def test_answer_without_the_body(self, make: Make, status: str) -> None:
        """The answer goes out and says that it is the last; the client gets no 100 Continue."""
        served, client = make(answers(status))
        served.send(client, ASKS)
        (answer,) = client.answers()

        assert (answer.status, answer.body, answer["Connection"]) == (int(status[:3]), b"no", ["close"])
        assert served.slot().state is SlotState.CLOSING
        # Nothing that it sends now is a request.
        served.send(client, BODY + NEXT)
        assert len(client.answers()) == 1
        client.sock.close()
        served.run()
        assert served.reports[-1][0] is Kind.CLOSED

    def test_its_body_is_dropped(self, make: Make) -> None:
        """A client that sends it all the same is not reset under its answer, however much that is."""
        served, client = make(answers("401 Unauthorized"))
        served.send(client, post(b"Expect: 100-continue", b"Content-Length: 8000000"))
        for _ in range(80):
            served.send(client, b"x" * 100_000)

        assert statuses(client) == [401]
        assert client.closed

    def test_too_late(self, make: Make) -> None:
        """Once the answer has begun it is too late: the application gets an error, the client sees the cut."""
        raised: list[BaseException] = []

        def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"begun"
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                raised.append(error)
                raise

        served, client = make(app)
        served.send(client, ASKS)

        assert str(raised[0]) == "request body not received: the answer has begun"
        assert CONTINUE not in client.read()
        assert client.received.endswith(b"5\r\nbegun\r\n")

    def test_request_is_over(self, make: Make) -> None:
        """A stream that the application kept reads nothing of the next request."""
        kept: list[Any] = []

        def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
            kept.append(environ["wsgi.input"])
            return answers("200 OK")(environ, start_response)

        served, client = make(app)
        served.send(client, ASKS)
        with pytest.raises(OSError, match="the answer has begun"):
            kept[0].read()

    def test_request_goes_elsewhere(self, make: Make) -> None:
        """It can: nothing of it is taken. It counts no longer as one that may ask."""
        served, client = make(answers("200 OK"))
        take = served.poller.rounds._take
        served.poller.rounds._take = lambda connection, seat: served.waiting._give_back(connection, Kind.WAITS)
        served.send(client, ASKS)

        assert served.reports[-1][0] is Kind.WAITS
        assert served.slot().state is SlotState.IDLE
        assert served.poller.spool.asked == 0
        served.poller.rounds._take = take


class TestDoesNotCome:
    def test_client_goes_away(self, make: Make) -> None:
        """The application gets an OSError; no answer is sent, and nothing is logged."""
        raised: list[BaseException] = []

        def use(stream: Any) -> bytes:
            try:
                return bytes(stream.read())
            except OSError as error:
                raised.append(error)
                raise

        served, client = make(reader(use), None)
        with capturedLogs() as events:
            served.send(client, ASKS)

        assert str(raised[0]) == "request body not received: the client is gone"
        assert served.reports[-1][0] is Kind.CLOSED
        assert events == []
        assert served.totals.by["POST", "none"] == 1

    def test_client_takes_too_long(self, make: Make) -> None:
        """408, where the application does not answer itself."""
        served, client = make(reader(lambda stream: stream.read()), b"", replace(READ, body_timeout=0.05))
        served.send(client, ASKS)

        assert statuses(client) == [100, 408]
        assert client.answers()[-1]["Connection"] == ["close"]
        assert served.slot().state is SlotState.CLOSING

    def test_application_answers_itself(self, make: Make) -> None:
        """Its answer goes out, and is the last."""

        def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
            try:
                environ["wsgi.input"].read()
            except OSError:
                start_response("400 Bad Request", [])
            return [b"slow"]

        served, client = make(app, b"he", replace(READ, body_timeout=0.05))
        served.turns.aside = lambda: None
        served.send(client, ASKS)

        assert statuses(client) == [100, 400]
        assert client.answers()[-1]["Connection"] == ["close"]

    def test_no_room(self, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """507, where the spool cannot be written and memory is full."""
        monkeypatch.setattr(spool, "MAX_MEMORY_BYTES", 1 << 10)
        served, client = make(reader(lambda stream: stream.read()), b"x" * 2000)
        served.poller.spool._directory = str(tmp_path / "nowhere")
        with capturedLogs() as events:
            served.send(client, post(b"Expect: 100-continue", b"Content-Length: 2000"))

        assert statuses(client) == [100, 507]
        assert [event["log_level"].name for event in events] == ["error"]
        assert served.count(W_SPOOLED) == 0

    @pytest.mark.parametrize(("length", "status"), [(1000, 503), (3000, 413)])
    def test_no_room_for_what_is_announced(self, make: Make, length: int, status: int) -> None:
        """It is refused before the application is called, with Retry-After where that helps."""
        served, client = make(answers("200 OK"), settings=replace(READ, spool_size=2000))
        served.poller.spool.take(1500, 1500)
        served.send(client, post(b"Expect: 100-continue", b"Content-Length: %d" % length))
        (answer,) = client.answers()

        assert (answer.status, answer["Retry-After"]) == (status, ["5"] if status == 503 else [])
        served.poller.spool.let_go(0, 1500)


    @pytest.mark.parametrize("reads", [True, False])
    def test_time_of_the_application_is_over(self, make: Make, reads: bool) -> None:
        """504, whether it had the body or not."""

        def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
            if reads:
                environ["wsgi.input"].read()
            raise RequestTimeout

        served, client = make(app)
        with capturedLogs():
            served.send(client, ASKS)
        assert statuses(client) == [100] * reads + [504]

    def test_room_is_gone_meanwhile(self, make: Make) -> None:
        """503, with Retry-After."""
        served, client = make(reader(lambda stream: stream.read()), settings=replace(READ, spool_size=2000))

        def answer() -> None:
            served.poller.spool.take(1995, 1995)
            client.sock.sendall(BODY)

        served.turns.aside = answer
        served.send(client, ASKS)

        assert statuses(client) == [100, 503]
        assert client.answers()[-1]["Retry-After"] == ["5"]
        assert served.count(W_SPOOLED) == 1995


class TestEarly:
    @pytest.mark.parametrize(
        "settings", [replace(READ, expect="early"), replace(READ, threads=1), replace(READ, stand_ins=0, threads=1)]
    )
    def test_settings(self, make: Make, settings: Settings) -> None:
        """Where the settings say so, and with one thread, which no client may hold, the body comes first."""
        called: list[int] = []

        def use(stream: Any) -> bytes:
            called.append(1)
            return bytes(stream.read())

        served, client = make(reader(use), settings=settings)
        served.send(client, ASKS)
        assert client.read() == CONTINUE
        assert not called
        served.send(client, BODY)
        assert statuses(client) == [100, 200]

    def test_chunked(self, make: Make) -> None:
        """The application sees the length of a body; that of a chunked one is known when it is complete."""
        served, client = make(reader(lambda stream: stream.read()))
        served.send(client, post(b"Expect: 100-continue", b"Transfer-Encoding: chunked"))
        assert client.read() == CONTINUE
        served.send(client, b"a\r\n" + BODY + b"\r\n0\r\n\r\n")
        assert [answer.body for answer in client.answers()] == [b"", BODY]

    def test_many_wait(self, make: Make) -> None:
        """When clients hold all threads that they may, bodies are read before the application is called."""
        served, client = make(reader(lambda stream: stream.read()))
        while served.poller.spool.may_ask():
            pass
        served.send(client, ASKS)
        assert client.read() == CONTINUE
        assert served.slot().state is SlotState.READING

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (post(b"Expect: 100-continue", b"Content-Length: 10", line=b"POST / HTTP/1.0") + BODY, 200),
            (post(b"Expect: 100-continue", b"Content-Length: 10", body=BODY), 200),
            (post(b"Expect: 100-continue", b"Content-Length: 0"), 200),
            (head(b"Expect: 100-continue"), 200),
            (post(b"Expect: something", b"Content-Length: 10"), 417),
        ],
    )
    def test_nobody_waits(self, make: Make, data: bytes, status: int) -> None:
        """HTTP/1.0, a body that is there already, or none; and an unknown expectation is refused."""
        served, client = make(reader(lambda stream: stream.read()))
        served.send(client, data)
        assert statuses(client) == [status]
