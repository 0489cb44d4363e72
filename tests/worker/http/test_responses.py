"""What an application may put into a head, and how its body is framed."""

from __future__ import annotations

import calendar
import email.utils
import re
import time
import types
from typing import Any

import pytest

from twistcorn.worker.http import responses
from twistcorn.worker.http.responses import (
    REASONS,
    Fields,
    Framing,
    Head,
    check_fields,
    check_status,
    make_head,
    refusal,
)

STATUSES = ["200 OK", "404 Not Found", "299 ", "999 Any\twords", "200 caf\xe9", "500 (a, b): c"]
BAD_STATUSES: list[tuple[Any, type[Exception]]] = [
    (200, TypeError),
    (b"200 OK", TypeError),
    (None, TypeError),
    ("", ValueError),
    ("200", ValueError),
    ("200OK", ValueError),
    (" 200 OK", ValueError),
    ("20 OK", ValueError),
    ("2000 OK", ValueError),
    ("099 OK", ValueError),
    ("abc OK", ValueError),
    ("+20 OK", ValueError),
    ("\u0662\u0660\u0660 OK", ValueError),
    ("200 OK\r\nX: a", ValueError),
    ("200 OK\n", ValueError),
    ("200 O\rK", ValueError),
    ("200 O\0K", ValueError),
    ("200 O\x7fK", ValueError),
    ("200 \u20ac", ValueError),
]

BAD_FIELDS: list[tuple[str, Any, type[Exception]]] = [
    ("no sequence", None, TypeError),
    ("a number", 5, TypeError),
    ("text", "X: a", TypeError),
    ("dictionary", {"X": "a"}, TypeError),
    ("generator", (pair for pair in [("X", "a")]), TypeError),
    ("field that is text", ["Xa"], TypeError),
    ("field of one", [("X",)], TypeError),
    ("field of three", [("X", "a", "b")], TypeError),
    ("field of none", [None], TypeError),
    ("name of bytes", [(b"X", "a")], TypeError),
    ("value of bytes", [("X", b"a")], TypeError),
    ("value that is a number", [("Content-Length", 5)], TypeError),
    ("value that is none", [("X", None)], TypeError),
    ("CR LF in a value", [("X", "a\r\nSet-Cookie: b=c")], ValueError),
    ("CR LF at the end of a value", [("X", "a\r\n")], ValueError),
    ("CR in a value", [("X", "a\rb")], ValueError),
    ("LF in a value", [("X", "a\nb")], ValueError),
    ("line folding", [("X", "a\r\n b")], ValueError),
    ("CR and LF in two values", [("X", "a\r"), ("Y", "\nb")], ValueError),
    ("NUL in a value", [("X", "a\0b")], ValueError),
    ("control character in a value", [("X", "a\x1bb")], ValueError),
    ("DEL in a value", [("X", "a\x7fb")], ValueError),
    ("CR LF in Content-Length", [("Content-Length", "5\r\nX: a")], ValueError),
    ("CR LF in Date", [("Date", "now\r\n\r\n")], ValueError),
    ("CR LF in a name", [("X\r\nY", "a")], ValueError),
    ("LF behind a name", [("X\n", "a")], ValueError),
    ("colon in a name", [("X:", "a")], ValueError),
    ("space in a name", [("X Y", "a")], ValueError),
    ("no name", [("", "a")], ValueError),
    ("name beyond ASCII", [("X\xe9", "a")], ValueError),
    ("two Content-Lengths", [("Content-Length", "5"), ("content-length", "6")], ValueError),
    ("the same Content-Length twice", [("Content-Length", "5"), ("Content-Length", "5")], ValueError),
    *(
        (f"Content-Length {value!r}", [("Content-Length", value)], ValueError)
        for value in ("", "+5", "-5", " 5", "5 ", "5,5", "0x5", "5.0", "1_0", "five", "\u0665", "\xb2")
    ),
]

HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]

NONE = check_fields([])
FIVE = check_fields([("Content-Length", "5")])
CLOSE = check_fields([("Connection", "Close")])
N, L, C, E = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE

