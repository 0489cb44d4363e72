"""Sizes, each at its limit and one above (issue 3, Limits), and several requests on one connection."""

from __future__ import annotations

from dataclasses import replace

from .cases import DEFAULTS, NEXT, Case, Seen, accept, chunked, head, post, refuse, wait

TIGHT = replace(
    DEFAULTS,
    limit_request_line=100,
    limit_request_fields=5,
    limit_request_field_size=80,
    limit_request_body=10,
)
WIDE = replace(DEFAULTS, limit_request_field_size=32768, limit_request_fields=32768)
NO_TRAILERS = replace(DEFAULTS, limit_request_trailers=0)
UNLIMITED = replace(DEFAULTS, limit_request_body=0)

#: Bytes that a head may have at most, and that a line of a chunk's size and the trailers may.
HEAD = 32768
SIZE_LINE = 256
TRAILERS = 8192


def line(size: int, version: bytes = b"HTTP/1.1") -> bytes:
    """A request line of so many bytes."""
    return b"GET /" + b"a" * (size - len(b"GET / ") - len(version)) + b" " + version


def field(size: int) -> bytes:
    """A field line of so many bytes."""
    return b"X: " + b"a" * (size - 3)


def fields(count: int) -> list[bytes]:
    return [b"X%d: a" % n for n in range(count)]


