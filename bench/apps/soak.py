"""What a server under siege serves: a short answer, a body without end, and a large one that is made at once.

Law: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

PIECE = b"x" * 65536
#: One GiB in pieces.
PIECES = 16384
LARGE = b"y" * (8 << 20)


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """`/stream` and `/large`, and a greeting everywhere else."""
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if path == "/stream":
        return pieces()
    return [LARGE] if path == "/large" else [b"Hello, World!\n"]


def pieces() -> Iterator[bytes]:
    """A body that is produced as fast as it is taken."""
    for _ in range(PIECES):
        yield PIECE
