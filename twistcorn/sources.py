"""Where a program's settings come from: its command line, its environment, the file that these name.

Law: reads, and decides nothing: `settings` says what wins. Used by `cli` and `tap`, at the start and at each reload.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .settings import Settings, resolve


def read_settings(given: Mapping[str, Iterable[str]]) -> Settings:
    """The settings as they are now.

    :param given: what the command line gave, texts by field name.
    :raises SettingsError: when a value is not allowed, or the file cannot be read.
    """
    return resolve(given, os.environ, lambda path: Path(path).read_text(encoding="utf-8"))