def sized(size: int) -> bytes:
    """A head of so many bytes, in fields that are small enough."""
    pieces = [field(4096)] * (size // 4098 - 1)
    left = size - len(head(*pieces)) - 2
    return head(*pieces, field(left))


def seen(request_line: bytes) -> Seen:
    return Seen(path=request_line.split(b" ")[1])


def last_chunk_line(size: int) -> bytes:
    return b"0;" + b"a" * (size - 2)


def trailers(size: int) -> bytes:
    """A trailer section of so many bytes, its last line included."""
    return b"0\r\nX: " + b"a" * (size - 7) + b"\r\n\r\n"


FIRST = Seen(path=b"/1")
SECOND = Seen("POST", b"/2", body=b"hello")
THIRD = Seen("PUT", b"/3", body=b"world")
ONE = head(line=b"GET /1 HTTP/1.1")
TWO = post(b"Content-Length: 5", body=b"hello", line=b"POST /2 HTTP/1.1")
THREE = post(b"Transfer-Encoding: chunked", body=b"5\r\nworld\r\n0\r\nX: a\r\n\r\n", line=b"PUT /3 HTTP/1.1")
OLD = head(b"Connection: keep-alive", line=b"GET /old HTTP/1.0")
LAST = head(b"Connection: close", line=b"GET /last HTTP/1.1")
BAD = head(b"X : a", line=b"GET /bad HTTP/1.1")

CASES: list[Case] = [
    accept("line at the limit", "issue 3", head(line=line(100)), seen(line(100)), settings=TIGHT),
    refuse("line above the limit", "9112 3", head(line=line(101)), 414, settings=TIGHT),
    accept("line at the limit behind an empty line", "issue 3", b"\r\n" + head(line=line(100)), seen(line(100)),
           settings=TIGHT),
    refuse("line above the limit behind an empty line", "9112 3", b"\r\n" + head(line=line(101)), 414, settings=TIGHT),
    accept("line at the limit without fields", "issue 3", line(100, b"HTTP/1.0") + b"\r\n\r\n",
           replace(seen(line(100)), version=(1, 0), keep=False), settings=TIGHT),
    refuse("line above the limit without fields", "9112 3", line(101, b"HTTP/1.0") + b"\r\n\r\n", 414, settings=TIGHT),
    refuse("line above the limit that does not end", "9112 3", line(500)[:150], 414, settings=TIGHT),
    accept("line at the default limit", "issue 3", head(line=line(8190)), seen(line(8190))),
    refuse("line above the default limit", "9112 3", head(line=line(8191)), 414),
    refuse("line without an end", "9112 3", b"GET /" + b"a" * HEAD, 414),
    accept("fields at the limit", "issue 3", head(*fields(4)), Seen(), settings=TIGHT),
    refuse("fields above the limit", "RFC 6585 5", head(*fields(5)), 431, settings=TIGHT),
    accept("fields at the default limit", "issue 3", head(*fields(99)), Seen()),
    refuse("fields above the default limit", "RFC 6585 5", head(*fields(100)), 431),
    accept("field at the limit", "issue 3", head(field(80)), Seen(fields=((b"x", b"a" * 77),)), settings=TIGHT),
    refuse("field above the limit", "RFC 6585 5", head(field(83)), 431, settings=TIGHT),
    refuse("name above the limit", "RFC 6585 5", head(b"X" * 83 + b": a"), 431, settings=TIGHT),
    accept("field at the default limit", "issue 3", head(field(8190)), Seen(fields=((b"x", b"a" * 8187),))),
    refuse("field above the default limit", "RFC 6585 5", head(field(8193)), 431),
    accept("head at the limit", "issue 3", sized(HEAD), Seen(), settings=WIDE),
    refuse("head above the limit", "RFC 6585 5", sized(HEAD + 1), 431, settings=WIDE),
    refuse("head without an end", "RFC 6585 5", head(*[field(4096)] * 9)[:-2], 431, settings=WIDE),
    accept("length at the limit", "issue 3", post(b"Content-Length: 10", body=b"a" * 10), Seen("POST", body=b"a" * 10),
           settings=TIGHT),
    refuse("length above the limit", "9110 15.5.14", post(b"Content-Length: 11", body=b"a" * 11), 413, settings=TIGHT),
    refuse("length above the limit, in front of the body", "9110 15.5.14", post(b"Content-Length: 11"), 413,
           settings=TIGHT),
    refuse("length above the default limit", "9110 15.5.14", post(b"Content-Length: 1073741825"), 413),
    wait("length at the default limit", "issue 3", post(b"Content-Length: 1073741824", body=b"a")),
    wait("length without a limit", "issue 3", post(b"Content-Length: 1073741825", body=b"a"), settings=UNLIMITED),
    accept("chunks at the limit", "issue 3", chunked(b"6\r\naaaaaa\r\n4\r\naaaa\r\n0\r\n\r\n"),
           Seen("POST", body=b"a" * 10), settings=TIGHT),
    refuse("chunks above the limit", "9110 15.5.14", chunked(b"6\r\naaaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n"), 413,
           settings=TIGHT),
    accept("size line at the limit", "9112 7.1.1", chunked(last_chunk_line(SIZE_LINE - 1) + b"\r\n\r\n"), Seen("POST")),
    refuse("size line above the limit", "9112 7.1.1", chunked(last_chunk_line(SIZE_LINE + 1) + b"\r\n\r\n"),
           400, 413, 431),
    refuse("size line without an end", "9112 7.1.1", chunked(last_chunk_line(SIZE_LINE * 2)), 400, 413, 431),
    accept("trailers at the limit", "issue 3", chunked(trailers(TRAILERS)), Seen("POST")),
    refuse("trailers above the limit", "RFC 6585 5", chunked(trailers(TRAILERS + 1)), 431),
    refuse("trailer without an end", "RFC 6585 5", chunked(b"0\r\nX: " + b"a" * (TRAILERS + 10)), 431),
    refuse("many small trailers", "RFC 6585 5", chunked(b"0\r\n" + b"X: a\r\n" * 1500), 431),
    accept("no trailers where none are allowed", "issue 3", chunked(b"1\r\na\r\n0\r\n\r\n"), Seen("POST", body=b"a"),
           settings=NO_TRAILERS),
    refuse("trailer where none is allowed", "RFC 6585 5", chunked(b"1\r\na\r\n0\r\nX:\r\n\r\n"), 431,
           settings=NO_TRAILERS),
    wait("nothing", "9112 8", b""),
    wait("empty line", "9112 8", b"\r\n"),
    wait("part of a method", "9112 8", b"GE"),
    wait("part of a line", "9112 8", b"GET / HTTP/1.1\r"),
    wait("line alone", "9112 8", b"GET / HTTP/1.1\r\n"),
    wait("head without its empty line", "9112 8", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    wait("half of the empty line", "9112 8", b"GET / HTTP/1.1\r\nHost: a\r\n\r"),
    wait("head of a body", "9112 8", post(b"Content-Length: 5")),
    accept("two requests", "9112 9.3.2", ONE + ONE, FIRST, FIRST),
    accept("requests with all kinds of bodies", "9112 9.3.2", ONE + TWO + THREE + TWO + ONE, FIRST, SECOND, THIRD,
           SECOND, FIRST),
    accept("a hundred requests", "9112 9.3.2", (TWO + THREE) * 50, *([SECOND, THIRD] * 50)),
    accept("empty line between requests", "9112 2.2", TWO + b"\r\n" + ONE, SECOND, FIRST),
    accept("1.0 and 1.1 on one connection", "9112 9.3", OLD + ONE + OLD,
           Seen(path=b"/old", version=(1, 0)), FIRST, Seen(path=b"/old", version=(1, 0))),
    accept("nothing behind a close", "9112 9.6", ONE + LAST + TWO, FIRST, Seen(path=b"/last", keep=False)),
    accept("nothing behind 1.0", "9112 9.3", head(line=b"GET / HTTP/1.0") + ONE, Seen(version=(1, 0), keep=False)),
    refuse("second request is bad", "issue 3", ONE + BAD + ONE, 400, after=[FIRST]),
    refuse("request behind two bodies is bad", "issue 3", TWO + THREE + BAD, 400, after=[SECOND, THIRD]),
    refuse("bytes behind a length", "9112 6.3", TWO + b"X" + ONE[:-2] + b"X : a\r\n\r\n", 400, after=[SECOND]),
    refuse("bytes behind the last chunk", "9112 7.1", THREE + b"X\r\n\r\n", 400, after=[THIRD]),
    refuse("chunks behind a request without a body", "9112 6.3", ONE + b"5\r\nhello\r\n0\r\n\r\n", 400, after=[FIRST]),
    wait("second request is not whole", "9112 8", ONE + NEXT[:-2], FIRST),
    wait("second body is not whole", "9112 8", THREE + TWO[:-1], THIRD),
]  # fmt: skip
