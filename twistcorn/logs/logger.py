"""The loggers of the master, whose lines may be written by somebody else.

Law: changes what strangers have said, and nothing else. Our own log (`server`) makes each line harmless as a whole; the
observers of `twist`, `twistd` and of applications write events as they are.
"""

from __future__ import annotations

from typing import Any

from twisted import logger

from .events import harmless
from .server import current


class Logger(logger.Logger):
    """A logger whose fields do nothing to a terminal, nor look like another entry, whoever writes them down."""

    def emit(self, level: Any, format: str | None = None, **fields: Any) -> None:
        """See `twisted.logger.Logger.emit`."""
        if current() is None:
            fields = {name: harmless(value) if isinstance(value, str) else value for name, value in fields.items()}
        super().emit(level, format, **fields)
