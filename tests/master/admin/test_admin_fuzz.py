"""Anything at all at the admin endpoint: it is refused or answered, changes nothing, and is no error of ours.

Law: the visitors have no token for actions, so that whatever they send, the server stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from tests.master.visitors import House, Visitor

#: How much continuous integration has patience for is more than a developer's run has.
EXAMPLES = min(3000, int(os.environ.get("TWISTCORN_FUZZ_EXAMPLES", "300")))

_PATHS = st.sampled_from(
    ["/", "/events", "/history", "/metrics", "/login", "/livez", "/readyz", "/actions/reload", "/actions/scale",
     "/actions/recycle", "/admin.js", "/?token=act", "/?token=%00", "*", "//", "/..", "http://x/", "/x?" + "y=" * 50]
)  # fmt: skip
_METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE", "CONNECT", "get", "X"])
_VALUES = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
_FIELDS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["Host", "Authorization", "Cookie", "Origin", "Accept", "X-Twistcorn", "Connection"]),
            _VALUES,
        ),
        st.sampled_from([
            ("Authorization", "Bearer see"), ("Authorization", "Bearer "), ("Cookie", "twistcorn-admin-9000="),
            ("Content-Type", "application/x-www-form-urlencoded"), ("Transfer-Encoding", "chunked"),
            ("Content-Type", "multipart/form-data; boundary=x"), ("Host", "127.0.0.1"), ("Expect", "100-continue"),
            ("Content-Length", "5"), ("Content-Length", "99999999999999999999"), ("Upgrade", "websocket"),
        ]),
    ),
    max_size=6,
)  # fmt: skip
_BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"workers=9", b"worker=1", b"token=act&token=", b"5\r\nhello\r\n0\r\n\r\n", b"--x\r\n\r\n--x--", b"z\r\n",
    ]),
)  # fmt: skip


def request(method: str, path: str, fields: list[tuple[str, str]], body: bytes, length: bool) -> bytes:
    """A request that has the shape of one."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    lines += f"Content-Length: {len(body)}\r\n" if length else ""
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


_REQUESTS = st.builds(request, _METHODS, _PATHS, _FIELDS, _BODIES, st.booleans())


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A server of one worker, whose tokens the visitors do not have."""
    made = House(workers=1, admin_token="secret", admin_action_token="another")
    made.run()
    yield made
    made.close()


def send(house: House, pieces: list[bytes]) -> Visitor:
    """Send bytes on a connection, as far as it is not ended, and leave."""
    visitor = house.visitor()
    with capturedLogs() as logged:
        for piece in pieces:
            if not visitor.transport.disconnecting:
                visitor.send(piece)
        visitor.leave()
        house.clock.advance(0)
    assert [event for event in logged if event["log_level"] >= LogLevel.warn] == []
    assert house.generations == {1: "ready"}
    assert house.supervisor.target == 1
    return visitor


@given(st.lists(st.binary(max_size=200), max_size=4))
@example([b"GET / HTTP/1.1\r\n" + b" x" * 9000 + b"\r\n\r\n"])
@settings(max_examples=EXAMPLES)
def test_bytes(house: House, pieces: list[bytes]) -> None:
    """Bytes that mean nothing are no request; what is answered to them is an error."""
    seen = send(house, pieces).transport.value()
    assert not seen or seen.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200", b"HTTP/1.1 100"))


@given(st.lists(_REQUESTS, min_size=1, max_size=3), st.integers(0, 300))
@settings(max_examples=EXAMPLES)
def test_requests(house: House, requests: list[bytes], cut: int) -> None:
    """Requests of any method, path, field and body, in one piece or two, are answered without an error of ours."""
    data = b"".join(requests)
    seen = send(house, [data[:cut], data[cut:]]).transport.value()
    assert b"HTTP/1.1 500" not in seen
    assert b"secret" not in seen
    assert not any(name in seen for name in (b"event: snapshot", b"twistcorn_", b"Set-Cookie"))
