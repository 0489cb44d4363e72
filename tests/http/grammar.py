"""Requests for Hypothesis: mostly right, each part sometimes not, and bytes of the whole changed at the end."""

from __future__ import annotations

import functools

from hypothesis import strategies as st


def mostly(right: list[bytes], wrong: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of some bytes; one time in fifty one of the others, as a request has some thirty parts."""
    return st.sampled_from(right * (1 + 49 * len(wrong) // len(right)) + wrong)


METHODS = mostly(
    [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS"],
    [b"get", b"M-SEARCH", b"CONNECT", b"PRI", b"G T", b"", b"G\xe9T", b"A" * 40],
)
TARGETS = mostly(
    [b"/", b"/a?b=c", b"/a%2Fb", b"//a", b"http://a/b?c"],
    [b"*", b"a:80", b"http://b/", b"/a b", b"/a#b", b"", b"a", b"/\xe9", b"/\x00", b"http://A"],
)
VERSIONS = mostly(
    [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"],
    [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.10", b"", b"HTTP/1.1 "],
)
ENDS = mostly([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n "])
COLONS = mostly([b": ", b":", b":  ", b":\t"], [b" :", b"\t: ", b"", b" ", b"\x00:"])
NAMES = mostly(
    [b"X", b"Accept", b"x-y", b"Cookie", b"TE", b"Trailer"],
    [
        b"",
        b"X Y",
        b"X_Y",
        b"\xe9",
        b"(",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Host",
        b"Upgrade",
        b"X\x00",
    ],
)
VALUES = mostly(
    [b"a", b"", b"a b", b"a, b", b"\xe9", b"a;b=c", b"trailers"],
    [b"a\x00", b"a\rb", b"a\nb", b"\x7f", b"a\tb", b"chunked", b"5", b" a ", b"\x0b"],
)
HOSTS = mostly([b"a"], [b"", b"b", b"a:80", b"A", b"a b", b"a/", b"[::1]"])
CONNECTIONS = mostly(
    [b"keep-alive", b"close", b"Close", b"foo, close"], [b"", b",", b"close;", b"upgrade", b"clos"]
)
EXPECTS = mostly([b"100-continue", b"100-Continue"], [b"", b"a", b"100-continue, a"])
CODINGS = mostly(
    [b"chunked", b"Chunked"],
    [
        b"gzip, chunked",
        b"chunked, chunked",
        b"identity",
        b"",
        b"chunked;a",
        b"xchunked",
        b",chunked",
        b"chunked ",
    ],
)
EXTENSIONS = mostly(
    [b"", b"", b";a", b";a=b", b';a="b;c"'], [b" ", b";", b" ;a", b";a\x00", b";\xe9", b';a="', b"\t"]
)
BODIES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"0\r\n\r\n", b"\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"5\r\nhello\r\n"]),
)


# What is made anew for each example is examined anew by Hypothesis, which takes longer than the example.
PIECES = st.lists(BODIES.filter(bool), max_size=3)
TRAILERS = st.sampled_from([0, 0, 0, 1, 2])
FRAMINGS = st.sampled_from([b"none", b"length", b"chunked"] * 10 + [b"both"])
FRONTS = mostly([b""], [b"\r\n", b"\n", b" ", b"\r\n\r\n"])
FEW, ONE_OF_FIVE = st.integers(0, 3), st.integers(0, 4)


@functools.cache
def orders(count: int) -> st.SearchStrategy[list[int]]:
    """The numbers from zero, in any order."""
    return st.permutations(range(count))


@functools.cache
def sizes(size: int) -> st.SearchStrategy[bytes]:
    """A chunk's size, in one of its spellings or something like it."""
    right = [b"%x" % size, b"%X" % size, b"0%x" % size]
    wrong = [b"+%x", b"-%x", b"0x%x", b" %x", b"%x ", b"%x_0", b"1000000000000000%x", b"%xg"]
    return mostly(right, [spelling % size for spelling in wrong] + [b"%x" % (size + 1), b""])


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    """A chunked body."""
    pieces = []
    for body in [*draw(PIECES), b""]:
        pieces += [draw(sizes(len(body))), draw(EXTENSIONS), draw(ENDS)]
        pieces += [body, draw(ENDS)] if body else []
    for _ in range(draw(TRAILERS)):
        pieces += [draw(NAMES), draw(COLONS), draw(VALUES), draw(ENDS)]
    return b"".join([*pieces, draw(ENDS)])


@functools.cache
def lengths(size: int) -> st.SearchStrategy[bytes]:
    """A Content-Length, in one of its spellings or something like it."""
    wrong = [b"+%d", b"-%d", b"%d,%d", b"0x%d", b"%d ", b"%d a", b'"%d"', b"%d.0", b"%d_0"]
    spelt = [spelling.replace(b"%d", b"%d" % size) for spelling in wrong]
    return mostly([b"%d" % size, b"0%d" % size], [*spelt, b"%d" % (size + 1), b"", b"9" * 25])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request."""
    fields = [(b"Host", draw(HOSTS))]
    body = b""
    framing = draw(FRAMINGS)
    if framing in (b"length", b"both"):
        body = draw(BODIES)
        fields.append((b"Content-Length", draw(lengths(len(body)))))
    if framing in (b"chunked", b"both"):
        body = draw(chunks())
        fields.append((b"Transfer-Encoding", draw(CODINGS)))
    for name, values in ((b"Connection", CONNECTIONS), (b"Expect", EXPECTS)):
        fields += [(name, draw(values))] if draw(ONE_OF_FIVE) == 0 else []
    fields += [(draw(NAMES), draw(VALUES)) for _ in range(draw(FEW))]
    order = [fields[number] for number in draw(orders(len(fields)))]
    lines = [b" ".join([draw(METHODS), draw(TARGETS), draw(VERSIONS)]) + draw(ENDS)]
    lines += [name + draw(COLONS) + value + draw(ENDS) for name, value in order]
    front = draw(FRONTS)
    return b"".join([front, *lines, draw(ENDS), body])


SPICES = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x00",
        b":",
        b";",
        b",",
        b"0",
        b"5",
        b"-",
        b"+",
        b"\x0b",
        b"\xff",
        b"A",
    ]
)
#: Where, how many bytes go, what comes in their place.
CHANGES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 2), st.one_of(SPICES, st.just(b""))), max_size=1
)


def change(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The data with bytes taken out and put in."""
    for where, size, spice in changes:
        at = where % (len(data) + 1)
        data = data[:at] + spice + data[at + size :]
    return data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if start < end]


#: Up to three requests in one stream.
STREAMS = st.builds(change, st.lists(requests(), min_size=1, max_size=3).map(b"".join), CHANGES)
PLACES = st.lists(st.integers(0, 1000), max_size=4)