#: (method, status, minor version, fields, size of a whole body) -> framing, kept, lines about it.
HEADS: list[tuple[str, str, int, Fields, int | None, Framing, bool, set[str]]] = [
    ("GET", "200 OK", 1, NONE, 3, L, True, {"Content-Length: 3"}),
    ("GET", "200 OK", 1, NONE, 0, L, True, {"Content-Length: 0"}),
    ("GET", "200 OK", 1, NONE, None, C, True, {"Transfer-Encoding: chunked"}),
    ("GET", "200 OK", 1, FIVE, None, L, True, {"Content-Length: 5"}),
    ("GET", "200 OK", 1, FIVE, 3, L, True, {"Content-Length: 5"}),
    ("GET", "200 OK", 1, CLOSE, 3, L, False, {"Content-Length: 3", "Connection: close"}),
    ("GET", "200 OK", 0, NONE, 3, L, True, {"Content-Length: 3", "Connection: keep-alive"}),
    ("GET", "200 OK", 0, NONE, None, E, False, {"Connection: close"}),
    ("GET", "200 OK", 0, FIVE, None, L, True, {"Content-Length: 5", "Connection: keep-alive"}),
    ("POST", "404 Not Found", 1, NONE, None, C, True, {"Transfer-Encoding: chunked"}),
    ("HEAD", "200 OK", 1, NONE, 3, N, True, {"Content-Length: 3"}),
    ("HEAD", "200 OK", 1, NONE, None, N, True, {"Transfer-Encoding: chunked"}),
    ("HEAD", "200 OK", 1, FIVE, None, N, True, {"Content-Length: 5"}),
    ("HEAD", "200 OK", 0, FIVE, None, N, True, {"Content-Length: 5", "Connection: keep-alive"}),
    ("GET", "204 No Content", 1, NONE, 0, N, True, set()),
    ("GET", "204 No Content", 1, NONE, None, N, True, set()),
    ("GET", "204 No Content", 0, NONE, None, N, True, {"Connection: keep-alive"}),
    ("GET", "304 Not Modified", 1, NONE, None, N, True, set()),
    ("GET", "304 Not Modified", 1, FIVE, 0, N, True, {"Content-Length: 5"}),
    ("HEAD", "304 Not Modified", 1, NONE, 0, N, True, set()),
]


def lines(head: Head) -> list[str]:
    text = head.data.decode("latin-1")
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


class TestStatus:
    @pytest.mark.parametrize("status", STATUSES)
    def test_status_is_right(self, status: str) -> None:
        """Three digits, a space and any words, also none."""
        assert check_status(status) == status

    @pytest.mark.parametrize(("status", "kind"), BAD_STATUSES)
    def test_status_is_wrong(self, status: Any, kind: type[Exception]) -> None:
        """The error shows it."""
        with pytest.raises(kind) as caught:
            check_status(status)
        assert repr(status) in str(caught.value)


