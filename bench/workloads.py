"""The workloads: which application, and what becomes of the connection after a response.

Law: a table and its types; starts nothing, measures nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Persistence(enum.Enum):
    """What the client asks for after each response."""

    KEEP_ALIVE = "keep-alive"
    CLOSE = "close"


@dataclass(frozen=True)
class Workload:
    """One application under one kind of load."""

    name: str
    module: str
    persistence: Persistence
    body: bytes
    needs: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The request headers which ask for this persistence; HTTP/1.1 needs none to keep alive."""
        return {"Connection": "close"} if self.persistence is Persistence.CLOSE else {}


GREETING = b"Hello, World!\n"

WORKLOADS = (
    Workload("hello-keepalive", "hello", Persistence.KEEP_ALIVE, GREETING),
    Workload("hello-close", "hello", Persistence.CLOSE, GREETING),
    Workload("flask-keepalive", "flask_hello", Persistence.KEEP_ALIVE, GREETING, needs="Flask"),
    Workload("flask-close", "flask_hello", Persistence.CLOSE, GREETING, needs="Flask"),
)
