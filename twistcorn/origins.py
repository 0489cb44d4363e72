"""A setting as `twistcorn get` shows it: its value as an operator writes it, and its source.

Law: pure. The text of a value parses to the same value; a secret is never shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .settings import BOUNDS, FIELDS, Settings, flag
from .syntax import Span, duration_text, size, size_text

#: The sources of a value. `CODE`: the program that embeds the service; `SET`: `twistcorn set` on the running server;
#: `SCALE`: `twistcorn scale`, TTIN or TTOU.
DEFAULT, FILE, ENVIRONMENT, COMMAND_LINE, SET, SCALE, CODE = (
    "default", "file", "environment", "command line", "set", "scale", "code",
)  # fmt: skip

#: Shown in place of a secret that is set.
SECRET = "***"


@dataclass(frozen=True)
class Sourced:
    """Settings, and the source of each.

    :ivar origins: sources by name; a name that is missing has its default.
    """

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, read: Settings | Sourced) -> Sourced:
        """Plain settings: those that differ from the default come from the code of the embedding program."""
        if isinstance(read, Sourced):
            return read
        given = {name for name, option in FIELDS.items() if getattr(read, name) != option.default}
        return cls(read, dict.fromkeys(given, CODE))

    def change(self, **fields: Any) -> Sourced:
        """The same with other values, and unchanged sources."""
        return Sourced(dataclasses.replace(self.settings, **fields), self.origins)

    def entry(self, name: str) -> dict[str, str]:
        """One setting, as `get` answers it."""
        meta = FIELDS[name].metadata
        text = as_text(self.settings, name)
        return {
            "name": flag(FIELDS[name]),
            "value": SECRET if text and meta["secret"] else text,
            "origin": self.origins.get(name, DEFAULT),
            "change": meta["change"],
        }


def as_text(settings: Settings, name: str) -> str:
    """The value of an option, as it could be typed."""
    value: Any = getattr(settings, name)
    bounds: Span | None = getattr(settings, BOUNDS[name]) if name in BOUNDS else None
    if bounds is not None:
        return str(bounds)
    if isinstance(value, float):
        return duration_text(value)
    if isinstance(value, tuple):
        return ",".join(value)
    return size_text(value) if FIELDS[name].metadata["parse"] is size else str(value)
