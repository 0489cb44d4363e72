"""What can be told of a setting while the server runs: its value as an operator writes it, and where it comes from.

Law: pure. A text that is told is one that the option takes, and means the same value; a secret is never told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .settings import BOUNDS, FIELDS, Settings, flag
from .syntax import Span, duration_text, size, size_text

#: Where a value can come from. `CODE`: an application that holds the service gave it; `SET`: the operator, while the
#: server ran.
DEFAULT, FILE, ENVIRONMENT, COMMAND_LINE, SET, CODE = (
    "default", "file", "environment", "command line", "set", "code",
)  # fmt: skip

#: What is told of a secret that is set.
SECRET = "***"


@dataclass(frozen=True)
class Sourced:
    """Settings, and where each of them comes from.

    :ivar origins: by name; what is not there is a default.
    """

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, read: Settings | Sourced) -> Sourced:
        """Settings of which nothing else is known come from an application's code, where they are no defaults."""
        if isinstance(read, Sourced):
            return read
        given = {name for name, option in FIELDS.items() if getattr(read, name) != option.default}
        return cls(read, dict.fromkeys(given, CODE))

    def change(self, **fields: Any) -> Sourced:
        """The same with other values; where they come from stays."""
        return Sourced(dataclasses.replace(self.settings, **fields), self.origins)

    def entry(self, name: str) -> dict[str, str]:
        """One setting, as it is told."""
        meta = FIELDS[name].metadata
        text = as_text(self.settings, name)
        return {
            "name": flag(FIELDS[name]),
            "value": SECRET if text and meta["secret"] else text,
            "origin": self.origins.get(name, DEFAULT),
            "change": meta["change"],
        }


def as_text(settings: Settings, name: str) -> str:
    """The value of an option, as it could be given."""
    value: Any = getattr(settings, name)
    bounds: Span | None = getattr(settings, BOUNDS[name]) if name in BOUNDS else None
    if bounds is not None:
        return str(bounds)
    if isinstance(value, float):
        return duration_text(value)
    if isinstance(value, tuple):
        return ",".join(value)
    return size_text(value) if FIELDS[name].metadata["parse"] is size else str(value)
