"""The resource in a stock `twisted.web` Site: the same call of the application, another way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.logger import capturedLogs
from twisted.web.server import Site

from tests.http.served import Answer, answers
from tests.worker.apps import Body, Headers, Start, app
from twistcorn.worker.wsgi.call import Application
from twistcorn.worker.wsgi.resource import WSGIResource


class OneThread:
    """A reactor and its thread pool, when there is one thread: everything happens at once."""

    def callFromThread(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        function(*args, **named)

    def callInThread(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        function(*args, **named)


class Mounted:
    """A Site with one connection.

    :ivar logged: the formats of what was logged meanwhile.
    """

    def __init__(self, application: Application, peer: Any = None) -> None:
        once: Any = OneThread()
        self.site = Site(WSGIResource(once, once, application), reactor=MemoryReactorClock())
        self.transport = StringTransportWithDisconnection(peerAddress=peer, hostAddress=peer)
        self.channel: Any = self.site.buildProtocol(None)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)
        self.logged: list[str] = []

    def send(self, data: bytes) -> None:
        with capturedLogs() as events:
            self.channel.dataReceived(data)
        self.logged = [event.get("log_format") or event.get("format") or "" for event in events]

    def answer(self) -> Answer:
        (answer,) = answers(self.transport.value())
        return answer


def get(
    application: Application, *fields: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b""
) -> Mounted:
    mounted = Mounted(application)
    mounted.send(b"\r\n".join([line, b"Host: a", *fields, b"", body]))
    return mounted


def environ_of(
    *fields: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b"", peer: Any = None
) -> dict[str, Any]:
    """The environ that an application in a Site gets, its body read."""
    got: dict[str, Any] = {}

    def keeps(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        got.update(environ, body=environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]

    mounted = Mounted(keeps, peer)
    mounted.send(b"\r\n".join([line, b"Host: a", *fields, b"", body]))
    assert mounted.answer().status == 200
    return got


class TestAnswers:
    @pytest.mark.parametrize("body", [[b"hello"], [b"he", b"llo"], iter([b"hel", b"", b"lo"])])
    def test_body(self, body: Any) -> None:
        """Status, fields and body are the application's."""
        mounted = get(app(body, [("X", "a"), ("X", "b"), ("Y", "")], "299 Any Words"))

        answer = mounted.answer()
        assert (answer.status, answer["X"], answer["Y"], answer.body) == (299, ["a", "b"], [""], b"hello")
        assert mounted.transport.value().startswith(b"HTTP/1.1 299 Any Words\r\n")

    def test_fields_that_the_site_has_too(self) -> None:
        """Server and Date are there once: the application's, where it has some."""
        own = get(app([b"a"], [("Server", "own"), ("date", "now")])).answer()
        sites = get(app([b"a"])).answer()

        assert (own["Server"], own["Date"]) == (["own"], ["now"])
        assert (len(sites["Server"]), len(sites["Date"])) == (1, 1)
        assert sites["Content-Type"] == []

    @pytest.mark.parametrize("body", [[b"hello"], iter([b"hello"])])
    def test_head(self, body: Any) -> None:
        """HEAD gets no body and the application's length."""
        mounted = get(app(body, [("Content-Length", "5")]), line=b"HEAD / HTTP/1.1")

        assert mounted.transport.value().endswith(b"\r\n\r\n")
        assert b"\r\nContent-Length: 5\r\n" in mounted.transport.value()

    def test_two_requests(self) -> None:
        """The connection goes on."""
        mounted = get(app([b"a"]))
        mounted.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        assert [answer.body for answer in answers(mounted.transport.value())] == [b"a", b"a"]

    def test_line_separator_in_a_field(self) -> None:
        """U+0085 is a byte like others, and not the end of the field."""
        answer = get(app([b"a"], [("X", "a\x85Set-Cookie: b=c")])).answer()

        assert answer["Set-Cookie"] == []
        assert answer["X"] in (["a\x85Set-Cookie: b=c"], [])

    @pytest.mark.parametrize(
        "headers",
        [
            [("X", "a\r\nY: b")],
            [("X\r\n", "a")],
            [(b"X", "a")],
            [("Content-Length", "a")],
            [("X", "\u20ac")],
        ],
    )
    def test_field_that_is_not_allowed(self, headers: Headers) -> None:
        """The client gets a 500 and nothing of it."""
        answer = get(app([b"a"], headers)).answer()

        assert (answer.status, answer["Y"]) == (500, [])

    @pytest.mark.parametrize(
        "application", [lambda environ, start_response: [b"a"], app([b"a"], status="200")]
    )
    def test_application_without_a_head(self, application: Application) -> None:
        """The client is answered, where the stock resource drops the connection."""
        assert get(application).answer().status == 500


class TestLength:
    @pytest.mark.parametrize("body", [[b"hello!"], [b"hello", b"!"], Body(b"hel", b"lo!", b"!")])
    def test_body_is_longer(self, body: Any) -> None:
        """What is too much does not leave: it would be taken for the next answer."""
        assert get(app(body, [("Content-Length", "5")])).transport.value().endswith(b"\r\n\r\nhello")

    @pytest.mark.parametrize("body", [[b"hell"], Body(b"he", b"ll")])
    def test_body_is_shorter(self, body: Any) -> None:
        """The connection is closed: the client would wait for the remainder."""
        mounted = get(app(body, [("Content-Length", "5")]))

        assert not mounted.transport.connected

    def test_transfer_encoding_of_the_application(self) -> None:
        """It is dropped: the body is chunked once."""
        answer = get(app(iter([b"hello"]), [("Transfer-Encoding", "chunked")])).answer()

        assert (answer["Transfer-Encoding"], answer.body) == (["chunked"], b"hello")


