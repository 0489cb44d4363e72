"""The addresses that the server listens on, as a worker sees them.

Law: values only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """A listener's address: family, host or path, port (0 for a UNIX socket)."""

    family: int
    host: str
    port: int
