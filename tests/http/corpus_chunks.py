"""Chunked bodies: sizes, extensions, data, trailers (RFC 9112 section 7.1)."""

from __future__ import annotations

from .cases import Case, Seen, accept, chunked, refuse, shown, wait

END = b"0\r\n\r\n"

#: First lines of a chunk of five bytes.
SIZES = [
    b"5", b"05", b"000000000000005", b"5;a", b"5;a=b", b"5;a=b;c;d=e", b'5;a="b c"', b'5;a=""', b"5 ;a", b"5\t;\ta = b",
    b'5;a="\x80;=,\t"', b'5;a="b\\"c"', b"5;5", b"5;a=b ;c",
]  # fmt: skip
#: And lines that are none.
NO_SIZES = [
    b"+5", b"-5", b"0x5", b"0X5", b"5_0", b"5x", b"x5", b"g", b" 5", b"\t5", b"5 ", b"5\t", b"", b" ", b";a", b"5,5",
    b"5.0", b"5 5", b"\x005", b"5\x00", b"\xd9\xa5", b"\xb2", b"5\r", b"\r5", b"5;", b"5;=a", b"5;a=", b"5;a b",
    b'5;a="b', b'5;a="b"c', b'5;a="\\"', b"5;a=\xe9", b"5;a=b\x00", b'5;a="\x01"', b"5;a\x7f", b"5;a\rb", b"5;;a",
    b"5:a", b"5=a", b"5;a,b",
]  # fmt: skip
#: More bytes than a machine can count: one above 64 bits, and what would be 5 or -1 in fewer.
HUGE = [
    b"10000000000000005",
    b"1" + b"0" * 15,
    b"f" * 16,
    b"F" * 17,
    b"8" + b"0" * 15,
    b"1" + b"0" * 30 + b"5",
]

#: (name, body): what is not a run of chunks.
NO_CHUNKS = [
    ("bare LF behind a size", b"5\nhello\r\n" + END),
    ("bare CR behind a size", b"5\rhello\r\n" + END),
    ("two CR behind a size", b"5\r\r\nhello\r\n" + END),
    ("LF CR behind a size", b"5\n\rhello\r\n" + END),
    ("bare LF behind an extension", b"5;a\nhello\r\n" + END),
    ("bare LF in an extension", b'5;a="\n"\r\nhello\r\n' + END),
    ("bare CR in an extension", b'5;a="\r"\r\nhello\r\n' + END),
    ("bare LF behind data", b"5\r\nhello\n" + END),
    ("bare CR behind data", b"5\r\nhello\r" + END),
    ("nothing behind data", b"5\r\nhello" + END),
    ("LF CR behind data", b"5\r\nhello\n\r" + END),
    ("two bytes for CRLF behind data", b"5\r\nhelloXX" + END),
    ("space in front of CRLF behind data", b"5\r\nhello \r\n" + END),
    ("data one byte longer than its size", b"5\r\nhello!\r\n" + END),
    ("data one byte shorter than its size", b"5\r\nhell\r\n" + END),
    ("data that is missing", b"5\r\n\r\n5\r\nhello\r\n" + END),
    ("empty line in front of a size", b"\r\n5\r\nhello\r\n" + END),
    ("empty line between chunks", b"5\r\nhello\r\n\r\n" + END),
    ("bare LF behind the last size", b"0\n\r\n"),
    ("bare LF twice behind the last size", b"0\n\n"),
    ("bare LF for the last line", b"0\r\n\n"),
    ("bare CR for the last line", b"0\r\n\rX\r\n\r\n"),
    ("two CR for the last line", b"0\r\n\r\r\n"),
]

#: Trailer fields; they are for nobody.
TRAILERS = [
    b"X-Trailer: a", b"X-Trailer:", b"x-trailer: \xe9 \t", b"Content-Length: 99", b"Transfer-Encoding: chunked",
    b"Host: b", b"Connection: close", b"Expect: a", b"Content-Length: a", b"Authorization: a",
]  # fmt: skip
NO_TRAILERS = [
    b"X", b"X a", b": a", b"X : a", b"X\t: a", b" X: a", b"\tX: a", b"X: a\x00", b"X: a\x0bb", b"X: a\x7f", b"X: a\rb",
    b"X: a\r", b"X: a\nY: b", b"X\x00: a", b"X(: a", b"X\xe9: a", b"X: a\r\n b", b"\rX: a",
]  # fmt: skip

