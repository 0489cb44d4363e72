"""The end of a worker's process: runs the application's TERM handler, threads and `atexit` functions, within a limit.

Law: begins when the reactor has stopped, on the main thread, or on another one if the main thread is in a call that
does not return. Each exit step of the application runs once, for a limited time; then its forked children are ended.
`os._exit` ends what exceeds the limit, and the log says what that was.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from twisted.logger import Logger

from ...logs.server import flush
from ...pristine import os, signal, threading
from . import forks, ground, handlers, offspring
from .stacks import format_places

#: Seconds for the application at an orderly exit, and at a quick one: the master kills after 2 s.
END_SECONDS, QUICK_END_SECONDS = 5.0, 1.5
#: The share of them that non-daemon threads get; the remainder is for `atexit`.
THREADS_SHARE = 0.6
#: Seconds after the limit at which C code ends the process, in case something holds the interpreter lock.
KILL_AFTER_SECONDS = 0.4


class Ending:
    """The exit steps of this process.

    Create it before the application is loaded: then our own atexit function runs last.

    :param terminate: our own handler of SIGTERM.
    """

    log = Logger()

    def __init__(self, terminate: Callable[[int, FrameType | None], None]) -> None:
        self._terminate = terminate
        self._theirs: Any = None
        self._threads_ended = False
        # The first registered runs last.
        atexit.register(_let_go)
        self._begun, self._exiting = threading.Lock(), threading.Lock()
        atexit.register(offspring.end)

    def claim(self) -> None:
        """Take SIGTERM back; a handler that the application set on import runs at the end. Main thread only."""
        handler = signal.getsignal(signal.SIGTERM)
        if handler is not self._terminate:
            self._theirs = handler if callable(handler) else None
            signal.signal(signal.SIGTERM, self._terminate)
        handlers.serve(self.replace)

    def replace(self, handler: Any) -> Any:
        """The application sets another handler while it is served; returns the previous one."""
        # Raises on any thread but the main one, as the interpreter does.
        signal.signal(signal.SIGTERM, self._terminate)
        before, self._theirs = self._theirs, handler if callable(handler) else None
        return before or signal.SIG_DFL

    def run(self, quick: bool) -> None:
        """Let the application end, within the limit; the interpreter does the remainder."""
        if not self._begun.acquire(blocking=False):
            # The call on this thread has returned after all, but another thread already runs the exit.
            threading.Event().wait()
        self._begin(quick)
        # The last registered runs first, after the threads have ended (threading._shutdown).
        atexit.register(self._note_threads_ended)

    def run_elsewhere(self, quick: bool) -> None:
        """The same on the calling thread, while the main thread is stuck in a call; does not return."""
        if not self._begun.acquire(blocking=False):
            threading.Event().wait()
        self.log.warn("exiting without waiting for the call on the main thread\n{places}",
                      places=format_places())  # fmt: skip
        self._begin(quick)
        self._threads_ended = True
        self._run_exit_functions()

    def _begin(self, quick: bool) -> None:
        # From here on, an exception from a signal handler interrupts no code of ours.
        handlers.end()
        if ground.green_threads():
            # Nothing waits for green threads as it should; the log has said what that means.
            flush()
            os._exit(0)
        moment = QUICK_END_SECONDS if quick else END_SECONDS
        # If no thread can be started, the master's own limit is the only one.
        with contextlib.suppress(RuntimeError):
            faulthandler.dump_traceback_later(moment + KILL_AFTER_SECONDS, exit=True, file=2)
            threading.Thread(target=self._watch, args=(moment,), name="end", daemon=True).start()
        if self._theirs is not None:
            try:
                self._theirs(int(signal.SIGTERM), None)
            except SystemExit:
                # What the handler is for.
                forks.leave_if_forked()
            except BaseException:
                self.log.failure("the application's SIGTERM handler raised")
                flush()
            forks.leave_if_forked()

    def _note_threads_ended(self) -> None:
        self._threads_ended = True

    def _watch(self, moment: float) -> None:
        """Enforce the limit, on its own daemon thread."""
        never = threading.Event()
        never.wait(moment * THREADS_SHARE)
        if not self._threads_ended:
            names = list(_unended())
            self.log.warn(
                "still running at exit: {what}; atexit functions run now",
                what=f"non-daemon threads {', '.join(names)}" if names else "the SIGTERM handler",
            )  # fmt: skip
            threading.Thread(target=self._run_exit_functions, daemon=True).start()
        never.wait(moment * (1 - THREADS_SHARE))
        self.log.warn("an atexit function does not return; process killed\n{places}", places=format_places())
        flush()
        offspring.end(0.0)
        os._exit(0)

    def _run_exit_functions(self) -> None:
        if not self._exiting.acquire(blocking=False):
            threading.Event().wait()
        # As the interpreter does at exit, and multiprocessing in its children.
        atexit._run_exitfuncs()
        flush()
        os._exit(0)


def _unended() -> Iterator[str]:
    """Names of the threads that the interpreter waits for."""
    main = threading.main_thread()
    for thread in threading.enumerate():
        try:
            if not thread.daemon and thread is not main:
                yield str(thread.name)
        except BaseException:
            # A Thread subclass of the application.
            yield type(thread).__name__


def _let_go() -> None:
    """Clear what the application left behind that would trip the interpreter's shutdown."""
    # The interpreter resets handlers before timers: an unhandled alarm would kill the process.
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    # A closed or detached stream would make the process exit with an error.
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            setattr(sys, name, None)
    # The log's daemon thread ends with the interpreter, written or not.
    flush()
