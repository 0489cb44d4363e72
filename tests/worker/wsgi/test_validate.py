"""The server's side of WSGI as the standard library's validator sees it, on every route of an application."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.validate import validator

import pytest
from twisted.logger import capturedLogs

from tests.http.cases import DEFAULTS, head
from tests.worker.apps import RecordingOut, Start, current
from twistcorn import demo
from twistcorn.worker.http.request import parse_head
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.wsgi.call import Call
from twistcorn.worker.wsgi.environ import EnvironMaker

Environ = dict[str, Any]
PLAIN = [("Content-Type", "text/plain")]


def listed(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
    return [b"hello"]


def generated(environ: Environ, start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b"hel"
    yield b"lo"


def written(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)(b"hel")
    return [b"lo"]


def nothing(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def unchanged(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"a"')])
    return []


def mended(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    try:
        raise KeyError
    except KeyError:
        start_response("503 Service Unavailable", PLAIN, current())
    return [b"sorry"]


def reader(read: Callable[[Any], bytes]) -> Callable[[Environ, Start], Iterable[bytes]]:
    """An application that answers with its request's body."""

    def answer(environ: Environ, start_response: Start) -> Iterable[bytes]:
        body = read(environ["wsgi.input"])
        start_response("200 OK", [*PLAIN, ("Content-Length", str(len(body)))])
        return [body]

    return answer


def complaining(environ: Environ, start_response: Start) -> Iterable[bytes]:
    environ["wsgi.errors"].write("a\n")
    environ["wsgi.errors"].writelines(["b\n"])
    environ["wsgi.errors"].flush()
    return listed(environ, start_response)


#: Applications, and the status and body of their answers to `hello` or a GET.
ROUTES: dict[str, tuple[Callable[[Environ, Start], Iterable[bytes]], int, bytes]] = {
    "a list": (listed, 200, b"hello"),
    "a generator": (generated, 200, b"hello"),
    "write": (written, 200, b"hello"),
    "204": (nothing, 204, b""),
    "304": (unchanged, 304, b""),
    "exc_info": (mended, 503, b"sorry"),
    "wsgi.errors": (complaining, 200, b"hello"),
    "read all": (reader(lambda stream: b"".join(iter(lambda: stream.read(100), b""))), 200, b"hello\nyou\n"),
    "read a byte": (reader(lambda stream: b"".join(iter(lambda: stream.read(1), b""))), 200, b"hello\nyou\n"),
    "read a line": (reader(lambda stream: stream.readline()), 200, b"hello\n"),
    "read lines": (reader(lambda stream: b"|".join(stream.readlines())), 200, b"hello\n|you\n"),
    "iterate": (reader(lambda stream: b"|".join(stream)), 200, b"hello\n|you\n"),
}


def run(application: Any, data: bytes, body: object = b"") -> RecordingOut:
    """One request, through the environ and the call; the validator's complaints are in the log."""
    request = parse_head(data, DEFAULTS)
    request.body = body if isinstance(body, bytes) else SimpleNamespace(file=body)
    maker = EnvironMaker(DEFAULTS, Address(socket.AF_INET, "192.0.2.1", 8000), 0, 8, 2)
    environ = maker.make(request, ("198.51.100.7", "50000"))
    out = RecordingOut(request.line.name)
    with capturedLogs() as events:
        Call(out).run(validator(application), environ)
    for event in events:
        if "log_failure" in event:
            event["log_failure"].raiseException()
    assert events == []
    return out


@pytest.mark.parametrize(("application", "status", "body"), ROUTES.values(), ids=ROUTES.keys())
class TestRoutes:
    def test_get_and_head(self, application: Any, status: int, body: bytes) -> None:
        """The validator finds nothing to complain of."""
        for method in (b"GET", b"HEAD"):
            out = run(application, head(b"Accept: */*", b"Cookie: a=b", line=method + b" /a%20b?c HTTP/1.1"))
            assert out.status == status
            assert out.ending == "end"

    def test_post(self, application: Any, status: int, body: bytes) -> None:
        """Nor with a body in memory or in a file, with a length or chunked."""
        for kind in (bytes, io.BytesIO):
            for field in (b"Content-Length: 10", b"Transfer-Encoding: chunked"):
                sent = head(field, b"Content-Type: a/b", line=b"POST / HTTP/1.1")
                out = run(application, sent, kind(b"hello\nyou\n"))
                assert (out.status, out.body, out.ending) == (status, body, "end")


class TestDemo:
    @pytest.mark.parametrize(
        "path", ["/", "/slow?seconds=0", "/stream", "/crash", "/environ", "/healthz", "/no"]
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_built_in_application(self, monkeypatch: pytest.MonkeyPatch, method: str, path: str) -> None:
        """The demo is a valid application, too."""
        monkeypatch.setattr(demo, "STREAM_PAUSE_SECONDS", 0)
        out = run(demo.app, head(line=f"{method} {path} HTTP/1.1".encode()))

        assert out.status == (404 if path == "/no" else 200)
        assert out.ending == "end"

    @pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
    def test_echo(self, field: bytes) -> None:
        """It gives back what it got."""
        out = run(demo.app, head(field, line=b"POST /echo HTTP/1.1"), b"hello")

        assert (out.status, out.body) == (200, b"hello")

    def test_error(self) -> None:
        """Its exception is a 500."""
        with pytest.raises(RuntimeError, match="on purpose"):
            run(demo.app, head(line=b"GET /error HTTP/1.1"))


class TestFile:
    def test_wrapped_file(self, tmp_path: Path) -> None:
        """`wsgi.file_wrapper` is an iterable that closes its file."""
        (tmp_path / "a").write_bytes(b"hello" * 1000)
        opened = []

        def sends(environ: Environ, start_response: Start) -> Iterable[bytes]:
            start_response("200 OK", PLAIN)
            opened.append((tmp_path / "a").open("rb"))
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened[0], 100)
            return wrapped

        out = run(sends, head())
        assert (out.body, len(out.pieces), out.ending) == (b"hello" * 1000, 50, "end")
        assert opened[0].closed