class TestFields:
    def test_fields_are_right(self) -> None:
        """They go out as they are, in their order."""
        fields = check_fields([("X", "a"), ("sEt-cookie", "b=c; d"), ("X", ""), ("Y", "\t caf\xe9")])

        assert fields.text == "X: a\r\nsEt-cookie: b=c; d\r\nX: \r\nY: \t caf\xe9\r\n"
        assert (fields.length, fields.close, fields.dropped) == (None, False, ())

    @pytest.mark.parametrize(
        ("given", "kind"), [row[1:] for row in BAD_FIELDS], ids=[row[0] for row in BAD_FIELDS]
    )
    def test_fields_are_wrong(self, given: Any, kind: type[Exception]) -> None:
        """None of them goes out."""
        with pytest.raises(kind):
            check_fields(given)

    @pytest.mark.parametrize("value", ["\u20ac", "a\u0142b", "\ud800"])
    def test_value_beyond_latin_1(self, value: str) -> None:
        """It has no bytes on the wire, so it is refused where the application can see it (PEP 3333)."""
        with pytest.raises(ValueError, match="X"):
            check_fields([("X", value)])

    @pytest.mark.parametrize("given", [(("X", "a"),), [["X", "a"]]])
    def test_another_sequence(self, given: Any) -> None:
        """A tuple of fields, and a list for a field, work with a warning, as in Twisted's own resource."""
        with pytest.warns(RuntimeWarning, match="should be"):
            assert check_fields(given).text == "X: a\r\n"

    @pytest.mark.parametrize("name", [*HOP_BY_HOP, "transfer-encoding", "CONNECTION"])
    def test_hop_by_hop_field(self, name: str) -> None:
        """It is the server's: it is dropped, and noted."""
        fields = check_fields([("X", "a"), (name, "chunked")])

        assert (fields.text, fields.dropped) == ("X: a\r\n", (name.lower(),))

    @pytest.mark.parametrize(("value", "close"), [("close", True), (" Close ", True), ("keep-alive", False)])
    def test_connection_field(self, value: str, close: bool) -> None:
        """What it asks for is done all the same."""
        assert check_fields([("Connection", value)]).close is close

    def test_special_fields(self) -> None:
        """Those that the server would add are noted."""
        fields = check_fields([("content-LENGTH", "05"), ("server", "a"), ("DATE", "b")])

        assert (fields.length, fields.has_server, fields.has_date) == (5, True, True)

    def test_many_names(self) -> None:
        """An application that makes up names is checked all the same."""
        for number in range(3000):
            check_fields([(f"X-{number}", "a")])
        with pytest.raises(ValueError, match="token"):
            check_fields([("X-3000:", "a")])


