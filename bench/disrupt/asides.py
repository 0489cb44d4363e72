"""A client beside the crowd, for the one request that makes trouble.

Law: one connection, one request, one record; it blocks.
"""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from dataclasses import dataclass


@dataclass(frozen=True)
class Aside:
    """What became of one request.

    :ivar status: of the answer; ``None`` when there was none.
    :ivar seconds: until the answer, or until it was clear that none comes.
    """

    status: int | None
    seconds: float


def ask(port: int, path: str, patience: float) -> Aside:
    """Ask once and wait for what comes."""
    began = time.monotonic()
    status: int | None = None
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=patience)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (http.client.HTTPException, OSError):
            pass
    return Aside(status, round(time.monotonic() - began, 3))
