"""Calling an application: how a call ends whose time is over, and that the iterable is closed, however it ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.apps import Body, RecordingOut, Start, app, call
from tests.worker.test_call import RAISED
from twistcorn.errors import RequestTimeout

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

    def test_it_comes_behind_the_first_byte(self) -> None:
        """The client must see that the body is not whole; and the iterable is closed."""
        body = Body(b"a", RequestTimeout())
        out, logged = call(app(body))

        assert (out.status, out.pieces, out.ending) == (200, [b"a"], "cut")
        assert (logged, body.closed) == ([TOOK_TOO_LONG], 1)

    def test_application_makes_an_answer_of_it(self) -> None:
        """Who is told that time is over may say so in its own words."""

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
        """It is called once, whatever the length was."""
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
        """It is logged, not called again, and the body does not look whole."""
        body = Body(b"a", closing=error)
        out, logged = call(app(body))

        assert (body.closed, out.ending, len(logged)) == (1, "cut", 1)

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
