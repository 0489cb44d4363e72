"""Where the application runs: long calls delay nobody, one thread is one thread, in each mode of `--turns`."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.load import several

MODES = ("adaptive", "inline", "pool")
by_mode = pytest.mark.parametrize("turns", MODES)

#: Each first segment of a path is its own route, not measured yet.
HELD = """
from app import app as probe, wait

def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/held"):
        wait("held")
    return probe({**environ, "PATH_INFO": "/pid"}, start_response)
"""


def put(folder: Path, text: str) -> str:
    """Put an application next to the probe; returns its target."""
    (folder / "mine.py").write_text(text)
    return "mine:app"


class TestLongCalls:
    @by_mode
    def test_delays_nobody(self, start: Start, folder: Path, gate: Gate, turns: str) -> None:
        """While a call lasts, others are answered, and soon: it loses the reactor within some milliseconds."""
        server = start(put(folder, HELD), "--turns", turns, "--threads", "4").ready()
        took = []
        with server.connect() as quick:
            quick.get("/quick")
            for number in range(20):
                with server.connect() as slow:
                    slow.ask(f"/held-{number}")
                    visitor = gate.visitor("held")
                    begun = time.monotonic()
                    assert quick.get("/quick").status == 200
                    took.append(time.monotonic() - begun)
                    visitor.release()
                    assert slow.response().status == 200
        # A machine with other work may leave any process without a processor for longer, but not most of the time.
        assert sorted(took)[15] < 0.05, took

    @by_mode
    @pytest.mark.parametrize("threads", [1, 2])
    def test_keep_every_thread(self, start: Start, folder: Path, gate: Gate, threads: int, turns: str) -> None:
        """A thread still leads: requests without the application are answered, others as soon as a call ends."""
        server = start(put(folder, HELD), "--turns", turns, "--threads", str(threads)).ready()
        clients = [server.connect() for _ in range(threads + 2)]
        for number, client in enumerate(clients):
            client.ask(f"/held-{number}")
        visitors = [gate.visitor("held") for _ in range(threads)]
        with server.connect() as malformed:
            malformed.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert malformed.response().status == 400

        for visitor in visitors:
            visitor.release()
        for _ in range(2):
            gate.visitor("held").release()
        assert [client.response().status for client in clients] == [200] * len(clients)

    @pytest.mark.parametrize(("turns", "threads"), [("inline", 4), ("adaptive", 1)])
    def test_outlasts_the_graceful_time(
        self, start: Start, folder: Path, gate: Gate, turns: str, threads: int
    ) -> None:
        """A call that does not end, on whatever thread, does not keep the server from stopping."""
        more = ("--graceful-timeout", "300ms")
        server = start(put(folder, HELD), "--turns", turns, "--threads", str(threads), *more).ready()
        with server.connect() as client:
            client.ask("/held")
            visitor = gate.visitor("held")
            server.send(signal.SIGTERM)
            visitor.wait_for_end()
            assert client.ended()
        assert server.exit_code(10.0) == 0


#: Says what it saw in `/problems`; the connection belongs to the thread that imports this.
ONE_THREAD = """
import sqlite3
import threading
import time

database = sqlite3.connect(":memory:")
database.execute("create table visits (path)")
importer, calls, problems = threading.current_thread(), [], []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    calls.append(path)
    if calls != [path] or threading.current_thread() is not importer is not threading.main_thread():
        problems.append(f"{path}: {calls} on {threading.current_thread()}")
    if path.startswith("/slow"):
        time.sleep(0.006)
    database.execute("insert into visits values (?)", [path])
    count = database.execute("select count(*) from visits where path = ?", [path]).fetchone()[0]
    start_response("200 OK", [])
    yield str(problems if path == "/problems" else count).encode()
    if path.startswith("/slow"):
        time.sleep(0.004)
        yield b"!"
    calls.remove(path)
"""


class TestOneThread:
    @by_mode
    def test_calls_run_on_the_main_thread(self, start: Start, folder: Path, turns: str) -> None:
        """An SQLite connection opened at import works, with long calls too: one call at a time, and no other thread."""
        server = start(put(folder, ONE_THREAD), "--threads", "1", "--turns", turns).ready()

        def ask(number: int) -> None:
            with server.connect() as client:
                for turn in range(1, 21):
                    slow = (number + turn) % 2
                    answer = client.get(f"/{'slow' if slow else 'quick'}/{number}")
                    assert answer.body == b"%d%s" % ((turn + 1) // 2, b"!" * slow)

        several(6, ask)
        assert server.get("/problems") == "[]"


CONTEXT = """
import contextvars
import time

