"""Answers on the wire: 100 Continue, framing by method, status and version, and how a connection ends."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.logger import capturedLogs

from twistcorn.settings import Settings
from twistcorn.worker.http.request import PEEK_BYTES

from .cases import DEFAULTS, NEXT, chunked, head, post
from .served import Client, Served

pytestmark = pytest.mark.usefixtures("mode")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = b"Expect: 100-continue"
LENGTH = b"Content-Length: 5"

Headers = list[tuple[str, str]]


def app(
    *chunks: bytes, status: str = "200 OK", headers: Headers | None = None, listed: bool = False
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """An application that always gives this answer, as a list or piece by piece."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, headers or [])
        return list(chunks) if listed else iter(chunks)

    return answer


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An application that answers with the request's path and body."""
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode("latin-1") + b" " + environ["wsgi.input"].read()]


Serve = Callable[..., tuple[Served, Client]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a worker with a client; closes it at the end."""
    made: list[Served] = []

    def make(application: Any = echo, settings: Settings = DEFAULTS) -> tuple[Served, Client]:
        made.append(Served(application, settings))
        return made[-1], made[-1].connect()

    yield make
    for served in made:
        served.close()


class TestContinue:
    @pytest.mark.parametrize("field", [LENGTH, b"Transfer-Encoding: chunked"])
    def test_client_waits_for_it(self, serve: Serve, field: bytes) -> None:
        """It is sent once, when the head is accepted, and the answer follows the body."""
        served, client = serve()
        served.send(client, post(EXPECT, field))
        assert client.read() == CONTINUE

        body = b"hello" if field is LENGTH else b"5\r\nhello\r\n0\r\n\r\n"
        for byte in body:
            served.send(client, bytes([byte]))

        assert [(answer.status, answer.body) for answer in client.answers()] == [
            (100, b""),
            (200, b"/ hello"),
        ]

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (post(EXPECT, b"Content-Length: 5,5"), 400),
            (post(EXPECT, b"Content-Length: 11"), 413),
            (post(EXPECT, b"Expect: a", LENGTH), 417),
            (post(EXPECT, b"Transfer-Encoding: gzip, chunked"), 501),
        ],
    )
    def test_head_is_refused(self, serve: Serve, data: bytes, status: int) -> None:
        """The refusal is all that the client gets (RFC 9110 section 10.1.1)."""
        served, client = serve(settings=replace(DEFAULTS, limit_request_body=10))
        served.send(client, data)

        assert [answer.status for answer in client.answers()] == [status]

    @pytest.mark.parametrize(
        "data",
        [
            post(EXPECT, LENGTH, body=b"hello"),
            chunked(b"5\r\nhello\r\n0\r\n\r\n").replace(b"\r\n\r\n", b"\r\n" + EXPECT + b"\r\n\r\n", 1),
            head(EXPECT),
            post(EXPECT, b"Content-Length: 0"),
        ],
    )
    def test_nothing_is_missing(self, serve: Serve, data: bytes) -> None:
        """A body that is there, or that there is none of, needs no permission."""
        served, client = serve()
        served.send(client, data)

        assert [answer.status for answer in client.answers()] == [200]

    def test_body_has_begun(self, serve: Serve) -> None:
        """A client that does not wait is not answered either."""
        served, client = serve()
        served.send(client, post(EXPECT, LENGTH, body=b"he"))
        assert client.read() == b""

        served.send(client, b"llo")
        assert [answer.body for answer in client.answers()] == [b"/ hello"]

    def test_client_of_1_0(self, serve: Serve) -> None:
        """It does not know the interim answer, and does not get it."""
        served, client = serve()
        served.send(client, post(EXPECT, LENGTH, line=b"POST / HTTP/1.0"))
        assert client.read() == b""

        served.send(client, b"hello")
        assert [answer.status for answer in client.answers()] == [200]


class TestFraming:
    def test_pieces_on_1_1(self, serve: Serve) -> None:
        """A body of unknown length is chunked, each piece a chunk, and the connection goes on."""
        served, client = serve(app(b"one", b"", b"two"))
        served.send(client, head() + NEXT)

        assert client.read().count(b"\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") == 2
        assert not client.closed

    @pytest.mark.parametrize("field", [b"X: a", b"Connection: keep-alive"])
    def test_pieces_on_1_0(self, serve: Serve, field: bytes) -> None:
        """A body of unknown length ends with the connection, whatever the client wants."""
        served, client = serve(app(b"one", b"two"))
        served.send(client, head(field, line=b"GET / HTTP/1.0"))

        answer, _, body = client.read().partition(b"\r\n\r\n")
        assert body == b"onetwo"
        assert b"\r\nConnection: close" in answer
        assert b"chunked" not in answer.lower()
        assert client.closed

    @pytest.mark.parametrize(("version", "said"), [(b"1.1", []), (b"1.0", ["keep-alive"])])
    def test_list_of_one(self, serve: Serve, version: bytes, said: list[str]) -> None:
        """Its length is known, and told; a client of 1.0 that keeps the connection is told so."""
        served, client = serve(app(b"hello", listed=True))
        served.send(client, head(b"Connection: keep-alive", line=b"GET / HTTP/" + version))

        (answer,) = client.answers()
        assert (answer["Content-Length"], answer["Connection"], answer.body) == (["5"], said, b"hello")
        assert not client.closed

    def test_close_is_asked_for(self, serve: Serve) -> None:
        """The answer says close, and the connection is closed."""
        served, client = serve()
        served.send(client, head(b"Connection: close"))

        assert [answer["Connection"] for answer in client.answers()] == [["close"]]
        assert client.closed

    def test_application_asks_for_close(self, serve: Serve) -> None:
        """Its Connection field is dropped, but what it wants is done."""
        served, client = serve(app(b"a", headers=[("Connection", "close")], listed=True))
        served.send(client, head() + NEXT)

        assert [answer["Connection"] for answer in client.answers()] == [["close"]]
        assert client.closed

    @pytest.mark.parametrize("listed", [True, False])
    @pytest.mark.parametrize(
        ("line", "status", "headers"),
        [
            (b"HEAD / HTTP/1.1", "200 OK", [("Content-Length", "5")]),
            (b"HEAD / HTTP/1.1", "200 OK", []),
            (b"HEAD / HTTP/1.1", "404 Not Found", []),
            (b"GET / HTTP/1.1", "204 No Content", []),
            (b"GET / HTTP/1.1", "304 Not Modified", []),
            (b"GET / HTTP/1.1", "304 Not Modified", [("Content-Length", "5")]),
        ],
    )
    def test_answer_without_a_body(
        self, serve: Serve, line: bytes, status: str, headers: Headers, listed: bool
    ) -> None:
        """What the application yields is not sent, and the next answer follows the head at once."""
        served, client = serve(app(b"hello", status=status, headers=headers, listed=listed))
        served.send(client, head(line=line) * 2)

        got = client.answers("HEAD", "HEAD")
        assert [(answer.status, answer.body) for answer in got] == [(int(status[:3]), b"")] * 2
        assert b"hello" not in client.received
        if headers:
            assert [answer["Content-Length"] for answer in got] == [["5"]] * 2

    @pytest.mark.parametrize("chunks", [(), (b"",)])
    def test_application_answers_head_with_nothing(self, serve: Serve, chunks: tuple[bytes, ...]) -> None:
        """That says nothing about the length of a GET's answer (RFC 9110 section 8.6)."""
        served, client = serve(app(*chunks, listed=True))
        served.send(client, head(line=b"HEAD / HTTP/1.1"))

        assert [answer["Content-Length"] for answer in client.answers("HEAD")] == [[]]

    def test_application_gives_204_a_length(self, serve: Serve) -> None:
        """It is dropped: a 204 must not have one (RFC 9110 section 8.6)."""
        served, client = serve(app(status="204 No Content", headers=[("Content-Length", "0")]))
        served.send(client, head())

        assert [answer["Content-Length"] for answer in client.answers()] == [[]]

    def test_server_and_date(self, serve: Serve) -> None:
        """They are there once: the application's, where it has some."""
        served, client = serve(app(b"a", listed=True))
        served.send(client, head())
        mine, own = serve(app(b"a", headers=[("sErver", "own"), ("Date", "now")], listed=True))
        mine.send(own, head())

        (answer,) = client.answers()
        assert answer["Server"] == ["twistcorn"]
        assert answer["Date"][0].endswith(" GMT")
        (answer,) = own.answers()
        assert (answer["Server"], answer["Date"]) == (["own"], ["now"])

    def test_hop_by_hop_fields_of_the_application(self, serve: Serve) -> None:
        """They are dropped: a body is never framed twice."""
        headers = [
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Keep-Alive", "1"),
            ("Trailer", "X"),
        ]
        served, client = serve(app(b"hello", b"you", headers=headers))
        served.send(client, head())

        (answer,) = client.answers()
        assert (answer["Transfer-Encoding"], answer.body) == (["chunked"], b"helloyou")
        assert [answer[name] for name in ("Upgrade", "Keep-Alive", "Trailer")] == [[], [], []]


class TestPipelines:
    def test_requests_come_together(self, serve: Serve) -> None:
        """They are answered in their order."""
        served, client = serve()
        two = post(LENGTH, body=b"hello", line=b"POST /2 HTTP/1.1")
        three = chunked(b"5\r\nworld\r\n0\r\n\r\n").replace(b" / ", b" /3 ")
        served.send(client, head(line=b"GET /1 HTTP/1.1") + two + three)

        assert [answer.body for answer in client.answers()] == [b"/1 ", b"/2 hello", b"/3 world"]

    def test_body_is_larger_than_a_look(self, serve: Serve) -> None:
        """A body that has to be taken as it comes leaves the request behind it alone."""
        served, client = serve()
        body = b"x" * 100_000
        served.send(client, post(b"Content-Length: 100000", body=body) + NEXT)
        served.send(client, chunked(b"186a0\r\n%b\r\n0\r\nX: a\r\n\r\n" % body) + NEXT)

        assert [answer.body for answer in client.answers()] == [b"/ " + body, b"/next "] * 2

    @pytest.mark.parametrize("more", [-2, -1, 0, 1, 2])
    @pytest.mark.parametrize("coded", [True, False])
    def test_body_ends_at_the_edge_of_a_look(self, serve: Serve, more: int, coded: bool) -> None:
        """One byte decides whether it is only looked at or taken as it comes, and nothing else."""
        served, client = serve()
        field = b"Transfer-Encoding: chunked" if coded else b"Content-Length: 30000"
        framing = (b"7530\r\n", b"\r\n0\r\n\r\n") if coded else (b"", b"")
        body = b"x" * 30_000
        filler = PEEK_BYTES + more - len(post(field, b"X: ", body=body)) - len(framing[0] + framing[1])
        request = post(field, b"X: " + b"a" * filler, body=body.join(framing))
        assert len(request) == PEEK_BYTES + more
        served.send(client, request + NEXT)

        assert [answer.body for answer in client.answers()] == [b"/ " + body, b"/next "]


class TestEnds:
    def test_client_closes_its_side(self, serve: Serve) -> None:
        """All that it asked is answered before the connection ends."""
        served, client = serve()
        client.sock.sendall(head() + post(LENGTH, body=b"hello") + NEXT)
        client.sock.shutdown(socket.SHUT_WR)
        served.run()

        assert [answer.body for answer in client.answers()] == [b"/ ", b"/ hello", b"/next "]
        assert client.closed

    @pytest.mark.parametrize(
        "part",
        [
            b"GET / HTTP/1.1\r\n",
            post(LENGTH, body=b"hel"),
            chunked(b"5\r\nhel"),
            chunked(b"5\r\nhello\r\n0\r\nX: a"),
        ],
    )
    def test_client_closes_its_side_within_a_request(self, serve: Serve, part: bytes) -> None:
        """A request that is not whole is not answered, and does not turn the end into a reset."""
        served, client = serve()
        client.sock.sendall(NEXT + part)
        client.sock.shutdown(socket.SHUT_WR)
        served.run()

        assert [answer.body for answer in client.answers()] == [b"/next "]
        assert client.closed

    def test_client_still_sends_when_it_is_refused(self, serve: Serve) -> None:
        """Its bytes are taken and forgotten, so that no reset destroys the answer on its way."""
        served, client = serve(settings=replace(DEFAULTS, limit_request_body=10))
        served.send(client, post(b"Content-Length: 1000000"))
        for _ in range(10):
            served.send(client, b"x" * 100_000)

        assert [answer.status for answer in client.answers()] == [413]
        assert client.closed

    @pytest.mark.parametrize("headers", [[], [("Content-Length", "10")]])
    @pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET / HTTP/1.0"])
    def test_body_is_cut(self, serve: Serve, headers: Headers, line: bytes) -> None:
        """The connection ends, without the last chunk, so that nothing looks like the rest of it."""

        def fails(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            start_response("200 OK", headers)
            yield b"hello"
            raise KeyError("the rest")

        served, client = serve(fails)
        with capturedLogs():
            served.send(client, head(b"Connection: keep-alive", line=line) + NEXT)

        assert client.read().count(b"HTTP/1.1") == 1
        assert not client.received.endswith(b"0\r\n\r\n")
        assert client.closed

    def test_head_is_refused(self, serve: Serve) -> None:
        """The refusal of a HEAD request has no body (RFC 9110 section 9.3.2)."""
        served, client = serve()
        served.send(client, head(b"Expect: a", line=b"HEAD / HTTP/1.1"))

        assert client.read().startswith(b"HTTP/1.1 417 ")
        assert client.received.endswith(b"\r\n\r\n")
