"""Signals to verbs: a table and its installation, nothing more.

Law: only the application installs this, never an embedded service. A handler only queues the verb for the reactor.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

#: Which verb of `service.WSGIPoolService` a signal calls.
VERBS: dict[signal.Signals, str] = {
    signal.SIGTERM: "terminate",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "interrupt",
    signal.SIGHUP: "reload",
    signal.SIGTTIN: "more_workers",
    signal.SIGTTOU: "fewer_workers",
    signal.SIGUSR1: "reopen_logs",
    signal.SIGUSR2: "upgrade",
    signal.SIGWINCH: "retire_all",
}

Handler = Callable[[int, FrameType | None], object]
#: The reactor's own handlers, called after the verb: by them `twist` knows which signal ended it.
_CHAINED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def install(reactor: Any, verbs: Mapping[str, Callable[[Callable[[], bool], int], object]]) -> Callable[[], None]:
    """Install the handlers.

    :param verbs: by name; each takes a callable that does what the signal did before (the reactor's handler) and
        says whether there was anything to do, and the signal's number.
    :return: a callable that puts the earlier handlers back.
    """
    before: dict[signal.Signals, Any] = {}

    def handler_for(number: signal.Signals, verb: Callable[[Callable[[], bool], int], object]) -> Handler:
        def earlier() -> bool:
            previous = before[number]
            chained = number in _CHAINED and callable(previous) and previous is not signal.default_int_handler
            if chained:
                previous(number, None)
            return chained

        return lambda received, frame: reactor.callFromThread(verb, earlier, number)

    for number, name in VERBS.items():
        before[number] = signal.getsignal(number)
        signal.signal(number, handler_for(number, verbs[name]))

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def hear_of_children(reactor: Any, ended: Callable[[], object]) -> None:
    """Call `ended` in the reactor when any child has ended (SIGCHLD).

    The handler replaces the reactor's, which does nothing: the wake-up descriptor reports the signal
    (signal.set_wakeup_fd).
    """
    signal.signal(signal.SIGCHLD, lambda number, frame: reactor.callFromThread(ended))
    signal.siginterrupt(signal.SIGCHLD, False)
