"""The claims of twistcorn.logs.lines: each atom's value, JSON's members, and that no value forges a line."""

from __future__ import annotations

import base64
import json
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.atoms import CLASSIC, OWN
from twistcorn.logs.entries import Entry
from twistcorn.logs.lines import compile_format
from twistcorn.worker.http.request import HeaderBlock, RequestLine

BASIC = b"Basic " + base64.b64encode(b"ann b:secret")


def entry(target: bytes = b"/a/b?c=d", headers: list[tuple[bytes, bytes]] | None = None, **fields: object) -> Entry:
    """GET of this target by a client at 10.0.0.7, which took 1.234567 s."""
    path, _, query = target.partition(b"?")
    made = Entry()
    made.line = RequestLine("GET", target, path, query, (1, 1))
    made.block = HeaderBlock(
        [(b"user-agent", b"curl"), (b"referer", b"/from"), *(headers or [])], True, 0, False
    )
    made.address, made.ident, made.code, made.sent = "10.0.0.7", "abc-1", 200, 5
    made.start, made.end = 1_000_000_000, 2_034_567_000
    made.queued, made.waited = 0.2, 34_567_000
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def line(format: str, of: Entry, worker: int = 3) -> str:
    """The line of an entry in a format."""
    lines = compile_format(format, worker)
    lines.offset = 1_795_258_799_000_000_000
    return lines.line(of)


class TestAtoms:
    @pytest.mark.parametrize(
        ("atom", "value"),
        [
            ("h", "10.0.0.7"), ("l", "-"), ("u", "ann\\x20b"), ("r", "GET /a/b?c=d HTTP/1.1"), ("m", "GET"),
            ("U", "/a/b"), ("q", "c=d"), ("H", "HTTP/1.1"), ("s", "200"), ("B", "5"), ("b", "5"), ("f", "/from"),
            ("a", "curl"), ("T", "1"), ("M", "1234"), ("D", "1234567"), ("L", "1.234567"), ("p", "<PID>"),
            ("worker", "3"), ("queue", "0.200000"), ("app", "1.000000"), ("write", "0.034567"), ("attempt", "1"),
            ("id", "abc-1"), ("X", "+"),
        ],
    )  # fmt: skip
    def test_value(self, atom: str, value: str) -> None:
        """As documented, for a successful request."""
        shown = value.replace("PID", str(os.getpid()))
        assert line(f"%({atom})s", entry(headers=[(b"authorization", BASIC)])) == shown + "\n"

    def test_the_applications_own_request_id(self) -> None:
        """The line has the bytes sent, not those declared."""
        of = entry(head=b"HTTP/1.1 200 OK\r\nx-REQUEST-id: theirs\r\n\r\n")
        assert line("%({X-Request-ID}o)s %(id)s", of) == "theirs abc-1\n"

    def test_time(self) -> None:
        """When the request's turn began, in local time, as Apache writes it."""
        zone = time.strftime("%z", time.localtime(1_795_258_800))
        at = time.strftime("%d/Nov/%Y:%H:%M:%S", time.localtime(1_795_258_800))
        assert line("%(t)s", entry()) == f"[{at} {zone}]\n"

    def test_combined_is_that_of_apache(self) -> None:
        """Its regular expression, which every reader of logs has, fits."""
        found = re.fullmatch(
            r'(\S+) - - \[[^]]+\] "GET /a/b\?c=d HTTP/1\.1" 200 5 "/from" "curl"\n', line("combined", entry())
        )
        assert found is not None

    def test_what_is_not_there_is_a_dash(self) -> None:
        """An unreadable request has no line, no fields, no id; one without a body has no bytes."""
        blank = Entry()
        blank.code = 400
        for atom in [*CLASSIC, *OWN]:
            assert line(f"%({atom})s", blank).strip() or atom == "q"
        assert line("%(h)s %(r)s %(m)s %(U)s %(b)s %(B)s %(id)s %({x}i)s", blank) == "- - - - - 0 - -\n"

    def test_fields_and_variables(self) -> None:
        """Of the request, of the response, of the environ."""
        of = entry(headers=[(b"x-a", b"1"), (b"x-a", b"2")], head=b"HTTP/1.1 200 OK\r\nETag: 7\r\n\r\n")
        of.values = {"shop.user": "ann"}
        said = line("%({X-A}i)s %({etag}o)s %({shop.user}e)s %({no}o)s %({x-request-id}o)s", of)
        assert said == "1, 2 7 ann - abc-1\n"

    @pytest.mark.parametrize(("whole", "keep", "said"), [(True, True, "+"), (True, False, "-"), (False, False, "X")])
    def test_end(self, whole: bool, keep: bool, said: str) -> None:
        """Whether the response was truncated, and whether the connection stays open."""
        assert line("%(X)s", entry(whole=whole, keep=keep)) == f"{said}\n"

    def test_what_requests_repeat_is_not_mixed_up(self) -> None:
        """Different request lines, fields and clients get different text, in any order."""
        lines = compile_format("%(h)s %(m)s %(U)s %(u)s %(a)s", 1)
        entries = [entry(b"/%d" % n, address=f"10.0.0.{n}") for n in range(3)]
        seen = [lines.line(each) for each in entries * 2]
        assert seen == [f"10.0.0.{n} GET /{n} - curl\n" for n in range(3)] * 2


