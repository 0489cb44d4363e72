"""Bytes to answers, as the clients of the disruption benchmark read them."""

from __future__ import annotations

import pytest

from bench.disrupt.answers import Answer, Broken, read_answer

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_part_of_an_answer_is_none(length: int) -> None:
    """More is waited for at each byte, and at the end of the connection it is no answer either."""
    assert read_answer(WHOLE[:length]) is None
    assert read_answer(WHOLE[:length], ended=True) is None


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_announced_close(head: bytes, closes: bool) -> None:
    """A close is announced by the field, or by the version without it."""
    assert read_answer(head + b"Content-Length: 3\r\n\r\none") == Answer(200, closes, b"one")


def test_answer_without_a_length_ends_with_its_connection() -> None:
    """It is not whole before, and its close is announced by having no length."""
    text = b"HTTP/1.1 502 Bad Gateway\r\n\r\nsorry"
    assert read_answer(text) is None
    assert read_answer(text, ended=True) == Answer(502, True, b"sorry")


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        WHOLE + b"!",
    ],
)
def test_broken_answer(text: bytes) -> None:
    """No status line, no length that is one, what the application never sends, more than was asked for."""
    with pytest.raises(Broken):
        read_answer(text)
