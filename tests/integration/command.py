"""The command `twistcorn` as a subprocess, for a server of the tests.

Law: it finds the server as a user's would: by XDG_RUNTIME_DIR, unless the test says otherwise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.harness import TIMEOUT, Program, clean_environment

COMMAND = [sys.executable, "-m", "twistcorn"]


def environment(runtime: Path, **more: str) -> dict[str, str]:
    """The environment of a shell whose user has this runtime directory."""
    return clean_environment({"XDG_RUNTIME_DIR": str(runtime), **more})


def begin(program: Program, *words: str, **more: Any) -> subprocess.Popen[str]:
    """Start a command, which may take its time."""
    return subprocess.Popen(
        [*COMMAND, *words], env=environment(program.runtime), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def command(program: Program, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command from its start to its end."""
    return subprocess.run(
        [*COMMAND, *words], env=environment(program.runtime, **variables), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


def said(program: Program, *words: str, **variables: str) -> str:
    """What a command prints that must go well."""
    done = command(program, *words, **variables)
    assert (done.returncode, done.stderr) == (0, ""), (words, done)
    return done.stdout
