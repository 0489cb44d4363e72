"""The worker's process: descriptors, signals, log, reactor.

Law: the only place in a worker that names the global reactor. Everything here happens before the application can.
"""

from __future__ import annotations

import faulthandler
import io
import sys
from typing import Any

from ..pristine import give, os, signal
from ..wire.testimony import TESTIFY
from .process.descriptors import INHERITED, LAST_WORDS

#: Sent to the whole process group by terminals and `pkill`; only the master answers them. A handler that does nothing
#: is not inherited by programs that the application starts, as the order to ignore would be (execve(2)).
_UNHEARD = signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT
#: These must be ignored: a write to a terminal from the background would be tried for ever with a handler.
_IGNORED = signal.SIGTTIN, signal.SIGTTOU
#: Packages that the server runs on.
BENEATH = "twisted", "ampoule", "zope", "constantly", "httptools"


def main() -> None:
    """Run the worker until it leaves."""
    _set_signals()
    # The master reads them when we are dead.
    faulthandler.enable(LAST_WORDS)
    # It asks where the threads are when none of them can run Python code.
    faulthandler.register(TESTIFY, LAST_WORDS)
    for stream in (sys.stdout, sys.stderr):
        # What the app prints shall be seen when it is printed, also in a file or a journal.
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

    # The reactor puts its own handler in place when it starts.
    loop.callWhenRunning(signal.signal, signal.SIGTERM, terminate)
    # All that serves is imported.
    give(*BENEATH)
    handlers.begin()
    loop.run()
    ending.run(child.quick)


def _set_signals() -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in _UNHEARD:
        signal.signal(number, _nothing)
        # C code of the application may not expect that its calls are interrupted (EINTR).
        signal.siginterrupt(number, False)
    # The master blocked them while it spawned us.
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK, (*_IGNORED, *_UNHEARD, signal.SIGWINCH, signal.SIGTERM)
    )


def _nothing(number: int, frame: object) -> None:
    """Signals to the process group are the master's."""


def _begin_logging() -> None:
    """The worker's own log goes to standard error; the app's logging and streams are its own."""
    from ..logs.server import ServerLog

    ServerLog(apart=True).begin()


if __name__ == "__main__":
    main()