class TestJson:
    def test_members(self) -> None:
        """The documented names."""
        members = json.loads(line("json", entry(headers=[(b"authorization", BASIC)])))
        assert members == {
            "time": "2026-11-21T11:00:00.000Z", "event": "access", "worker": 3, "remote_addr": "10.0.0.7",
            "method": "GET", "path": "/a/b", "query": "c=d", "protocol": "HTTP/1.1", "status": 200, "bytes": 5,
            "duration": 1.234567, "queue_time": 0.2, "app_time": 1.0, "write_time": 0.034567, "attempt": 1,
            "request_id": "abc-1", "aborted": False, "referer": "/from", "user_agent": "curl", "user": "ann b",
        }  # fmt: skip

    def test_request_that_could_not_be_read(self) -> None:
        """The same members, empty."""
        blank = Entry()
        blank.code, blank.whole = 400, False
        members = json.loads(line("json", blank))
        assert (members["status"], members["method"], members["aborted"]) == (400, "", True)


#: What a client can send in a field's value, and what could pass for the end of a line or of a value.
_VALUES = st.binary(max_size=60) | st.sampled_from(
    [b'" 200 5 "-" "x', b"\\", b'\\"', b"\r\n127.0.0.1 - -", b"\x1b[2J", b"\xe2\x80\xa8", b"%s %(h)s", b"{}"]
)


class TestForgery:
    @given(_VALUES, _VALUES)
    def test_text(self, agent: bytes, target: bytes) -> None:
        """One line of printable ASCII, in which exactly the quotes of the format are not escaped."""
        of = entry(target, [(b"x", agent), (b"authorization", b"Basic " + base64.b64encode(agent))])
        of.address = agent.decode("latin-1")
        said = line('%(h)s %(u)s "%(r)s" "%({x}i)s"', of)
        assert said.endswith("\n")
        assert said[:-1].isascii()
        assert said[:-1].isprintable()
        assert re.fullmatch(r'\S+ \S+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"\n', said), said

    @given(_VALUES, _VALUES)
    def test_json(self, agent: bytes, target: bytes) -> None:
        """One line, one object, and the values come back as they were sent."""
        said = line("json", entry(target, [(b"user-agent", agent)]))
        assert said.count("\n") == 1
        assert said.isascii()
        members = json.loads(said)
        assert members["path"] == target.partition(b"?")[0].decode("latin-1")
        assert members["user_agent"] == "curl, " + agent.decode("latin-1")

    def test_value_of_the_application(self) -> None:
        """Variables and response fields are escaped as well."""
        of = entry(values={"x": 'a\n"b"\u2028'}, head='HTTP/1.1 200 OK\r\nX: "é\r\n\r\n'.encode("latin-1"))
        assert line("%({x}e)s %({x}o)s", of) == 'a\\x0a\\"b\\"\\xe2\\x80\\xa8 \\"\\xe9\n'

    def test_long_value_is_cut(self) -> None:
        """Programs can still read the line."""
        assert len(line("%({x}i)s", entry(headers=[(b"x", b"y" * 30000)]))) == 4097
