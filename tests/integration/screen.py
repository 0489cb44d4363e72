"""A terminal for a program under test: a pty, what is typed into it, and what is to be seen on it.

Law: frames are read as `console.terminal.painted` writes them: each begins at the first line, a line ends with CR LF.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Any

from tests.integration.command import COMMAND, environment
from tests.integration.harness import TIMEOUT, Program

ENTER, LEAVE, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"
_ORDERS = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


class Terminal:
    """A command on its own terminal, which is the controlling one of its session."""

    def __init__(self, program: Program, *words: str, term: str = "xterm", size: tuple[int, int] = (100, 24)) -> None:
        self._master, slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        # Without LINES and COLUMNS the terminal is asked for its size.
        env = {k: v for k, v in environment(program.runtime, TERM=term).items() if k not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *COMMAND, *words], env=env, stdin=slave, stdout=slave, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        # Held open: its modes are looked at when the program is gone.
        self._slave = slave
        self.output = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.close()

    def close(self) -> None:
        """The user closes the window."""
        for descriptor in {self._master, self._slave} - {-1}:
            os.close(descriptor)
        self._master = self._slave = -1

    @property
    def after(self) -> list[Any]:
        """The terminal's modes."""
        return termios.tcgetattr(self._slave)

    def resize(self, columns: int, lines: int) -> None:
        """The user changes the size of the window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """The user types."""
        os.write(self._master, keys.encode())

    def read(self, timeout: float) -> bool:
        """Take what was written; whether there was anything."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if ready:
            self.output += os.read(self._master, 1 << 16).decode()
        return bool(ready)

    @property
    def rows(self) -> list[str]:
        """What is to be seen: the last frame that is whole, since another one has begun or nothing more came."""
        frame = self.output.rpartition(HOME)[2]
        return [_ORDERS.sub("", line).rstrip() for line in frame.split("\r\n")]

    def wait_for(self, condition: Callable[[list[str]], bool], what: str) -> list[str]:
        """The rows, as soon as they are so."""
        deadline = time.monotonic() + TIMEOUT
        while not (HOME in self.output and condition(self.rows)):
            assert time.monotonic() < deadline, f"{what}:\n" + "\n".join(self.rows)
            self.read(0.1)
        return self.rows

    def wait_for_text(self, text: str) -> list[str]:
        """The rows, as soon as some text is in one of them."""
        return self.wait_for(lambda rows: any(text in row for row in rows), f"no {text!r}")

    def end(self) -> tuple[int, str]:
        """The exit code, and what went to standard error."""
        deadline = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "still running"
            self.read(0.05)
        while self.read(0):
            pass
        assert self.process.stderr is not None
        return self.process.returncode, self.process.stderr.read()
