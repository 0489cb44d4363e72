"""The master's loggers, whose events foreign observers may write.

Law: escapes untrusted text, and changes nothing else. Our own log (`server`) escapes whole lines; the observers of
`twist`, `twistd` and applications write events unchanged.
"""

from __future__ import annotations

from typing import Any

from twisted import logger

from .events import harmless
from .server import current


class Logger(logger.Logger):
    """A logger whose fields can neither control a terminal nor fake a log entry, whatever observer writes them."""

    def emit(self, level: Any, format: str | None = None, **fields: Any) -> None:
        """See `twisted.logger.Logger.emit`."""
        if current() is None:
            fields = {name: harmless(value) if isinstance(value, str) else value for name, value in fields.items()}
        super().emit(level, format, **fields)
