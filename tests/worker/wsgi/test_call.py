"""Calling an application: what PEP 3333 promises it, and what it cannot do to the client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.apps import Body, RecordingOut, Start, app, call, current

RAISED = "the application raised"


class TestBodies:
    @pytest.mark.parametrize("chunks", [[b"hello"], (b"hello",)])
    def test_list_of_one(self, chunks: Any) -> None:
        """It is the complete body, and the out knows that."""
        out, logged = call(app(chunks))

        assert (out.status, out.pieces, out.whole, out.ending, logged) == (200, [b"hello"], True, "end", [])

    @pytest.mark.parametrize("chunks", [[b"a", b"b"], (b"a", b"b"), Body(b"a", b"b"), iter([b"a", b"b"])])
    def test_several_chunks(self, chunks: Any) -> None:
        """Each leaves by itself."""
        out, _ = call(app(chunks))

        assert (out.pieces, out.whole, out.ending) == ([b"a", b"b"], False, "end")

    @pytest.mark.parametrize("chunks", [[b"", b"a", b"", b"b", b""], Body(b"", b"a", b"", b"b", b"")])
    def test_empty_chunks(self, chunks: Any) -> None:
        """They are passed over: a chunked body would end with one."""
        out, _ = call(app(chunks))

        assert (out.pieces, out.ending) == ([b"a", b"b"], "end")

    @pytest.mark.parametrize("chunks", [[], (), Body(), [b""], [b"", b""], Body(b"")])
    def test_no_body(self, chunks: Any) -> None:
        """The head is sent all the same, with nothing after it."""
        out, _ = call(app(chunks))

        assert (out.status, out.body, out.whole, out.ending) == (200, b"", True, "end")

    @pytest.mark.parametrize("wrong", ["text", 5, None, bytearray(b"a"), memoryview(b"a"), ["a"]])
    @pytest.mark.parametrize("listed", [True, False])
    def test_chunk_that_is_not_bytes(self, wrong: Any, listed: bool) -> None:
        """It is the application's error: 500, or a truncated response if a part of the body is out."""
        out, logged = call(app([wrong] if listed else Body(wrong or "text")))

        assert (out.status, out.ending, logged) == (500, "end", [RAISED])

    def test_chunk_that_is_not_bytes_after_a_length(self) -> None:
        """It does not count towards the length: the body is cut."""
        out, logged = call(app(Body(b"a", "b"), [("Content-Length", "2")]))

        assert (out.pieces, out.ending, logged) == ([b"a"], "cut", [RAISED])

    @pytest.mark.parametrize("wrong", [None, 5, object()])
    def test_answer_that_cannot_be_iterated(self, wrong: Any) -> None:
        """It is the application's error."""
        out, logged = call(app(wrong))

        assert (out.status, logged) == (500, [RAISED])

    def test_first_chunk_is_late(self) -> None:
        """`start_response` may be called as late as with the first chunk."""

        def late(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [("X", "a")])
            yield b"a"

        out, _ = call(late)
        assert (out.heads, out.body) == ([("200 OK", "X: a\r\n")], b"a")


class TestWrite:
    def test_write_and_iterate(self) -> None:
        """What is written comes first, each piece by itself."""

        def both(environ: dict[str, Any], start_response: Start) -> Any:
            write = start_response("200 OK", [])
            write(b"a")
            write(b"b")
            return [b"c"]

        out, _ = call(both)
        assert (out.pieces, out.whole, out.ending) == ([b"a", b"b", b"c"], False, "end")

    def test_write_alone(self) -> None:
        """The list of nothing behind it adds nothing."""

        def alone(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])(b"a")
            return []

        out, _ = call(alone)
        assert (out.pieces, out.ending) == ([b"a"], "end")

    def test_writer_gets_what_goes_wrong(self) -> None:
        """A client that is gone ends the writing, quietly."""
        reached = []

        def writer(environ: dict[str, Any], start_response: Start) -> Any:
            write = start_response("200 OK", [])
            for number in range(10):
                reached.append(number)
                write(b"a")
            return []

        _, logged = call(writer, RecordingOut(gone=3))
        assert (reached, logged) == ([0, 1, 2], [])


