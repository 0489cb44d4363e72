"""The end of a worker's process: the application's own TERM handler, its threads and its `atexit` functions, bounded.

Law: begins when the reactor has stopped, on the main thread, or on another one where the main thread is in a call that
does not end. What the application wants to do at its end it can, for a moment, and each thing once; then what it has
forked ends. `os._exit` is for what does not end within the moment, and the log says what that was.
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

#: Seconds that the application has at an orderly end, and at one that is to be quick: the master kills after 2 s.
END_SECONDS, QUICK_END_SECONDS = 5.0, 1.5
#: Of them, the share after which threads that are not daemons are waited for no longer, so that `atexit` has its turn.
THREADS_SHARE = 0.6
#: Seconds after the moment in which the process is ended without Python: something holds the interpreter lock.
KILL_AFTER_SECONDS = 0.4


class Ending:
    """What is still to be done at the end.

    To be made before the application is loaded: of the functions that are to run at the exit its own is the last.

    :param terminate: our own handler of SIGTERM.
    """

    log = Logger()

    def __init__(self, terminate: Callable[[int, FrameType | None], None]) -> None:
        self._terminate = terminate
        self._theirs: Any = None
        self._threads_ended = False
        # The first one that is registered runs last.
        atexit.register(_let_go)
        self._begun, self._exiting = threading.Lock(), threading.Lock()
        atexit.register(offspring.end)

    def claim(self) -> None:
        """TERM is ours, whatever the application has set when it was imported: that runs at the end. Main thread."""
        handler = signal.getsignal(signal.SIGTERM)
        if handler is not self._terminate:
            self._theirs = handler if callable(handler) else None
            signal.signal(signal.SIGTERM, self._terminate)
        handlers.serve(self.replace)

    def replace(self, handler: Any) -> Any:
        """The application sets another one while it is served; returns the one before."""
        # It may not on another thread, as the interpreter says.
        signal.signal(signal.SIGTERM, self._terminate)
        before, self._theirs = self._theirs, handler if callable(handler) else None
        return before or signal.SIG_DFL

    def run(self, quick: bool) -> None:
        """Let the application end; what is left is the interpreter's, and what does not end is ended."""
        if not self._begun.acquire(blocking=False):
            # The call that kept this thread has ended after all, and another one is at it.
            threading.Event().wait()
        self._begin(quick)
        # The last one that is registered runs first, when the threads have ended (threading._shutdown).
        atexit.register(self._note_threads_ended)

    def run_elsewhere(self, quick: bool) -> None:
        """The same where the main thread is in a call that does not end, on the thread that calls; does not return."""
        if not self._begun.acquire(blocking=False):
            threading.Event().wait()
        self.log.warn("exiting without waiting for the call on the main thread\n{places}",
                      places=format_places())  # fmt: skip
        self._begin(quick)
        self._threads_ended = True
        self._run_exit_functions()

    def _begin(self, quick: bool) -> None:
        # From here on what a handler raises is not in the way of any code of ours.
        handlers.end()
        if ground.green_threads():
            # Nothing waits for those as it should; the log has said what that means.
            flush()
            os._exit(0)
        moment = QUICK_END_SECONDS if quick else END_SECONDS
        # Where no thread can be started the master's own time for the end is the only bound.
        with contextlib.suppress(RuntimeError):
            faulthandler.dump_traceback_later(moment + KILL_AFTER_SECONDS, exit=True, file=2)
            threading.Thread(target=self._watch, args=(moment,), name="end", daemon=True).start()
        if self._theirs is not None:
            try:
                self._theirs(int(signal.SIGTERM), None)
            except SystemExit:
                # What it is for.
                forks.leave_if_forked()
            except BaseException:
                self.log.failure("the application's SIGTERM handler raised")
                flush()
            forks.leave_if_forked()

    def _note_threads_ended(self) -> None:
        self._threads_ended = True

    def _watch(self, moment: float) -> None:
        """On a thread of its own; it is gone when the interpreter is."""
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
        # What the interpreter would do, and multiprocessing does in its children.
        atexit._run_exitfuncs()
        flush()
        os._exit(0)


def _unended() -> Iterator[str]:
    """Threads that the interpreter waits for."""
    main = threading.main_thread()
    for thread in threading.enumerate():
        try:
            if not thread.daemon and thread is not main:
                yield str(thread.name)
        except BaseException:
            # A subclass of the application's.
            yield type(thread).__name__


def _let_go() -> None:
    """What the application has left behind, and the interpreter would trip over on its last steps."""
    # Its handlers are gone before its timers are, and the signal would be the end.
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    # A stream that is closed or detached would be a failure of the process.
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            setattr(sys, name, None)
    # The log's thread ends without a word when the interpreter does.
    flush()