class TestMemory:
    def test_list_is_repeated(self) -> None:
        """The result is the same, even if the list changed meanwhile."""
        given = [("X", "a"), ("Content-Length", "5"), ("Connection", "close")]
        first = check_fields(given)
        given.append(("Y", "b"))

        assert (first.text, first.length, first.close) == ("X: a\r\n", 5, True)
        assert check_fields(given).text == "X: a\r\nY: b\r\n"
        assert check_fields(given[:-1]) is first

    @pytest.mark.parametrize("given", [(("X", "known"),), [["X", "known"]]])
    def test_another_sequence_of_known_fields(self, given: Any) -> None:
        """It is refused or warned about each time, although a list of the same fields was valid."""
        check_fields([("X", "known")])
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match="should be"):
                check_fields(given)

    def test_wrong_list_is_repeated(self) -> None:
        """It is refused each time, and the right ones among its fields stay right."""
        for _ in range(2):
            with pytest.raises(ValueError, match="twice"):
                check_fields([("Content-Length", "5"), ("Content-Length", "6")])
            with pytest.raises(ValueError, match="character"):
                check_fields([("X", "a"), ("Y", "a\n")])
        assert check_fields([("Content-Length", "6"), ("X", "a")]).length == 6

    def test_application_makes_lists_up(self) -> None:
        """The cache is bounded in number and size."""
        for number in range(3 * responses._KNOWN_LIMIT):
            check_fields([(f"X-{number}", "a"), ("Y", "b")])
            check_status(f"200 {number}")
        long = [("X", "a" * (responses._KNOWN_CHARS * 4 + 1))]

        assert check_fields(long) is not check_fields(long)
        for known in (responses._known_lists, responses._known_fields, responses._known_statuses):
            assert len(known) <= responses._KNOWN_LIMIT
        assert check_status("200 later") in responses._known_statuses, "what comes later is remembered, too"

    @pytest.mark.parametrize("given", [[], [("Content-Length", "5")], [("Connection", "close")]])
    def test_head_of_known_fields(self, given: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
        """Each is what it would be without the ones before, in whichever order they come."""
        clock = types.SimpleNamespace(time=lambda: 784111777.5, gmtime=time.gmtime)
        monkeypatch.setattr("twistcorn.worker.http.responses.time", clock)
        shared = check_fields(given)
        asked = [
            (status, method, minor, keep, whole)
            for method, status, minor, _, whole, *_ in HEADS
            for keep in (True, False)
        ]

        for status, method, minor, keep, whole in [*asked, *reversed(asked)]:
            fresh = responses._check_anew(given)
            for _ in range(2):
                head = make_head(status, shared, method, (1, minor), keep, whole)
                assert head == make_head(status, fresh, method, (1, minor), keep, whole)


class TestHead:
    @pytest.mark.parametrize(
        ("method", "status", "minor", "fields", "whole", "framing", "kept", "told"), HEADS
    )
    def test_framing(
        self,
        method: str,
        status: str,
        minor: int,
        fields: Fields,
        whole: int | None,
        framing: Framing,
        kept: bool,
        told: set[str],
    ) -> None:
        """Method, status, version and the known length decide, and the head says it once."""
        head = make_head(status, fields, method, (1, minor), True, whole)

        assert (head.framing, head.keep_alive) == (framing, kept)
        assert lines(head)[0] == f"HTTP/1.1 {status}"
        about = re.compile("(?i)content-length|transfer-encoding|connection|keep-alive")
        assert sorted(line for line in lines(head)[1:] if about.match(line)) == sorted(told)

    @pytest.mark.parametrize("minor", [0, 1])
    def test_connection_ends(self, minor: int) -> None:
        """Either side may request that, and both versions say so."""
        head = make_head("200 OK", NONE, "GET", (1, minor), False, 0)

        assert not head.keep_alive
        assert "Connection: close" in lines(head)

    def test_server_and_date(self) -> None:
        """They are added where the application has none."""
        names = [line.split(":")[0] for line in lines(make_head("200 OK", NONE, "GET", (1, 1), True, 0))]
        own = check_fields([("server", "own"), ("date", "now")])

        assert {"Server", "Date"} < set(names)
        assert lines(make_head("200 OK", own, "GET", (1, 1), True, 0))[1:3] == ["server: own", "date: now"]
        assert len(lines(make_head("200 OK", own, "GET", (1, 1), True, 0))) == 4

    def test_reason_beyond_ascii(self) -> None:
        """It goes out in latin-1, as PEP 3333 has it."""
        assert make_head("200 caf\xe9", NONE, "GET", (1, 1), True, 0).data.startswith(
            b"HTTP/1.1 200 caf\xe9\r\n"
        )


class TestDate:
    def now(self) -> str:
        (line,) = [
            line for line in lines(make_head("200 OK", NONE, "GET", (1, 1), True, 0)) if "Date" in line
        ]
        return line.removeprefix("Date: ")

    @pytest.mark.parametrize("moment", ["1994-11-06T08:49:37", "2024-02-29T00:00:00", "2033-12-31T23:59:59"])
    def test_format(self, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
        """It is an IMF-fixdate (RFC 9110 section 5.6.7), in English and GMT wherever the server is."""
        seconds = calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))
        clock = types.SimpleNamespace(time=lambda: seconds + 0.5, gmtime=time.gmtime)
        monkeypatch.setattr("twistcorn.worker.http.responses.time", clock)

        assert self.now() == email.utils.formatdate(seconds, usegmt=True)

    def test_second_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is rebuilt each second."""
        moments = iter([784111777.9, 784111777.99, 784111778.0])
        clock = types.SimpleNamespace(time=lambda: next(moments), gmtime=time.gmtime)
        monkeypatch.setattr("twistcorn.worker.http.responses.time", clock)

        said = [self.now()[-12:-4] for _ in range(3)]
        assert said == ["08:49:37", "08:49:37", "08:49:38"]


class TestRefusal:
    @pytest.mark.parametrize("status", REASONS)
    def test_answer_of_the_server(self, status: int) -> None:
        """It is whole, short, plain text, and the last on its connection."""
        head, _, body = refusal(status).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 %d %b\r\n" % (status, REASONS[status].encode()))
        assert b"\r\nConnection: close" in head
        assert b"\r\nContent-Type: text/plain; charset=utf-8" in head
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head