seen = contextvars.ContextVar("seen", default="nothing")

class Body:
    def __init__(self, text):
        self.text = text

    def __iter__(self):
        yield self.text.encode()
        yield f" then {seen.get()}".encode()

    def close(self):
        seen.set("closed")

def app(environ, start_response):
    text = seen.get()
    seen.set(environ["PATH_INFO"])
    if "slow" in environ["PATH_INFO"]:
        time.sleep(0.006)
    start_response("200 OK", [])
    return Body(text)
"""


class TestContext:
    @by_mode
    @pytest.mark.parametrize("threads", [1, 4])
    def test_ends_with_the_request(self, start: Start, folder: Path, threads: int, turns: str) -> None:
        """What a request sets in a context variable is there until its end, and never in another request."""
        server = start(put(folder, CONTEXT), "--threads", str(threads), "--turns", turns).ready()

        def ask(number: int) -> None:
            with server.connect() as client:
                for turn in range(20):
                    path = f"/{'slow' if turn % 3 == 0 else 'quick'}/{number}/{turn}"
                    assert client.get(path).body == f"nothing then {path}".encode()

        several(4, ask)


#: 24 MiB, more than the kernel holds for a client that does not read; each piece is another.
STREAM = """
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/quick":
        return [b"quick"]
    pieces = [bytes([number]) * 98304 for number in range(256)]
    if environ["PATH_INFO"].startswith("/streamed"):
        return iter(pieces)
    return [b"".join(pieces)]
"""


class TestSlowReaders:
    @by_mode
    @pytest.mark.parametrize("path", ["/streamed", "/whole"])
    def test_others_are_answered(self, start: Start, folder: Path, path: str, turns: str) -> None:
        """More clients than there are threads do not read large answers: the others notice nothing, nor do they."""
        server = start(put(folder, STREAM), "--threads", "2", "--turns", turns).ready()
        readers = [server.connect() for _ in range(4)]
        for number, reader in enumerate(readers):
            reader.ask(f"{path}-{number}")
            # Its answer has begun.
            reader.read_to(b"\r\n\r\n")
        with server.connect() as quick:
            for _ in range(20):
                assert quick.get("/quick").body == b"quick"

        for reader in readers:
            self._check(reader, chunked=path == "/streamed")

    def test_of_a_server_with_one_thread(self, start: Start, folder: Path) -> None:
        """The thread waits for a client that does not read a body which is still made; the reactor does not."""
        server = start(put(folder, STREAM), "--threads", "1").ready()
        reader, other = server.connect(), server.connect()
        reader.ask("/streamed")
        reader.read_to(b"\r\n\r\n")
        other.ask("/quick")
        with server.connect() as malformed:
            malformed.send(b"GET / HTTP/1.1\r\n\r\n")
            assert malformed.response().status == 400

        self._check(reader, chunked=True)
        assert other.response().body == b"quick"

    @staticmethod
    def _check(reader: Client, *, chunked: bool) -> None:
        for number in range(256):
            piece = reader.chunk() if chunked else reader.read(98304)
            assert piece == bytes([number]) * 98304


@pytest.mark.parametrize(("front", "told"), [("run", "twistcorn"), ("twist", "Error")])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--turns", "x"), "invalid value 'x' for --turns: expected adaptive, inline or pool"),
        (("--queue-size", "0"), "invalid value '0' for --queue-size: expected a whole number from 1 to 1000000"),
    ],
)
def test_wrong_value_is_one_line(
    start: Start, front: str, told: str, arguments: tuple[str, str], message: str
) -> None:
    """It names the option, the value and what is allowed, and the program ends with 64."""
    server = start("--app", "app:app", *arguments, front=front)
    assert server.exit_code() == 64
    # `twist` shows its usage behind it, as it always does.
    assert server.errors[:1] == [f"{told}: {message}"]
    assert front == "twist" or len(server.errors) == 1