class TestFailures:
    @pytest.mark.parametrize("error", [KeyError("a"), SystemExit(1)])
    def test_iterator_raises_in_front_of_the_first_byte(self, error: BaseException) -> None:
        """500, and the iterable is closed."""
        body = Body(error)
        mounted = get(app(body))

        assert (mounted.answer().status, body.closed) == (500, 1)
        assert "{name}: the application {did}" in mounted.logged

    @pytest.mark.parametrize("wrong", [KeyError("a"), SystemExit(1), "text", 5])
    def test_iterator_fails_after_the_first_byte(self, wrong: Any) -> None:
        """The client sees that the body is not whole, and the iterable is closed."""
        body = Body(b"a", wrong, b"b")
        mounted = get(app(body))

        assert not mounted.transport.value().endswith(b"0\r\n\r\n")
        assert not mounted.transport.connected
        assert body.closed == 1

    def test_client_goes_away(self) -> None:
        """The iteration ends at the next chunk, the iterable is closed, and nothing is logged."""
        mounted: list[Mounted] = []

        class Leaves(Body):
            def __iter__(self) -> Any:
                for chunk in super().__iter__():
                    if self.asked == 2:
                        mounted[0].transport.loseConnection()
                    yield chunk

        body = Leaves(b"a", b"b", b"c", b"d")
        mounted.append(Mounted(app(body)))
        mounted[0].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        assert (body.asked, body.closed) == (2, 1)
        assert [line for line in mounted[0].logged if "{name}" in line] == []


class TestEnviron:
    def test_chunked_body(self) -> None:
        """It can be read to its end, and the environ says so."""
        made = environ_of(
            b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1", body=b"5\r\nhello\r\n0\r\n\r\n"
        )

        assert (made["body"], made["wsgi.input_terminated"]) == (b"hello", True)
        assert (made["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in made) == ("5", False)

    def test_body_with_a_length(self) -> None:
        """It is there, with its type."""
        made = environ_of(
            b"Content-Length: 5", b"Content-Type: a/b", line=b"POST /a%2Fb?c HTTP/1.1", body=b"hello"
        )

        assert (made["body"], made["CONTENT_LENGTH"], made["CONTENT_TYPE"]) == (b"hello", "5", "a/b")
        assert (made["REQUEST_METHOD"], made["QUERY_STRING"]) == ("POST", "c")

    @pytest.mark.parametrize("field", [b"Content-Type: a", b"Content-Length: 0", b"Proxy: a", b"X_Y: a"])
    def test_fields_that_have_no_variable(self, field: bytes) -> None:
        """They have none here either (PEP 3333; httpoxy; names that pass for others)."""
        assert [name for name in environ_of(field) if name.startswith("HTTP_")] == ["HTTP_HOST"]

    def test_repeated_fields(self) -> None:
        """They are joined as in the worker's own channel."""
        made = environ_of(b"X: a", b"X: b", b"Cookie: a=b", b"Cookie: c=d")

        assert (made["HTTP_X"], made["HTTP_COOKIE"]) == ("a,b", "a=b; c=d")

    @pytest.mark.parametrize(
        ("target", "path"),
        [(b"/", "/"), (b"/a/b/", "/a/b/"), (b"/%C3%A9%20b", "/\xc3\xa9 b"), (b"//a", "//a")],
    )
    def test_path(self, target: bytes, path: str) -> None:
        """It is decoded to bytes in a string; RAW_URI is not."""
        made = environ_of(line=b"GET %b?c HTTP/1.1" % target)

        assert (made["SCRIPT_NAME"], made["PATH_INFO"], made["QUERY_STRING"]) == ("", path, "c")
        assert made["RAW_URI"] == target.decode() + "?c"

    def test_peer(self) -> None:
        """Address and port are the client's."""
        made = environ_of(peer=IPv4Address("TCP", "192.0.2.7", 50000))

        assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("192.0.2.7", "50000")

    def test_unix_socket(self) -> None:
        """A peer without address and port is a peer (twisted#5406, twisted#8137)."""
        made = environ_of(peer=UNIXAddress(None))

        assert (made["REMOTE_ADDR"], made["SERVER_NAME"]) == ("", "a")

    def test_input_is_sought(self) -> None:
        """`wsgi.input` can be read a second time (twisted#11875)."""
        got = []

        def twice(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            stream = environ["wsgi.input"]
            got.append(stream.read())
            stream.seek(0)
            got.append(stream.read())
            start_response("200 OK", [])
            return [b""]

        get(twice, b"Content-Length: 5", line=b"POST / HTTP/1.1", body=b"hello")
        assert got == [b"hello", b"hello"]

    def test_client_goes_away_in_front_of_the_reading(self) -> None:
        """The body is there all the same: it was whole before the application was called."""
        got = []
        mounted: list[Mounted] = []

        def late(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            mounted[0].transport.loseConnection()
            got.append(environ["wsgi.input"].read())
            start_response("200 OK", [])
            return [b""]

        mounted.append(Mounted(late))
        mounted[0].send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert got == [b"hello"]
