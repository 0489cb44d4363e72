"""Request bodies: where they are kept, and which bytes belong to them, however these are cut."""

from __future__ import annotations

import io
import os

import pytest

from twistcorn.errors import HTTPError
from twistcorn.worker.bodies import IN_MEMORY, ChunkedBody, LengthBody, Store

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
    """Feed pieces as the intake does, what was not taken in front of the next; returns what is left."""
    left = b""
    for piece in pieces:
        left += piece
        if not body.done:
            left = left[body.feed(left) :]
    return left


def kept(store: Store) -> bytes:
    with store.finish() as file:
        return file.read()


class TestStore:
    @pytest.mark.parametrize("pieces", [[IN_MEMORY], [IN_MEMORY - 1, 1], [1] * 10, []])
    def test_body_of_up_to_a_mebibyte(self, pieces: list[int]) -> None:
        """It stays in memory."""
        store = Store(0)
        for size in pieces:
            store.add(b"x" * size)

        assert isinstance(store.finish(), io.BytesIO)
        assert kept(store) == b"x" * sum(pieces)

    @pytest.mark.parametrize("pieces", [[IN_MEMORY + 1], [IN_MEMORY, 1], [IN_MEMORY, 1, 100_000, 5]])
    def test_larger_body(self, pieces: list[int]) -> None:
        """It is in a file that has no name, so that nothing has to remove it."""
        store = Store(0)
        for number, size in enumerate(pieces):
            store.add(b"%d" % number * size)

        assert os.fstat(store.finish().fileno()).st_nlink == 0
        assert kept(store) == b"".join(b"%d" % number * size for number, size in enumerate(pieces))

    @pytest.mark.parametrize("pieces", [[10], [4, 6], [10, 0]])
    def test_body_at_the_limit(self, pieces: list[int]) -> None:
        """The limit is what is allowed."""
        store = Store(10)
        for size in pieces:
            store.add(b"x" * size)

        assert store.size == 10
        store.close()

    @pytest.mark.parametrize("pieces", [[11], [10, 1], [5, 5, 5]])
    def test_body_above_the_limit(self, pieces: list[int]) -> None:
        """It is refused with 413, and the bytes above are not kept."""
        store = Store(10)
        for size in pieces[:-1]:
            store.add(b"x" * size)
        with pytest.raises(HTTPError) as caught:
            store.add(b"x" * pieces[-1])

        assert caught.value.status == 413
        assert len(kept(store)) <= 10

    def test_close(self) -> None:
        """A body that nobody wants leaves no descriptor behind."""
        store = Store(0)
        store.add(b"x" * (IN_MEMORY + 1))
        descriptor = store.finish().fileno()
        store.close()

        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


class TestLengthBody:
    @pytest.mark.parametrize("cut", range(len(b"hello" + TAIL)))
    def test_body_in_two_pieces(self, cut: int) -> None:
        """It takes its own bytes and leaves the others."""
        data = b"hello" + TAIL
        body = LengthBody(5, Store(0))

        assert feed(body, [data[:cut], data[cut:]]) == TAIL
        assert (body.done, body.left, kept(body.store)) == (True, 0, b"hello")

    def test_body_is_not_whole(self) -> None:
        """It says how much is missing."""
        body = LengthBody(5, Store(0))

        assert feed(body, [b"he", b"", b"l"]) == b""
        assert (body.done, body.left) == (False, 2)
        body.store.close()

    def test_no_body(self) -> None:
        """A length of 0 is whole before anything comes."""
        assert LengthBody(0, Store(0)).done


class TestChunkedBody:
    @pytest.mark.parametrize(("data", "carried"), CHUNKED)
    def test_body_in_two_pieces(self, data: bytes, carried: bytes) -> None:
        """Wherever the bytes are cut, the same is taken, and what follows is left."""
        for cut in range(len(data + TAIL) + 1):
            body = ChunkedBody(Store(0))
            assert feed(body, [(data + TAIL)[:cut], (data + TAIL)[cut:]]) == TAIL
            assert body.done
            assert kept(body.store) == carried

    @pytest.mark.parametrize(("data", "carried"), CHUNKED)
    def test_body_byte_by_byte(self, data: bytes, carried: bytes) -> None:
        """It is whole with its last byte, and not before."""
        body = ChunkedBody(Store(0))
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
    def test_body_is_malformed(self, data: bytes, status: int) -> None:
        """It is refused with the same status in one piece and in many."""
        singles = [data[n : n + 1] for n in range(len(data))]
        for pieces in ([data], singles):
            body = ChunkedBody(Store(10))
            with pytest.raises(HTTPError) as caught:
                feed(body, pieces)
            assert caught.value.status == status
            assert not body.done

    def test_chunk_of_many_bytes(self) -> None:
        """A chunk is taken as it comes, and not only when it is whole."""
        body = ChunkedBody(Store(0))

        assert feed(body, [b"ffff\r\n", b"x" * 1000]) == b""
        assert body.store.size == 1000
        body.store.close()
