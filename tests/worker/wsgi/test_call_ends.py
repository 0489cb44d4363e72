"""Calling an application: how a call ends whose time is over, and that the iterable is closed, however it ended."""

from __future__ import annotations

import itertools
import types
from typing import Any

import pytest

from tests.worker.apps import Body, RecordingOut, Start, app, call
from tests.worker.wsgi.test_call import RAISED
from twistcorn.errors import RequestTimeout
from twistcorn.worker.wsgi.call import CHECK_NANOSECONDS

TOOK_TOO_LONG = "the application took too long"
CLOSE_RAISED = "close() of the application's iterable raised"


class TestTimeout:
    def test_it_comes_in_the_call(self) -> None:
        """504, and the log says where it was."""

        def late(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            raise RequestTimeout

        out, logged = call(late)
        assert (out.status, out.ending, logged) == (504, "end", [TOOK_TOO_LONG])

    def test_it_comes_in_front_of_the_first_byte(self) -> None:
        """504, and the iterable is closed."""
        body = Body(RequestTimeout())
        out, logged = call(app(body))

        assert (out.status, out.ending, logged, body.closed) == (504, "end", [TOOK_TOO_LONG], 1)

    def test_it_comes_after_the_first_byte(self) -> None:
        """The client must see that the body is not whole; and the iterable is closed."""
        body = Body(b"a", RequestTimeout())
        out, logged = call(app(body))

        assert (out.status, out.pieces, out.ending) == (200, [b"a"], "cut")
        assert (logged, body.closed) == ([TOOK_TOO_LONG], 1)

    def test_application_makes_an_answer_of_it(self) -> None:
        """An application that catches the time-out may answer it itself."""

        def careful(environ: dict[str, Any], start_response: Start) -> Any:
            try:
                raise RequestTimeout
            except RequestTimeout:
                start_response("503 Busy", [])
                return [b"later"]

        out, logged = call(careful)
        assert (out.status, out.body, logged) == (503, b"later", [])

    def test_application_handles_errors(self) -> None:
        """It is none: a handler of errors does not swallow it."""

        def handler(environ: dict[str, Any], start_response: Start) -> Any:
            try:
                raise RequestTimeout
            except Exception:
                start_response("500 Oops", [])
                return [b"an error"]

        out, logged = call(handler)
        assert (out.status, logged) == (504, [TOOK_TOO_LONG])


class TestClose:
    @pytest.mark.parametrize("chunks", [(), (b"a",), (b"a", b"b"), (b"",)])
    @pytest.mark.parametrize("length", [None, "1", "5"])
    def test_body_is_out(self, chunks: tuple[bytes, ...], length: str | None) -> None:
        """It is called once, for any length."""
        body = Body(*chunks)
        call(app(body, [("Content-Length", length)] if length else []))

        assert body.closed == 1

    def test_head_is_bad(self) -> None:
        """It is called once also where the application's head is not allowed."""
        body = Body(b"a")
        call(lambda environ, start_response: body)

        assert body.closed == 1

    @pytest.mark.parametrize("error", [KeyError("a"), SystemExit(1)])
    def test_close_raises(self, error: BaseException) -> None:
        """It is logged, not called again, and does not affect a complete response."""
        for chunks in ((), (b"a",), (b"a", b"b")):
            for length in (None, len(chunks)):
                body = Body(*chunks, closing=error)
                out, logged = call(app(body, [] if length is None else [("Content-Length", str(length))]))

                assert (out.status, out.body, out.ending) == (200, b"".join(chunks), "end")
                assert (body.closed, logged) == (1, [CLOSE_RAISED])

    def test_close_raises_before_the_end(self) -> None:
        """A response that failed before, or is too short, does not look complete."""
        for body in (Body(b"a", KeyError("b"), closing=KeyError("c")), Body(b"a", closing=KeyError("c"))):
            out, _ = call(app(body, [("Content-Length", "2")]))
            assert (out.ending, body.closed) == ("cut", 1)

    def test_iterator_and_close_raise(self) -> None:
        """Both are logged."""
        body = Body(b"a", KeyError("a"), closing=KeyError("b"))
        _, logged = call(app(body))

        assert (body.closed, logged) == (1, [RAISED, CLOSE_RAISED])

    def test_client_is_gone_and_close_raises(self) -> None:
        """That is the application's error and is logged."""
        body = Body(b"a", b"b", closing=KeyError("b"))
        _, logged = call(app(body), RecordingOut(gone=1))

        assert (body.closed, logged) == (1, [CLOSE_RAISED])


class TestNoBodyIsDue:
    """The answers to HEAD, 204 and 304."""

    CASES = pytest.mark.parametrize(
        ("name", "status"), [("HEAD /", "200 OK"), ("GET /", "204 No Content"), ("GET /", "304 Not Modified")]
    )

    @CASES
    @pytest.mark.parametrize("first", [b"a", b""])
    @pytest.mark.parametrize("headers", [[], [("Content-Length", "1")], [("Content-Length", "500")]])
    def test_one_piece_is_asked_for(self, name: str, status: str, first: bytes, headers: Any) -> None:
        """The head is the whole answer: the iterable is closed without being asked for more."""
        body = Body(first, b"b", AssertionError("asked for more"))
        out, logged = call(app(body, headers, status), name=name)

        assert (body.asked, body.closed, out.ending, logged) == (1, 1, "end", [])

    @CASES
    def test_head_is_made_with_the_first_piece(self, name: str, status: str) -> None:
        """What is asked for before `start_response` was called does not count."""

        def late(environ: dict[str, Any], start_response: Start) -> Any:
            yield b""
            start_response(status, [])
            yield b""
            raise AssertionError("asked for more")

        out, logged = call(late, name=name)
        assert (out.ending, logged) == ("end", [])

    @CASES
    def test_pieces_are_written(self, name: str, status: str) -> None:
        """The second one is answered with an exception, as for a client that is gone; nothing is logged."""
        seen = []

        def writes(environ: dict[str, Any], start_response: Start) -> Any:
            write = start_response(status, [])
            try:
                for number in range(10):
                    seen.append(number)
                    write(b"a")
            finally:
                seen.append(-1)
            return []

        out, logged = call(writes, name=name)
        assert (seen, out.pieces, out.ending, logged) == ([0, 1, -1], [b"a"], "end", [])

    @CASES
    def test_pieces_are_written_and_the_exception_is_caught(self, name: str, status: str) -> None:
        """What the application returns then is closed and not asked for anything."""
        body = Body(AssertionError("asked"))

        def writes(environ: dict[str, Any], start_response: Start) -> Any:
            write = start_response(status, [])
            for _ in range(3):
                try:
                    write(b"a")
                except ConnectionError:
                    continue
            return body

        out, logged = call(writes, name=name)
        assert (body.closed, out.pieces, out.ending, logged) == (1, [b"a"], "end", [])

    @CASES
    def test_application_raises_after_its_head(self, name: str, status: str) -> None:
        """It is logged, and the answer is whole."""

        def raises(environ: dict[str, Any], start_response: Start) -> Any:
            start_response(status, [])(b"a")
            raise KeyError("late")

        out, logged = call(raises, name=name)
        assert (out.ending, logged) == ("end", [RAISED])


class TestNothingMoreIsDue:
    """Bodies that go on behind their Content-Length."""

    def test_iteration_ends(self) -> None:
        """The first piece too many is the last (PEP 3333, "Handling the Content-Length Header")."""
        body = Body(b"a", b"", b"b", AssertionError("asked for more"))
        out, _ = call(app(body, [("Content-Length", "1")]))

        assert (out.body, out.ending, body.asked, body.closed) == (b"a", "end", 3, 1)

    def test_end_raises(self) -> None:
        """It is logged; no byte is missing, so nothing is cut."""
        body = Body(b"a", KeyError("b"))
        out, logged = call(app(body, [("Content-Length", "1")]))

        assert (out.body, out.ending, logged) == (b"a", "end", [RAISED])


class TestNothingIsSaid:
    """Empty pieces: nothing is sent, which would show that the client is gone."""

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each reading of the clock advances it by half the interval between two checks of the client."""
        times = itertools.count(1, CHECK_NANOSECONDS // 2)
        monkeypatch.setattr("twistcorn.worker.wsgi.call.time", types.SimpleNamespace(monotonic_ns=lambda: next(times)))

    def test_client_is_looked_for(self) -> None:
        """Now and then, not for each piece; a client that is gone ends the iteration, and nothing is logged."""
        body = Body(*[b""] * 20)
        out, logged = call(app(body), RecordingOut(left_at=3))

        assert (out.looks, body.closed, out.heads, logged) == (3, 1, [], [])
        assert body.asked == 10

    def test_pieces_are_written(self) -> None:
        """The same for `write`, also past Content-Length."""
        for piece, headers in ((b"", []), (b"a", [("Content-Length", "1")])):

            def writes(
                environ: dict[str, Any], start_response: Start, piece: bytes = piece, headers: Any = headers
            ) -> Any:
                write = start_response("200 OK", headers)
                for _ in range(20):
                    write(piece)
                raise AssertionError("no check found that the client is gone")

            out, _ = call(writes, RecordingOut(left_at=2))
            assert (out.looks, out.ending) == (2, "")

    def test_few_pieces(self) -> None:
        """A single one triggers no check."""
        out, _ = call(app(Body(b"", b"a")))
        assert (out.looks, out.body) == (0, b"a")
