"""The virtual environment of the peers: made once, made anew when its pins or its Python change.

Law: the only module that installs anything, and only into a directory that is empty or carries our mark.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.command import BenchError
from bench.homes import Installation, installed_versions

REQUIREMENTS = Path(__file__).with_name("requirements-peers.txt")
MARK = "bench-venv.json"


def parse_pins(text: str) -> list[str]:
    """The requirement lines of a pin file."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pinned_name(pin: str) -> str:
    """The distribution's name in one pin."""
    return pin.partition("==")[0].strip()


def stamp(requirements: str) -> str:
    """What the environment depends on, as one hash: the pins and the Python."""
    return hashlib.sha256(f"{sys.version}\n{sys.base_prefix}\n{requirements}".encode()).hexdigest()


def read_mark(venv: Path) -> dict[str, object]:
    """Our mark in a directory; empty when there is none."""
    try:
        mark = json.loads((venv / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def _write_mark(venv: Path, **content: object) -> None:
    (venv / MARK).write_text(json.dumps(content, indent=2) + "\n")


def clear(venv: Path) -> None:
    """Leave an empty directory with our mark; refuse to empty one that is not ours."""
    if venv.is_dir() and any(venv.iterdir()):
        if not (venv / MARK).is_file():
            raise BenchError(f"{venv} holds something else; name another directory with --venv")
        shutil.rmtree(venv)
    venv.mkdir(parents=True, exist_ok=True)
    _write_mark(venv, stamp=None)
    (venv / ".gitignore").write_text("*\n")


def _run(command: list[str]) -> str | None:
    """Run quietly; answer the line that tells why it failed, or ``None``."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return ([*lines, *errors] or [f"status {done.returncode}"])[-1]


def install(python: Path, pins: list[str]) -> dict[str, str]:
    """Install all pins; when that fails, one by one, to learn which cannot be had and why."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if _run([*pip, *pins]) is None:
        return {}
    failures = ((pinned_name(pin), _run([*pip, "--no-deps", pin])) for pin in pins)
    return {name: f"pip could not install it: {reason}" for name, reason in failures if reason is not None}


def make(venv: Path, requirements: str) -> None:
    """Make the environment anew."""
    clear(venv)
    failure = _run([sys.executable, "-m", "venv", str(venv)])
    if failure is not None:
        raise BenchError(f"cannot make a virtual environment in {venv}: {failure}")
    pins = parse_pins(requirements)
    missing = install(venv / "bin" / "python", pins)
    if len(missing) == len(pins):
        raise BenchError(f"none of the peers can be installed: {next(iter(missing.values()))}")
    _write_mark(venv, stamp=stamp(requirements), missing=missing)


def prepare(venv: Path, apps: Path, say: Callable[[str], None]) -> Installation:
    """The peers' environment, made first if it is not there or no longer right."""
    venv = venv.absolute()
    requirements = REQUIREMENTS.read_text()
    if read_mark(venv).get("stamp") != stamp(requirements):
        say(f"making the peers' environment in {venv} (once)")
        make(venv, requirements)
    missing = read_mark(venv).get("missing")
    reasons = {str(name): str(why) for name, why in missing.items()} if isinstance(missing, dict) else {}
    for name, why in reasons.items():
        say(f"{name}: {why} (remove {venv} to try again)")
    python = venv / "bin" / "python"
    return Installation(python, installed_versions(python, apps), reasons)
