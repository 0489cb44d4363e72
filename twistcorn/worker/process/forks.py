"""A child that the application forks without exec belongs to the application, and never acts as a second worker.

Law: owns what happens at a fork (os.register_at_fork), and nothing that a request needs. Before any line of the
application runs in the child, our descriptors there are closed (connections, epolls, channel) and our signal handlers
are gone; a return into the server's code ends the child (`leave`). The application's descriptors stay as they are. The
child never changes what it shares with its parent: it closes and remaps, but neither unregisters from an epoll nor
writes to the scoreboard.

C code can fork without running the hooks. Two more walls cover that: no child has the scoreboard mapped
(MADV_DONTFORK), so that one which continues as a worker dies at its first step; and the kernel itself wipes `mark`
(MADV_WIPEONFORK).
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from ...logs import server
from ...pristine import os, signal, threading
from .descriptors import LAST_WORDS

#: madvise(2), Linux 4.14: a child sees zeros in this page. The module `mmap` has no name for it.
MADV_WIPEONFORK = 18
#: Descriptors below this number are recorded as ours just before the application is loaded; there are some twenty.
MAX_OWN_DESCRIPTOR = 256
#: Blocked during a fork: our handlers would run in the child until it has reset them.
BLOCKED = (
    signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH, signal.SIGALRM,
)  # fmt: skip

#: One byte: 1 in the worker, 0 in each of its children, however it was forked.
mark: Any = b"\1"
#: Held while connections arrive, so that no fork comes between receiving a descriptor and recording it.
gate = threading.RLock()

_let_go: list[Callable[[], object]] = []
_descriptors: dict[int, tuple[int, int]] = {}
_handlers: dict[int, Any] = {}
_mask: set[Any] = set()
_released = False


def begin(words: mmap.mmap) -> None:
    """Handle forks from now on: the last step before the application is loaded.

    :param words: the mapping of the scoreboard, which no child may have.
    """
    global mark
    # On a kernel without these, the hooks are the only wall.
    with contextlib.suppress(OSError):
        words.madvise(mmap.MADV_DONTFORK)
    mark = bytearray(b"\1")
    with contextlib.suppress(OSError):
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(MADV_WIPEONFORK)
        page[0] = 1
        mark = page
    for number in range(3, MAX_OWN_DESCRIPTOR):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            _descriptors[number] = status.st_dev, status.st_ino
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler):
            _handlers[number] = handler
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def on_child(let_go: Callable[[], object]) -> None:
    """Register a function to run in a child before any application code; it may only close things."""
    _let_go.append(let_go)


def leave_if_forked(error: BaseException | None = None) -> None:
    """Call this when application code has returned, or raised an exception: in a child, it exits."""
    if not mark[0]:
        leave(error)


def leave(error: BaseException | None = None) -> NoReturn:
    """Exit this child with 0, the code of a SystemExit, or 1 and the application's traceback.

    `atexit` functions belong to the parent and do not run, as in a child of `multiprocessing`.
    """
    code = 1
    try:
        if not _released:
            # C code forked it: no lock here can be trusted.
            os.write(2, b"a process forked by C code of the application returned into the server: exiting\n")
            os._exit(1)
        code = _report_exit(error)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                getattr(stream, "write_remainder", stream.flush)()
        server.flush()
    finally:
        os._exit(code)


def _report_exit(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(f"{error.code}\n")
        return 1
    # The first frame is ours.
    own = error.__traceback__.tb_next if error.__traceback__ is not None else None
    traceback.print_exception(type(error), error, own)
    return 1


# At a fork

def _before() -> None:
    global _mask
    if mark[0]:
        gate.acquire()
        _mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    else:
        # A child that C code forked, or a child of a child.
        _release()


def _in_parent() -> None:
    if mark[0]:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask)
        gate.release()


def _in_child() -> None:
    if _released:
        return
    _release()
    gate.release()
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


def _release() -> None:
    """Release everything that belongs to the worker; a child that cannot must not live."""
    global mark, _released
    if _released:
        return
    _released, mark = True, b"\0"
    try:
        for let_go in _let_go:
            let_go()
        _replace_descriptors()
        _reset_signals()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _replace_descriptors() -> None:
    """Replace each descriptor that is still ours by the null device, so that nothing else gets its number."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number, identity in _descriptors.items():
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            if (status.st_dev, status.st_ino) == identity:
                os.dup2(null, number, inheritable=False)
                if number == LAST_WORDS:
                    os.dup2(2, number, inheritable=False)
    os.close(null)


def _reset_signals() -> None:
    # A child that C code forked, about to exit, may not be on what Python considers its main thread.
    with contextlib.suppress(ValueError):
        for number, handler in _handlers.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, signal.SIG_DFL)
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup >= 0 and wakeup not in _descriptors:
            # The application's own.
            signal.set_wakeup_fd(wakeup)
