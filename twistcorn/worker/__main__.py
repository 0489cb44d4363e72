"""The worker's process: descriptors, signals, log, reactor.

Law: the only place in a worker that names the global reactor. Everything here happens before the application can.
"""

from __future__ import annotations

import faulthandler
import io
import sys
from typing import Any

from ..pristine import os, signal
from .descriptors import INHERITED, LAST_WORDS

#: Sent to the whole process group by terminals and `pkill`; only the master answers them.
_IGNORED = (
    signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH,
)  # fmt: skip


def main() -> None:
    """Run the worker until it leaves."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # The master blocked them while it spawned us.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_IGNORED, signal.SIGTERM))
    # The master reads them when we are dead.
    faulthandler.enable(LAST_WORDS)
    for stream in (sys.stdout, sys.stderr):
        # What the app prints shall be seen when it is printed, also in a file or a journal.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    for descriptor in INHERITED:
        os.set_inheritable(descriptor, False)

    from twisted.internet.main import installReactor

    from .reactor import WorkerReactor

    installReactor(WorkerReactor())
    _begin_logging()

    from twisted.internet import reactor, stdio

    from .bootstrap import WorkerChild

    loop: Any = reactor
    child = WorkerChild(loop)
    stdio.StandardIO(child, 3, 4)  # type: ignore[call-arg]

    def terminate(number: int, frame: object) -> None:
        loop.callFromThread(child.terminated)

    # The reactor puts its own handler in place when it starts.
    loop.callWhenRunning(signal.signal, signal.SIGTERM, terminate)
    loop.run()


def _begin_logging() -> None:
    """The worker's own log goes to standard error; the app's logging and streams are its own."""
    from ..logs.server import ServerLog

    ServerLog().begin()


if __name__ == "__main__":
    main()
