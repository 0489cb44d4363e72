"""Where a command's figures go besides standard output.

Law: writes files; the words in them are made elsewhere.
"""

from __future__ import annotations

import argparse
import enum
import json
from collections.abc import Callable


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{value!r} is not for JSON")


def write(
    options: argparse.Namespace, document: Callable[[], dict[str, object]], figure: Callable[[], str]
) -> None:
    """The files that were asked for; what is in one is made only then."""
    if options.json is not None:
        options.json.write_text(json.dumps(document(), indent=2, default=_plain) + "\n")
    if options.svg is not None:
        options.svg.write_text(figure())
