"""Heads: a cached result is what a new parse would give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.http.cases import DEFAULTS, head, post
from twistcorn.errors import HTTPError
from twistcorn.worker.http.head_cache import MAX_BLOCK_BYTES, MAX_BLOCKS, MAX_LINE_BYTES, MAX_LINES, Heads
from twistcorn.worker.http.request import Request, parse_head


def said(request: Request | None) -> object:
    """All that a request says."""
    assert request is not None
    line, block = request.line, request.block
    return (
        (line.method, line.target, line.path, line.query, line.version, line.name),
        (block.headers, block.keep_alive, block.length, block.expects),
        (request.size, request.expects, request.body),
    )


SHAPES = {
    "plain": head(b"X: a"),
    "with a query": head(b"X: a", line=b"GET /a?b=c HTTP/1.1"),
    "a body behind": post(b"Content-Length: 5", body=b"hello"),
    "another behind": head() + head(b"X: b"),
    "an empty line in front": b"\r\n" + head(b"X: a"),
    "1.0": head(b"X: a", line=b"GET / HTTP/1.0"),
    "an absolute target": head(line=b"GET http://a/ HTTP/1.1"),
    "every resource": head(line=b"OPTIONS * HTTP/1.1"),
    "a long line": head(line=b"GET /%b HTTP/1.1" % (b"a" * MAX_LINE_BYTES)),
    "a long block": head(b"X: " + b"a" * MAX_BLOCK_BYTES),
    "a close": head(b"Connection: close"),
    "an expectation": post(b"Content-Length: 5", b"Expect: 100-continue"),
}


class TestMemory:
    @pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES.keys())
    def test_head_is_repeated(self, data: bytes) -> None:
        """It says the same each time, and what `parse_head` says of it."""
        heads = Heads(DEFAULTS)
        size = data.index(b"\r\n\r\n", 2) + 4
        wanted = said(parse_head(data[:size], DEFAULTS))

        assert [said(heads.read(data)) for _ in range(3)] == [wanted] * 3

    @pytest.mark.parametrize("first", SHAPES.values(), ids=SHAPES.keys())
    @pytest.mark.parametrize("second", SHAPES.values(), ids=SHAPES.keys())
    def test_another_head_came_before(self, first: bytes, second: bytes) -> None:
        """An earlier head does not affect a later one."""
        heads = Heads(DEFAULTS)
        heads.read(first)

        assert said(heads.read(second)) == said(Heads(DEFAULTS).read(second))

    def test_line_changes(self) -> None:
        """The fields are shared, the line is not."""
        heads = Heads(DEFAULTS)
        one, two = heads.read(head(b"X: a")), heads.read(head(b"X: a", line=b"PUT /b HTTP/1.1"))

        assert one is not None
        assert two is not None
        assert one.block is two.block
        assert (two.line.method, two.line.path) == ("PUT", b"/b")

    def test_request_without_a_body(self) -> None:
        """All who send it share it."""
        heads = Heads(DEFAULTS)
        heads.read(head())

        assert heads.read(head()) is heads.read(head())

    def test_request_with_a_body(self) -> None:
        """Each has its own: its body is kept in it."""
        heads, data = Heads(DEFAULTS), post(b"Content-Length: 5", body=b"hello")
        heads.read(data)

        assert heads.read(data) is not heads.read(data)

    def test_head_is_not_whole(self) -> None:
        """It is none, even where everything in it was seen before."""
        heads, data = Heads(DEFAULTS), head(b"X: a")
        heads.read(data)

        assert [heads.read(data[:cut]) for cut in range(len(data))] == [None] * len(data)


class TestBounds:
    def test_clients_never_repeat_themselves(self) -> None:
        """The cache is bounded."""
        heads = Heads(DEFAULTS)
        for number in range(2 * MAX_LINES):
            heads.read(head(b"X: %d" % number, line=b"GET /%d HTTP/1.1" % number))
            heads.read(head(line=b"GET /%d HTTP/1.1" % number))

        assert len(heads._lines) <= MAX_LINES
        assert len(heads._blocks) <= MAX_BLOCKS
        assert len(heads._whole) <= MAX_LINES


class TestRefusals:
    LINES = (b"", b"GET", b"GET / HTTP/1.1 ", b"GET  / HTTP/1.1", b"GET /#a HTTP/1.1", b"GET / HTTP/2.0", b"CONNECT /")

    @pytest.mark.parametrize("line", LINES)
    def test_bad_line_before_known_fields(self, line: bytes) -> None:
        """It is refused as it always is."""
        heads = Heads(DEFAULTS)
        heads.read(head(b"X: a"))
        with pytest.raises(HTTPError) as anew:
            Heads(DEFAULTS).read(head(b"X: a", line=line))
        with pytest.raises(HTTPError) as known:
            heads.read(head(b"X: a", line=line))

        assert known.value.status == anew.value.status

    def test_long_line_before_known_fields(self) -> None:
        """The limit holds."""
        heads = Heads(replace(DEFAULTS, limit_request_line=100))
        heads.read(head(b"X: a"))
        with pytest.raises(HTTPError) as error:
            heads.read(head(b"X: a", line=b"GET /%b HTTP/1.1" % (b"a" * 100)))

        assert error.value.status == 414

    def test_missing_host_on_a_known_block(self) -> None:
        """Fields that are enough for 1.0 are not for 1.1."""
        heads = Heads(DEFAULTS)
        heads.read(b"GET / HTTP/1.0\r\nX: a\r\n\r\n")
        with pytest.raises(HTTPError):
            heads.read(b"GET / HTTP/1.1\r\nX: a\r\n\r\n")
