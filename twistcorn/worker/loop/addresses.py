"""The addresses that the server listens on, as a worker knows them.

Law: values only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """A listener's own address: family, host or path, port (0 on UNIX)."""

    family: int
    host: str
    port: int
