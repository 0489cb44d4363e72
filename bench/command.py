"""What a benchmark command is, and the error each of them may end with.

Law: no work is done here; imports nothing of ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

EXIT_INCOMPLETE = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """The benchmark cannot go on; the message is one line for the person who ran it."""


@dataclass(frozen=True)
class Command:
    """One subcommand of ``python -m bench``."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
