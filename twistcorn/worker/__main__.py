"""The worker's process: descriptors, signals, log, reactor.

Law: the only place in a worker that uses the global reactor. Everything here happens before application code runs.
"""

from __future__ import annotations

import faulthandler
import io
import sys
from typing import Any

from ..pristine import give, os, signal
from ..wire.testimony import TESTIFY
from .process.descriptors import INHERITED, LAST_WORDS

#: Sent to the whole process group by terminals and `pkill`; only the master acts on them. Unlike SIG_IGN, an empty
#: handler is not inherited by programs that the application starts (execve(2)).
_UNHEARD = signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT
#: These must be ignored: with a handler, a background write to a terminal would be retried forever.
_IGNORED = signal.SIGTTIN, signal.SIGTTOU
#: Packages that the server is built on.
BENEATH = "twisted", "ampoule", "zope", "constantly", "httptools"


def main() -> None:
    """Run the worker until it leaves."""
    _set_signals()
    # The master reads the last words after our death.
    faulthandler.enable(LAST_WORDS)
    # The master asks for stacks even if no thread can run Python code.
    faulthandler.register(TESTIFY, LAST_WORDS)
    for stream in (sys.stdout, sys.stderr):
        # The app's output must appear at once, also in a file or a journal.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    for descriptor in INHERITED:
        os.set_inheritable(descriptor, False)

    from twisted.internet.main import installReactor

    from .loop.reactor import WorkerReactor

    installReactor(WorkerReactor())
    _begin_logging()

    from twisted.internet import reactor, stdio

    from .amp_child import WorkerChild
    from .process import handlers
    from .process.ending import Ending

    def terminate(number: int, frame: object) -> None:
        loop.callFromThread(child.terminated)

    loop: Any = reactor
    ending = Ending(terminate)
    child = WorkerChild(loop, ending.claim, ending.run_elsewhere)
    stdio.StandardIO(child, 3, 4)  # type: ignore[call-arg]

    # The reactor installs its own handler when it starts.
    loop.callWhenRunning(signal.signal, signal.SIGTERM, terminate)
    # Everything that serves is imported by now.
    give(*BENEATH)
    handlers.begin()
    loop.run()
    ending.run(child.quick)


def _set_signals() -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in _UNHEARD:
        signal.signal(number, _nothing)
        # C code of the application may not handle EINTR.
        signal.siginterrupt(number, False)
    # The master blocked them while it spawned us.
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK, (*_IGNORED, *_UNHEARD, signal.SIGWINCH, signal.SIGTERM)
    )


def _nothing(number: int, frame: object) -> None:
    """Do nothing: signals to the process group are for the master."""


def _begin_logging() -> None:
    """Send the worker's own log to standard error; leave the app's logging and streams alone."""
    from ..logs.server import ServerLog

    ServerLog(apart=True).begin()


if __name__ == "__main__":
    main()
