"""HTTP as a client sees it on one connection: bodies, persistence, refusals, failures of the application."""

from __future__ import annotations

import socket

import pytest

from tests.integration.client import Client, Ended
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import Server

KIB = 1024
sizes = pytest.mark.parametrize(
    "size", [0, 1, 100 * KIB, 3 * KIB * KIB], ids=["empty", "one byte", "100 KiB", "3 MiB"]
)


@pytest.fixture(scope="module")
def gate(shared: tuple[Start, Gate]) -> Gate:
    """The gate of the shared server's application."""
    return shared[1]


@pytest.fixture(scope="module")
def server(shared: tuple[Start, Gate]) -> Server:
    """One server with one worker for all tests of this module."""
    return shared[0]("app:app", tracebacks=True).ready()


def body_of(size: int) -> bytes:
    """A body in which a lost or doubled piece shows."""
    return b"".join(b"%08x" % number for number in range(size // 8 + 1))[:size]


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of this size."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


# Bodies


@sizes
def test_content_length_body_comes_back(server: Server, size: int) -> None:
    """A body with a Content-Length reaches the application whole, and its connection goes on."""
    body = body_of(size)
    with server.connect() as client:
        client.ask("/echo", "POST", body)
        assert client.response().body == body
        assert client.get("/version").body == b"one"


@sizes
@pytest.mark.parametrize("piece", [7000, 1 << 20], ids=["small chunks", "large chunks"])
def test_chunked_body_comes_back(server: Server, size: int, piece: int) -> None:
    """A chunked body reaches the application whole and without its framing, and its connection goes on."""
    body = body_of(size)
    with server.connect() as client:
        client.ask("/echo", "POST", headers="Transfer-Encoding: chunked\r\n")
        client.send(chunked(body, piece))
        assert client.response().body == body
        assert client.get("/version").body == b"one"


def test_body_that_comes_byte_by_byte_comes_back(server: Server) -> None:
    """Head and chunked body in the smallest pieces make the same request."""
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in head + chunked(b"hello world", 4):
            client.send(bytes([number]))
        assert client.response().body == b"hello world"


def test_expecting_client_is_told_to_continue(server: Server) -> None:
    """`Expect: 100-continue`: the interim answer comes first, then the body is sent, then the final one."""
    with server.connect() as client:
        client.ask("/echo", "POST", headers="Content-Length: 5\r\nExpect: 100-continue\r\n")
        assert client.read_to(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert client.response().body == b"hello"
        assert client.get("/version").body == b"one"


def test_body_whose_client_goes_away_reaches_nobody(server: Server) -> None:
    """A body that ends before its length never reaches the application."""
    with server.connect() as client:
        client.send(b"POST /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended()
    assert "POST /half" not in server.get("/seen").split("\n")


# Connections


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Requests sent at once are answered one after the other, with the bodies where they belong."""
    with server.connect() as client:
        for number in range(50):
            if number % 3:
                client.ask(f"/environ?key=QUERY_STRING&number={number}")
            else:
                client.ask("/echo", "POST", b"body %d" % number)
        for number in range(50):
            expected = f"key=QUERY_STRING&number={number}" if number % 3 else f"body {number}"
            assert client.response().body == expected.encode()


def test_pipelined_requests_behind_a_large_body_are_answered(server: Server) -> None:
    """What follows a body that was taken in pieces is the next request."""
    body = body_of(3 * KIB * KIB)
    with server.connect() as client:
        client.ask("/echo", "POST", body[:-1], version="1.1")
        client.ask("/version")
        assert client.response().body == body[:-1]
        assert client.response().body == b"one"


def test_pipelined_requests_before_the_client_closes_its_side_are_answered(server: Server) -> None:
    """A client that has sent all it wants, and says so, gets all its answers, then the end."""
    with server.connect() as client:
        for _ in range(5):
            client.ask("/version")
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.response().body for _ in range(5)] == [b"one"] * 5
        assert client.ended()


@pytest.mark.parametrize(
    ("version", "asked", "told", "stays"),
    [
        pytest.param("1.1", "", None, True, id="1.1"),
        pytest.param("1.1", "Connection: close\r\n", "close", False, id="1.1 close"),
        pytest.param("1.1", "Connection: Keep-Alive, Close\r\n", "close", False, id="1.1 close in a list"),
        pytest.param("1.0", "", "close", False, id="1.0"),
        pytest.param("1.0", "Connection: keep-alive\r\n", "keep-alive", True, id="1.0 keep-alive"),
    ],
)
def test_connection_persists_as_asked(
    server: Server, version: str, asked: str, told: str | None, stays: bool
) -> None:
    """The connection stays open or closes as the client asked, and as the answer says."""
    with server.connect() as client:
        client.ask("/version", headers=asked, version=version)
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"one")
        assert answer.headers.get("connection") == told
        if stays:
            assert client.get("/version").body == b"one"
        else:
            assert client.ended()


def test_head_request_gets_the_head_alone(server: Server) -> None:
    """HEAD is answered with the length of what GET would get, without it, and the connection goes on."""
    with server.connect() as client:
        client.ask("/version", "HEAD")
        answer = client.response("HEAD")
        assert (answer.status, answer.headers["content-length"]) == (200, "3")
        assert client.get("/version").body == b"one"


# Streams


def test_first_chunk_leaves_before_the_second_is_made(server: Server, gate: Gate) -> None:
    """What a streaming application yields is sent at once."""
    with server.connect() as client:
        client.ask("/stream")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in client.read_to(b"\r\n\r\n")
        assert client.chunk() == b"first"
        gate.visitor("stream").release()
        assert client.chunk() == b"second"
        assert client.chunk() == b""
        assert client.get("/version").body == b"one"


def test_stream_for_an_old_client_ends_with_the_connection(server: Server, gate: Gate) -> None:
    """HTTP/1.0 knows no chunks: the end of the connection is the end of the body."""
    with server.connect() as client:
        client.ask("/stream", version="1.0", headers="Connection: keep-alive\r\n")
        head = client.read_to(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in head
        assert b"\r\nConnection: close\r\n" in head
        assert client.read(5) == b"first"
        gate.visitor("stream").release()
        assert client.rest() == b"second"


# Failures


def test_app_that_raises_is_500_and_a_logged_traceback(server: Server) -> None:
    """An exception of the application is answered with 500, and logged with its traceback and the request."""
    since = server.mark()
    with server.connect() as client:
        answer = client.get("/raise?token=secret")
        assert answer.status == 500
        assert b"LookupError" not in answer.body
        assert client.get("/version").body == b"one"
    server.wait_for(r"GET /raise\b.*: the application raised", since=since)
    server.wait_for("LookupError: the probe raises this on purpose", since=since)
    assert any("Traceback" in line for line in server.lines[since:])
    assert "secret" not in server.log


def test_app_that_raises_after_the_first_byte_closes_the_connection(server: Server) -> None:
    """An exception behind the first chunk: the client sees that the body is not whole."""
    since = server.mark()
    with server.connect() as client:
        client.ask("/raise-late")
        client.read_to(b"\r\n\r\n")
        assert client.chunk() == b"first"
        with pytest.raises(Ended) as end:
            client.chunk()
        assert end.value.seen == b""
    server.wait_for(r"GET /raise-late\b.*: the application raised", since=since)


REFUSED = [
    pytest.param(b"nonsense\r\n\r\n", 400, id="no request line"),
    pytest.param(b"GET /refused HTTP/1.1\r\n\r\n", 400, id="no Host"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two Hosts"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", 400, id="blank in a name"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, id="folded line"),
    pytest.param(b"GET /refused HTTP/1.1\nHost: a\n\n", 400, id="bare LF"),
    pytest.param(b"GET /re\0fused HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="NUL"),
    pytest.param(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, id="negative length"),
    pytest.param(
        b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, id="length and chunks",
    ),
    pytest.param(
        b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, id="bad chunk size"
    ),
    pytest.param(
        b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, id="unknown coding"
    ),
    pytest.param(b"GET /refused HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="unknown version"),
    pytest.param(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="line too long"),
    pytest.param(b"GET /" + b"x" * 9000, 414, id="line too long without end"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431, id="field too large"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, id="too many fields"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 9000, 431, id="head too large"),
    pytest.param(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741825\r\n\r\n", 413, id="body too large"),
    pytest.param(b"GET /refused HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417, id="unknown expectation"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), REFUSED)
def test_refused_request_closes_and_never_reaches_the_app(server: Server, data: bytes, status: int) -> None:
    """A request that is refused gets its status and `Connection: close`; what follows is not a request."""
    before = seen(server)
    with server.connect() as client:
        client.send(data + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * (data[-4:] == b"\r\n\r\n"))
        answer = client.response()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.ended()
    assert seen(server)[len(before) :] == ["GET /seen"]


def seen(server: Server) -> list[str]:
    """The requests that reached the application."""
    return server.get("/seen").split("\n")


def test_client_that_closes_in_the_middle_of_the_answer_harms_nobody(server: Server) -> None:
    """A reset while a large answer is on its way ends that connection alone."""
    clients: list[Client] = [server.connect() for _ in range(8)]
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.ask("/echo", "POST", body_of(3 * KIB * KIB))
        client.read(100)
        client.close()
    (pid,) = server.worker_pids
    assert server.get("/pid") == str(pid)
