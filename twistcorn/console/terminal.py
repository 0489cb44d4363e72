"""The terminal while a program fills it: keys come one by one, and everything is as before at the end.

Law: whatever ends the `with` block - its end, an exception, SIGINT, SIGTERM, SIGHUP - the terminal is given back as it
was found.
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

#: The other screen of the terminal, without a cursor, and back (xterm's control sequences; ECMA-48).
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN, _PLAIN = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m"
_STYLES = {"plain": "", "bold": "\x1b[1m", "reverse": "\x1b[7m"}
#: These end the program; a shell knows 128 and the number.
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
#: For a terminal that does not say.
_DEFAULT_SIZE = (80, 24)


def usable(environ: Mapping[str, str]) -> bool:
    """Whether there is a terminal that can be filled."""
    return sys.stdin.isatty() and sys.stdout.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def painted(rows: Sequence[Row], width: int) -> str:
    """What puts rows on the screen, from its first line on; without a moment at which it is empty."""
    # At the last column a terminal may still stand on the character that it wrote: nothing is to be erased there.
    lines = [
        f"{_STYLES[row.style]}{row.text}{_PLAIN}{_REST_OF_LINE if len(row.text) < width else ''}" for row in rows
    ]
    return _HOME + "\r\n".join(lines) + (_REST_OF_SCREEN if rows and len(rows[-1].text) < width else "")


class Terminal:
    """The terminal of the standard streams.

    :ivar wake: can be read when a signal came, such as that the size has changed.
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
        """Keys come one by one and are not shown; Ctrl-C interrupts, Ctrl-Z does not leave a screen behind."""
        mode = termios.tcgetattr(self.keys)
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        mode[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self.keys, termios.TCSADRAIN, mode)

    def _give_back(self) -> None:
        for number in _ENDING_SIGNALS:
            # A second one must not come between.
            signal.signal(number, signal.SIG_IGN)
        self._write(_LEAVE)
        with contextlib.suppress(termios.error):
            # A window that was closed has no modes any more.
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self._before)
        signal.set_wakeup_fd(self._earlier_waker)
        os.close(self.wake)
        os.close(self._waker)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def woken(self) -> None:
        """Forget the signals that came."""
        os.read(self.wake, 4096)

    def read(self) -> bytes:
        """What was typed; empty when nobody is there any more."""
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
        """Write all of it; where nobody is any more `read` says so."""
        data = text.encode("ascii", "replace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._screen, data) :]


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
