"""Request bodies: which bytes belong to them, however these are cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twistcorn.errors import HTTPError
from twistcorn.worker.http.bodies import ChunkedBody, LengthBody
from twistcorn.worker.http.spool import Store

#: Makes one with this limit.
Made = Callable[[int], Store]

#: What follows a body.
TAIL = b"GET /next"
#: Chunked bodies, and what they carry.
CHUNKED = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"1\r\nh\r\n04;a=b\r\nello\r\n000\r\nX: a\r\nY:\r\n\r\n", b"hello"),
    (b"2\r\n\r\n\r\n2\r\n0\r\r\n0\r\n\r\n", b"\r\n0\r"),
]


def feed(body: LengthBody | ChunkedBody, pieces: list[bytes]) -> bytes:
    """Feed pieces as the intake does, untaken bytes before the next piece; returns the remainder."""
    left = b""
    for piece in pieces:
        left += piece
        if not body.done:
            left = left[body.feed(left) :]
    return left


def kept(store: Store) -> bytes:
    return store.close_body().file.read()


class TestLengthBody:
    @pytest.mark.parametrize("cut", range(len(b"hello" + TAIL)))
    def test_body_in_two_pieces(self, store: Made, cut: int) -> None:
        """It takes its own bytes and leaves the others."""
        data = b"hello" + TAIL
        body = LengthBody(5, store(0))

        assert feed(body, [data[:cut], data[cut:]]) == TAIL
        assert (body.done, body.left, kept(body.store)) == (True, 0, b"hello")

    def test_body_is_not_whole(self, store: Made) -> None:
        """It says how much is missing."""
        body = LengthBody(5, store(0))

        assert feed(body, [b"he", b"", b"l"]) == b""
        assert (body.done, body.left) == (False, 2)
        body.store.drop()

    def test_no_body(self, store: Made) -> None:
        """A body of length 0 is complete before any byte comes."""
        assert LengthBody(0, store(0)).done


class TestChunkedBody:
    @pytest.mark.parametrize(("data", "carried"), CHUNKED)
    def test_body_in_two_pieces(self, store: Made, data: bytes, carried: bytes) -> None:
        """Wherever the bytes are cut, the same is taken, and what follows is left."""
        for cut in range(len(data + TAIL) + 1):
            body = ChunkedBody(store(0))
            assert feed(body, [(data + TAIL)[:cut], (data + TAIL)[cut:]]) == TAIL
            assert body.done
            assert kept(body.store) == carried

    @pytest.mark.parametrize(("data", "carried"), CHUNKED)
    def test_body_byte_by_byte(self, store: Made, data: bytes, carried: bytes) -> None:
        """It is complete with its last byte, not before."""
        body = ChunkedBody(store(0))
        left = b""
        for number in range(len(data)):
            assert not body.done
            left = feed(body, [left, data[number : number + 1]])

        assert body.done
        assert left == b""
        assert kept(body.store) == carried

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"5\r\nhello!", 400),
            (b"5\r\nhello\n", 400),
            (b"5\n", 400),
            (b"-5\r\n", 400),
            (b"x" * 300, 400),
            (b"6\r\nhello!\r\n5\r\nhello", 413),
            (b"0\r\nbad\r\n", 400),
            (b"0\r\nX: a\n", 400),
            (b"0\r\nX: " + b"a" * 9000, 431),
        ],
    )
    def test_body_is_malformed(self, store: Made, data: bytes, status: int) -> None:
        """It is refused with the same status in one piece and in many."""
        singles = [data[n : n + 1] for n in range(len(data))]
        for pieces in ([data], singles):
            body = ChunkedBody(store(10))
            with pytest.raises(HTTPError) as caught:
                feed(body, pieces)
            assert caught.value.status == status
            assert not body.done

    def test_chunk_of_many_bytes(self, store: Made) -> None:
        """A chunk is taken as it arrives, before it is complete."""
        body = ChunkedBody(store(0))

        assert feed(body, [b"ffff\r\n", b"x" * 1000]) == b""
        assert body.store.size == 1000
        body.store.drop()
