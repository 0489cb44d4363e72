"""Any bytes are requests or a refusal, and what is accepted is what h11 reads in the same bytes.

The number of examples is TWISTCORN_FUZZ_EXAMPLES: 2000, and in continuous integration 20000.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twistcorn.wire.scoreboard import Scoreboard

from .cases import CRLF, DEFAULTS, Seen
from .driver import Feed, feed
from .grammar import PLACES, STREAMS, cut

EXAMPLES = int(os.environ.get("TWISTCORN_FUZZ_EXAMPLES", "2000"))
FUZZ = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def board() -> Iterator[Scoreboard]:
    made = Scoreboard.create(1, 1)
    yield made
    made.close()


def oracle(data: bytes) -> tuple[Seen, bytes, int]:
    """The first request of the data, its target and its length, as h11 reads them.

    :raises h11.RemoteProtocolError: h11 refuses it.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request), request
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    version = (1, 1) if request.http_version > b"1.0" else (1, 0)
    seen = Seen(request.method.decode(), version=version, body=body, fields=tuple(request.headers))
    return seen, request.target, len(data) - len(connection.trailing_data[0])


FRAMING_TRAILER = rb"\r\n0+[^\r\n]*\r\n(.+\r\n)*(content-length|transfer-encoding):"

#: Where h11 refuses what twistcorn accepts: name, how it shows, why twistcorn is right.
STRICTER: list[tuple[str, Callable[[bytes], bool], str]] = [
    (
        "empty line in front",
        lambda data: data.startswith(CRLF),
        "RFC 9112 2.2: a server ignores at least one; h11 refuses it",
    ),
    (
        "white space in front of a chunk extension",
        lambda data: re.search(rb"[0-9A-Fa-f][ \t]+;", data) is not None,
        "RFC 9112 7.1.1: BWS may be there; h11 knows none",
    ),
    (
        "framing fields in trailers",
        lambda data: re.search(FRAMING_TRAILER, data, re.IGNORECASE) is not None,
        "RFC 9110 6.5.1: trailers are not merged, so what they say of framing is ignored; h11 checks it",
    ),
]


def explained(data: bytes) -> list[str]:
    return [name for name, shows, _ in STRICTER if shows(data)]


def agree(seen: Seen, target: bytes, data: bytes) -> None:
    """h11 reads in these bytes, all of them and no more, the same request."""
    try:
        theirs, their_target, length = oracle(data.removeprefix(CRLF))
    except h11.RemoteProtocolError:
        if explained(data.removeprefix(CRLF)):
            return
        raise
    assert length == len(data.removeprefix(CRLF))
    assert (seen.method, target, seen.version) == (theirs.method, their_target, theirs.version)
    assert seen.body == theirs.body
    assert normal(seen) == normal(theirs)


def normal(seen: Seen) -> list[tuple[bytes, bytes]]:
    """The fields; h11 puts the names of transfer codings in lower case."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in seen.fields]


def check(fed: Feed, data: bytes) -> None:
    """What came of the data was ended or refused, and each request in it is h11's as well."""
    assert fed.over
    starts = [0, *fed.ends]
    for seen, target, start, end in zip(fed.seen, fed.targets, starts, fed.ends, strict=False):
        agree(seen, target, data[start:end])


class TestFuzz:
    @FUZZ
    @given(data=STREAMS, places=PLACES)
    def test_requests_that_are_almost_right(self, board: Scoreboard, data: bytes, places: list[int]) -> None:
        """They are accepted or refused, alike in any pieces, and h11 reads the same in what is accepted."""
        fed = feed(board, "unix", [data], DEFAULTS, end=True)
        check(fed, data)
        pieces = feed(board, "unix", cut(data, places), DEFAULTS, end=True)
        assert (pieces.seen, bool(pieces.refused)) == (fed.seen, bool(fed.refused))

    @settings(FUZZ, max_examples=EXAMPLES // 4)
    @given(data=st.binary(max_size=200))
    def test_any_bytes(self, board: Scoreboard, data: bytes) -> None:
        """They are accepted, refused or not whole, and nothing else happens."""
        check(feed(board, "unix", [data], DEFAULTS, end=True), data)
