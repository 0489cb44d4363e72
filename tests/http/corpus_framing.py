"""Where a request ends: Content-Length and Transfer-Encoding (RFC 9112 section 6, RFC 9110 section 8.6)."""

from __future__ import annotations

from .cases import NEXT, Case, Seen, accept, head, post, refuse, shown, wait

#: A chunked body of `hello`.
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
#: What a smuggler hides in a body.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

#: Values of Content-Length that are not a number of bytes.
NO_LENGTHS = [
    b"+5", b"-5", b"-0", b"5,5", b"5, 5", b"5,6", b"5 5", b"5;", b"5.0", b"5e0", b"0x5", b"x5", b"5x", b"1_0", b'"5"',
    b"", b" ", b"\xb2", b"\xd9\xa5", b"\xa05", b"five", b"5\x00", b"5\x0b", b"\x0c5", b"5,", b",5",
]  # fmt: skip
#: Numbers that are too large for any machine, or for the limit.
HUGE = [
    b"99999999999999999",
    b"9223372036854775808",
    b"18446744073709551616",
    b"18446744073709551621",
    b"9" * 60,
]

#: (codings of as many fields, statuses): Transfer-Encodings that are no framing.
NO_CODINGS: list[tuple[tuple[bytes, ...], tuple[int, ...]]] = [
    ((b"gzip",), (400, 501)),
    ((b"identity",), (400, 501)),
    ((b"xchunked",), (400, 501)),
    ((b"chunkedx",), (400, 501)),
    ((b"chunk",), (400, 501)),
    ((b"chu nked",), (400, 501)),
    ((b'"chunked"',), (400, 501)),
    ((b"chunked;q=1",), (400, 501)),
    ((b"chunked;",), (400, 501)),
    ((b"chunked;foo=bar",), (400, 501)),
    ((b"chunked\xa0",), (400, 501)),
    ((b"\xa0chunked",), (400, 501)),
    ((b"\x0bchunked",), (400,)),
    ((b"chunked\x0c",), (400,)),
    ((b"chunked\x00",), (400,)),
    ((b"chunked,",), (400, 501)),
    ((b",chunked",), (400, 501)),
    ((b"chunked chunked",), (400, 501)),
    ((b"chunked, chunked",), (400,)),
    ((b"chunked", b"chunked"), (400,)),
    ((b"chunked, gzip",), (400,)),
    ((b"chunked", b"gzip"), (400,)),
    ((b"chunked, identity",), (400,)),
    ((b"chunked", b"identity"), (400,)),
    ((b"chunked", b""), (400,)),
    ((b"chunked, gzip, chunked",), (400,)),
    ((b"gzip, chunked",), (501,)),
    ((b"gzip", b"chunked"), (501,)),
    ((b"identity, chunked",), (400, 501)),
    ((b"",), (400, 501)),
    ((b",",), (400, 501)),
]

CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 5"


def coded(codings: tuple[bytes, ...], body: bytes = HELLO) -> bytes:
    return post(*(b"Transfer-Encoding: " + coding for coding in codings), body=body)


POST = Seen("POST", body=b"hello")
EMPTY = Seen("POST")