class TestStartResponse:
    def test_never_called(self) -> None:
        """500, and a log entry."""
        for body in ([b"a"], [], Body(b"a"), Body()):
            out, logged = call(lambda environ, start_response, body=body: body)  # type: ignore[misc]
            assert (out.status, logged) == (500, [RAISED])

    def test_called_twice(self) -> None:
        """It is an error without `exc_info`, also in front of the first byte."""

        def twice(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            start_response("404 Not Found", [])
            return [b"a"]

        out, logged = call(twice)
        assert (out.status, logged) == (500, [RAISED])

    def test_called_again_with_an_exception_in_front_of_the_first_byte(self) -> None:
        """The second head replaces the first."""

        def again(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [("X", "a")])
            try:
                raise KeyError
            except KeyError:
                start_response("503 Sorry", [("Y", "b")], current())
            return [b"sorry"]

        out, logged = call(again)
        assert (out.heads, out.body, logged) == ([("503 Sorry", "Y: b\r\n")], b"sorry", [])

    def test_called_first_with_an_exception(self) -> None:
        """`exc_info` may be there the first time, too."""

        def first(environ: dict[str, Any], start_response: Start) -> Any:
            try:
                raise KeyError
            except KeyError:
                start_response("503 Sorry", [], current())
            return [b"sorry"]

        assert call(first)[0].status == 503

    def test_called_again_with_an_exception_after_the_first_byte(self) -> None:
        """The exception is raised into the application, and the body is cut."""
        seen = []

        def late(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            yield b"a"
            try:
                raise KeyError("first")
            except KeyError:
                try:
                    start_response("503 Sorry", [], current())
                except KeyError as error:
                    seen.append(error)
                    raise
            yield b"never"

        out, logged = call(late)
        assert (out.status, out.pieces, out.ending, logged) == (200, [b"a"], "cut", [RAISED])
        assert [str(error) for error in seen] == ["'first'"]

    def test_called_after_the_first_byte_without_an_exception(self) -> None:
        """That is an error, and the body is cut."""

        def late(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            yield b"a"
            start_response("200 OK", [])
            yield b"never"

        out, logged = call(late)
        assert (out.pieces, out.ending, logged) == ([b"a"], "cut", [RAISED])

    @pytest.mark.parametrize(
        ("status", "headers"),
        [
            ("200", []),
            (200, []),
            ("200 OK\r\nX: a", []),
            ("200 OK", 5),
            ("200 OK", [("X", "a\r\nSet-Cookie: b")]),
            ("200 OK", [("X:", "a")]),
            ("200 OK", [("Content-Length", "5"), ("Content-Length", "5")]),
            ("100 Continue", []),
            ("103 Early Hints", []),
            ("200 OK", [("X", "\u20ac")]),
        ],
    )
    def test_called_with_what_is_not_allowed(self, status: Any, headers: Any) -> None:
        """The client gets a 500 and nothing of it; the log gets the exception."""
        out, logged = call(app([b"a"], headers, status))

        assert (out.status, logged) == (500, [RAISED])
        assert "Set-Cookie" not in out.heads[0][1]

    def test_mistake_is_corrected(self) -> None:
        """An application that catches the error of a bad head may call again."""

        def mends(environ: dict[str, Any], start_response: Start) -> Any:
            try:
                start_response("200 OK", [("X", "a\nb")])
            except ValueError:
                start_response("200 OK", [("X", "a b")])
            return [b"a"]

        assert call(mends)[0].heads == [("200 OK", "X: a b\r\n")]

    def test_hop_by_hop_field(self) -> None:
        """It is dropped with a warning."""
        out, logged = call(app([b"a"], [("X", "a"), ("Transfer-Encoding", "chunked")]))

        assert out.heads == [("200 OK", "X: a\r\n")]
        assert logged == ["dropped {fields} sent by the application: only the server sets them"]


class TestLength:
    @pytest.mark.parametrize("chunks", [[b"hello"], [b"he", b"llo"], Body(b"h", b"", b"ello")])
    def test_body_is_as_long_as_said(self, chunks: Any) -> None:
        """Nothing is logged."""
        out, logged = call(app(chunks, [("Content-Length", "5")]))

        assert (out.body, out.ending, logged) == (b"hello", "end", [])

    @pytest.mark.parametrize(
        "chunks", [[b"hello!"], [b"hello", b"!", b"!"], [b"hel", b"lo!", b"!"], Body(b"hello", b"more")]
    )
    def test_body_is_longer(self, chunks: Any) -> None:
        """The surplus is never sent, and is logged once."""
        out, logged = call(app(chunks, [("Content-Length", "5")]))

        assert (out.body, out.ending) == (b"hello", "end")
        assert logged == ["body longer than its Content-Length; truncated"]

    @pytest.mark.parametrize("chunks", [[b"hell"], [b"he", b"l"], [], [b""], Body(b"hell"), Body()])
    def test_body_is_shorter(self, chunks: Any) -> None:
        """The connection is closed, so that the client does not take the next response for the remainder."""
        out, logged = call(app(chunks, [("Content-Length", "5")]))

        assert b"hello".startswith(out.body)
        assert out.ending == "cut"
        assert logged == ["body {left} bytes shorter than its Content-Length; closing connection"]

    @pytest.mark.parametrize(
        ("name", "status"),
        [("HEAD /", "200 OK"), ("GET /", "304 Not Modified"), ("HEAD /", "304 Not Modified")],
    )
    @pytest.mark.parametrize("chunks", [[], [b""], Body()])
    def test_no_body_is_due(self, name: str, status: str, chunks: Any) -> None:
        """A length without its body is right for HEAD and 304."""
        out, logged = call(app(chunks, [("Content-Length", "5")], status), name=name)

        assert (out.ending, logged) == ("end", [])


class TestFailures:
    @pytest.mark.parametrize("error", [KeyError("a"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
    def test_application_raises(self, error: BaseException) -> None:
        """500 and a log entry, whatever it raises, and nothing else ends."""

        def raises(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            raise error

        out, logged = call(raises)
        assert (out.status, out.ending, logged) == (500, "end", [RAISED])

    @pytest.mark.parametrize("error", [KeyError("a"), SystemExit(1)])
    def test_iterator_raises_in_front_of_the_first_byte(self, error: BaseException) -> None:
        """500, as nothing is out; and the iterable is closed."""
        body = Body(b"", error)
        out, logged = call(app(body))

        assert (out.status, logged, body.closed) == (500, [RAISED], 1)

    @pytest.mark.parametrize("error", [KeyError("a"), SystemExit(1)])
    def test_iterator_raises_after_the_first_byte(self, error: BaseException) -> None:
        """The client must see that the body is not whole; and the iterable is closed."""
        body = Body(b"a", error, b"never")
        out, logged = call(app(body))

        assert (out.pieces, out.ending, logged, body.closed) == ([b"a"], "cut", [RAISED], 1)

    def test_client_is_gone(self) -> None:
        """The iteration ends at that chunk, the iterable is closed, and nothing is logged."""
        body = Body(*[b"a"] * 10)
        out, logged = call(app(body), RecordingOut(gone=3))

        assert (body.asked, body.closed, out.ending, logged) == (3, 1, "", [])

    def test_client_is_gone_before_the_500(self) -> None:
        """No client is left to answer."""
        body = Body(KeyError("a"))
        out, logged = call(app(body), RecordingOut(gone=1))

        assert (body.closed, out.ending, logged) == (1, "", [RAISED])
