"""The terminal in full-screen mode: keys come one by one, and its modes are restored at the end.

Law: the terminal is restored whatever ends the `with` block: its end, an exception, SIGINT, SIGTERM, SIGHUP.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, NoReturn

from .screen import Row

#: Switch to the alternate screen without a cursor, and back (xterm's control sequences; ECMA-48).
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN, _PLAIN = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m"
_STYLES = {"plain": "", "bold": "\x1b[1m", "reverse": "\x1b[7m"}
#: These end the program with exit code 128 + number, as shells expect.
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
#: For a terminal that does not report its size.
_DEFAULT_SIZE = (80, 24)


def usable(environ: Mapping[str, str]) -> bool:
    """Whether there is a terminal that can show a full screen."""
    return sys.stdin.isatty() and sys.stdout.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def painted(rows: Sequence[Row], width: int) -> str:
    """The text that draws rows from the first line of the screen on; the screen is never blank in between."""
    # After the last column the cursor may still be on the character just written: erasing would remove it.
    lines = [
        f"{_STYLES[row.style]}{row.text}{_PLAIN}{_REST_OF_LINE if len(row.text) < width else ''}" for row in rows
    ]
    return _HOME + "\r\n".join(lines) + (_REST_OF_SCREEN if rows and len(rows[-1].text) < width else "")


class Terminal:
    """The terminal of the standard streams.

    :ivar wake: readable after a signal, such as a change of size.
    """

    def __init__(self) -> None:
        self.keys = sys.stdin.fileno()
        self._screen = sys.stdout.fileno()
        self.wake = -1

    def __enter__(self) -> Terminal:
        self._before: list[Any] = termios.tcgetattr(self.keys)
        self._handlers = {number: signal.getsignal(number) for number in (*_ENDING_SIGNALS, signal.SIGWINCH)}
        self.wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._earlier_waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        try:
            for number in _ENDING_SIGNALS:
                signal.signal(number, _end)
            signal.signal(signal.SIGWINCH, lambda number, frame: None)
            self._take_keys()
            self._write(_ENTER)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    def _take_keys(self) -> None:
        """Read keys one by one without echo; Ctrl-C interrupts, Ctrl-Z is off: it would leave the screen behind."""
        mode = termios.tcgetattr(self.keys)
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        mode[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self.keys, termios.TCSADRAIN, mode)

    def _give_back(self) -> None:
        for number in _ENDING_SIGNALS:
            # A second signal must not interrupt this.
            signal.signal(number, signal.SIG_IGN)
        self._write(_LEAVE)
        with contextlib.suppress(termios.error):
            # A closed window has no modes.
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self._before)
        signal.set_wakeup_fd(self._earlier_waker)
        os.close(self.wake)
        os.close(self._waker)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def woken(self) -> None:
        """Consume the signals that arrived."""
        os.read(self.wake, 4096)

    def read(self) -> bytes:
        """The keys typed; empty when the terminal is closed."""
        try:
            return os.read(self.keys, 4096)
        except OSError:
            return b""

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._screen)
        except OSError:
            return _DEFAULT_SIZE
        return (columns, lines) if columns and lines else _DEFAULT_SIZE

    def show(self, rows: Sequence[Row], width: int) -> None:
        """Put rows on the screen."""
        self._write(painted(rows, width))

    def _write(self, text: str) -> None:
        """Write everything; `read` notices a closed terminal."""
        data = text.encode("ascii", "replace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._screen, data) :]


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
