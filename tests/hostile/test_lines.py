"""What strangers and applications say stands in lines of ours: it moves no cursor and forges no entry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.test_clock import TAC
from tests.integration.conftest import Start
from tests.integration.harness import Server, clean_environment

#: A title for the terminal, a colour, a line that looks like another entry, a C1 control and text turned around.
EVIL = "\x1b]0;owned\x07 \x1b[31m\n2026-01-01T00:00:00+0000 [-] FORGED\r\n\x9b31m \u202e"
#: It cannot be loaded once there is a file `broken`.
APP = """
import os, pathlib

if pathlib.Path("broken").exists():
    raise ValueError(__import__("ast").literal_eval(pathlib.Path("broken").read_text()))

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
#: What may not be in any line.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def begin(start: Start, folder: Path, front: str) -> Server:
    """The server, by the command, as a plugin, or embedded."""
    (folder / "app.py").write_text(APP)
    if front == "tac":
        (folder / "mysite.tac").write_text(TAC.format(settings={"workers": 1}))
        return start(front=front, listen=(), tracebacks=True)
    return start("--app", "app:app", "--workers", "1", front=front, tracebacks=True)


def check(text: str) -> None:
    """Nothing in a text does anything but be shown."""
    assert [line for line in text.split("\n") if CONTROLS.search(line)] == []
    assert not re.search(r"(?m)^\S*2026-01-01T00:00:00\+0000 \[-\] FORGED", text)


@pytest.mark.parametrize("front", ["run", "twist", "twistd", "tac"])
def test_application_cannot_be_loaded(start: Start, folder: Path, front: str) -> None:
    """The text of an exception at the first boot."""
    (folder / "broken").write_text(repr(EVIL))
    server = begin(start, folder, front)
    server.wait_for("FORGED")
    if front != "tac":
        server.exit_code()
    check(server.log)


def test_reload_fails(start: Start, folder: Path) -> None:
    """The same text when a reload fails: in the log, and in the terminal that asked for it."""
    server = begin(start, folder, "twist").ready()
    (folder / "broken").write_text(repr(EVIL))
    for words in (["reload"], ["status"], ["logs"], ["top"]):
        told = subprocess.run(
            [sys.executable, "-m", "twistcorn", "--control", str(server.control), *words], cwd=folder, timeout=60,
            capture_output=True, check=False, env=clean_environment({"TERM": "dumb"}), encoding="utf-8",
        )  # fmt: skip
        assert (told.returncode == 0) is (words != ["reload"]), told.stderr
        assert told.stdout + told.stderr
        check(told.stdout + told.stderr)
    server.wait_for("FORGED")
    check(server.log)