CASES: list[Case] = [
    accept("length 0", "9112 6.3", post(b"Content-Length: 0"), EMPTY),
    accept("length 5", "9112 6.3", post(LENGTH, body=b"hello"), POST),
    accept("length with zeros in front", "9110 8.6", post(b"Content-Length: 0005", body=b"hello"), POST),
    accept("length with blanks in front", "9112 5.1", post(b"Content-Length: \t 5", body=b"hello"), POST),
    accept("length in lower case", "9110 5.1", post(b"content-length: 5", body=b"hello"), POST),
    accept("no length is no body", "9112 6.3", post(), EMPTY),
    accept("length of a GET", "9110 9.3.1", head(LENGTH) + b"hello", Seen(body=b"hello")),
    accept("length of a HEAD", "9112 6.3", post(LENGTH, body=b"hello", line=b"HEAD / HTTP/1.1"),
           Seen("HEAD", body=b"hello")),
    accept("length of a DELETE on 1.0", "9112 6.3", post(LENGTH, body=b"hello", line=b"DELETE / HTTP/1.0"),
           Seen("DELETE", version=(1, 0), keep=False, body=b"hello")),
    accept("length of an OPTIONS", "9112 6.3", post(LENGTH, body=b"hello", line=b"OPTIONS * HTTP/1.1"),
           Seen("OPTIONS", b"*", body=b"hello")),
    accept("body of any bytes", "9112 6.2", post(b"Content-Length: 256", body=bytes(range(256))),
           Seen("POST", body=bytes(range(256)))),
    accept("body that looks like a request", "9112 6.2", post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
           Seen("POST", body=HIDDEN)),
    accept("body that begins with CRLF", "9112 6.2", post(b"Content-Length: 4", body=b"\r\n\r\n"),
           Seen("POST", body=b"\r\n\r\n")),
    accept("name that only looks like Content-Length", "9110 5.1",
           head(b"Content_Length: 5", b"Content-Length-: 5", b"XContent-Length: 5"), Seen()),
    accept("length is for the body alone", "9112 6.3", post(LENGTH, body=b"hello" + NEXT), POST,
           Seen(path=b"/next")),
    wait("length that is too large for the bytes", "9112 8", post(b"Content-Length: 6", body=b"hello")),
    *(refuse(f"length {shown(value)}", "9112 6.3", post(b"Content-Length: " + value, body=b"hello"))
      for value in NO_LENGTHS),
    *(refuse(f"length {value.decode():.25}", "9110 8.6", post(b"Content-Length: " + value, body=b"hello"), 400, 413)
      for value in HUGE),
    refuse("two lengths", "9112 6.3", post(b"Content-Length: 6", LENGTH, body=b"hello")),
    refuse("two lengths in the other order", "9112 6.3", post(LENGTH, b"Content-Length: 6", body=b"hello")),
    refuse("the same length twice", "issue 3", post(LENGTH, b"content-length: 5", body=b"hello")),
    refuse("an empty and a full length", "9112 6.3", post(b"Content-Length:", LENGTH, body=b"hello")),
    refuse("two lengths of nothing", "issue 3", post(b"Content-Length: 0", b"Content-Length: 0")),
    refuse("malformed length on 1.0", "9112 6.3", post(b"Content-Length: 5,", line=b"POST / HTTP/1.0", body=b"hello")),
    refuse("space between Content-Length and its colon", "9112 5.1", post(b"Content-Length : 5", body=b"hello")),
    refuse("length in a folded line", "9112 5.2", post(b"X: a", b" Content-Length: 5", body=b"hello")),
    refuse("folded length", "9112 5.2", post(b"Content-Length:", b" 5", body=b"hello")),
    accept("chunked", "9112 7.1", coded((b"chunked",)), POST),
    accept("chunked in upper case", "9112 7", coded((b"CHUNKED",)), POST),
    accept("chunked in mixed case", "9112 7", coded((b"ChUnKeD",)), POST),
    accept("chunked behind blanks", "9112 5.1", coded((b"  chunked",)), POST),
    accept("chunked behind a tab", "9112 5.1", coded((b"\tchunked",)), POST),
    accept("chunked in front of blanks", "9112 5.1", coded((b"chunked \t",)), POST),
    accept("chunked GET", "9112 6.3", head(CHUNKED) + HELLO, Seen(body=b"hello")),
    accept("chunked with close", "9112 6.1", post(CHUNKED, b"Connection: close", body=HELLO),
           Seen("POST", keep=False, body=b"hello")),
    accept("TE is not Transfer-Encoding", "9110 10.1.4", head(b"TE: trailers, chunked"), Seen()),
    accept("Transfer_Encoding is not Transfer-Encoding", "9110 5.1", head(b"Transfer_Encoding: chunked"), Seen()),
    *(refuse(f"coding {' and '.join(map(shown, codings))}", "9112 6.3", coded(codings), *statuses)
      for codings, statuses in NO_CODINGS),
    refuse("length and coding", "issue 3", post(LENGTH, CHUNKED, body=HELLO)),
    refuse("coding and length", "issue 3", post(CHUNKED, LENGTH, body=HELLO)),
    refuse("length of nothing and coding", "issue 3", post(b"Content-Length: 0", CHUNKED, body=HELLO)),
    refuse("length that fits and coding", "issue 3", post(b"Content-Length: %d" % len(HELLO), CHUNKED, body=HELLO)),
    refuse("malformed length and coding", "issue 3", post(b"Content-Length: a", CHUNKED, body=HELLO)),
    refuse("length and an unknown coding", "issue 3", post(LENGTH, b"Transfer-Encoding: xchunked", body=b"hello")),
    refuse("length and identity", "issue 3", post(LENGTH, b"Transfer-Encoding: identity", body=b"hello")),
    refuse("length and an empty coding", "issue 3", post(LENGTH, b"Transfer-Encoding:", body=b"hello")),
    refuse("coding on 1.0", "issue 3", post(CHUNKED, line=b"POST / HTTP/1.0", body=HELLO)),
    refuse("coding on 1.0 that keeps", "issue 3",
           post(CHUNKED, b"Connection: keep-alive", line=b"POST / HTTP/1.0", body=HELLO)),
    refuse("length and coding on 1.0", "issue 3", post(LENGTH, CHUNKED, line=b"POST / HTTP/1.0", body=HELLO)),
    refuse("unknown coding on 1.0", "issue 3",
           post(b"Transfer-Encoding: gzip", line=b"POST / HTTP/1.0", body=HELLO), 400, 501),
    refuse("CL.TE", "9112 11.2", post(b"Content-Length: 35", CHUNKED, body=b"0\r\n\r\n" + HIDDEN)),
    refuse("TE.CL", "9112 11.2",
           post(CHUNKED, b"Content-Length: 4", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN))),
    refuse("TE.TE", "9112 11.2", coded((b"chunked", b"x"), b"0\r\n\r\n" + HIDDEN), 400),
    refuse("space between Transfer-Encoding and its colon", "9112 5.1",
           post(b"Transfer-Encoding : chunked", body=HELLO)),
    refuse("folded coding", "9112 5.2", post(b"Transfer-Encoding:", b" chunked", body=HELLO)),
    refuse("coding behind a bare LF", "9112 2.2", post(b"X: a\nTransfer-Encoding: chunked", body=HELLO)),
    refuse("coding behind a bare CR", "9112 2.2", post(b"X: a\rTransfer-Encoding: chunked", body=HELLO)),
    refuse("NUL behind Transfer-Encoding", "9110 5.1", post(b"Transfer-Encoding\x00: chunked", body=HELLO)),
]  # fmt: skip