NAMES = (b"x-trailer", b"content-length", b"connection", b"expect", b"authorization")
POST = Seen("POST", body=b"hello")
HEX = b"a" * 0x1F

CASES: list[Case] = [
    accept("no chunk but the last", "9112 7.1", chunked(END), Seen("POST")),
    accept("last chunk of several zeros", "9112 7.1", chunked(b"000\r\n\r\n"), Seen("POST")),
    accept("last chunk with an extension", "9112 7.1.1", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), POST),
    accept("several chunks", "9112 7.1", chunked(b"1\r\nh\r\n3\r\nell\r\n1\r\no\r\n" + END), POST),
    accept("size in lower case", "9112 7.1", chunked(b"1f\r\n" + HEX + b"\r\n" + END), Seen("POST", body=HEX)),
    accept("size in upper case", "9112 7.1", chunked(b"1F\r\n" + HEX + b"\r\n" + END), Seen("POST", body=HEX)),
    accept("data with line ends", "9112 7.1", chunked(b"4\r\n\r\n\r\n\r\n" + END), Seen("POST", body=b"\r\n\r\n")),
    accept("data that looks like the last chunk", "9112 7.1", chunked(b"7\r\n\r\n0\r\n\r\n\r\n" + END),
           Seen("POST", body=b"\r\n0\r\n\r\n")),
    accept("data of any bytes", "9112 7.1", chunked(b"100\r\n" + bytes(range(256)) + b"\r\n" + END),
           Seen("POST", body=bytes(range(256)))),
    *(accept(f"size line {shown(size)}", "9112 7.1.1", chunked(size + b"\r\nhello\r\n" + END), POST) for size in SIZES),
    *(refuse(f"size line {shown(size)}", "9112 7.1", chunked(size + b"\r\nhello\r\n" + END)) for size in NO_SIZES),
    *(refuse(f"second size line {shown(size)}", "9112 7.1", chunked(b"1\r\na\r\n" + size + b"\r\nhello\r\n" + END))
      for size in NO_SIZES[:12]),
    *(refuse(f"last size line {shown(size)}", "9112 7.1", chunked(b"5\r\nhello\r\n" + size + b"\r\n\r\n"))
      for size in (b"+0", b"-0", b"0x0", b"0 ", b" 0", b"0_0", b"00;", b"0\r")),
    *(refuse(f"size {size.decode()}", "9112 7.1", chunked(size + b"\r\nhello\r\n" + END), 400, 413) for size in HUGE),
    *(refuse(name, "9112 7.1", chunked(body)) for name, body in NO_CHUNKS),
    *(accept(f"trailer {shown(line)}", "9110 6.5.1", chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"),
             Seen("POST", body=b"hello", fields=((b"host", b"a"), (b"transfer-encoding", b"chunked")), absent=NAMES))
      for line in TRAILERS),
    accept("several trailers", "9110 6.5", chunked(b"5\r\nhello\r\n0\r\nX: a\r\nY:b\r\nX:\r\n\r\n"), POST),
    *(refuse(f"trailer {shown(line)}", "9112 7.1.2", chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
      for line in NO_TRAILERS),
    wait("chunked body that ends within data", "9112 8", chunked(b"5\r\nhel")),
    wait("chunked body that ends behind data", "9112 8", chunked(b"5\r\nhello")),
    wait("chunked body that ends within the CRLF behind data", "9112 8", chunked(b"5\r\nhello\r")),
    wait("chunked body that ends between chunks", "9112 8", chunked(b"5\r\nhello\r\n")),
    wait("chunked body that ends within a size", "9112 8", chunked(b"5\r\nhello\r\n1")),
    wait("chunked body that ends within the first size", "9112 8", chunked(b"5")),
    wait("chunked body that ends behind the last size", "9112 8", chunked(b"5\r\nhello\r\n0\r\n")),
    wait("chunked body that ends within a trailer", "9112 8", chunked(b"5\r\nhello\r\n0\r\nX: a")),
    wait("chunked body that ends behind a trailer", "9112 8", chunked(b"5\r\nhello\r\n0\r\nX: a\r\n")),
    wait("chunked body that ends within its last CRLF", "9112 8", chunked(b"5\r\nhello\r\n0\r\n\r")),
]  # fmt: skip
