"""A worker's loop with real epolls: the connections' one, and the reactor's, which that one watches.

Law: a number that a test takes away leads somewhere again at its end: who owns it closes it then, and nobody else's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.http.served import Served
from tests.worker.apps import app
from twistcorn.worker.loop.reactor import WorkerReactor
from twistcorn.worker.process.echo import Echo


class Loop:
    """Turns when a test says so."""

    def __init__(self) -> None:
        self.served = Served(app([b"hello"]))
        self.poller = self.served.poller
        self.reactor = WorkerReactor()
        self.poller.holdings.add_source(self.reactor.own_descriptor(), self.reactor.own_events)
        self.echo = Echo(self.reactor)
        self.echo.startReading()

    def turn(self) -> None:
        """Handle what is there by now."""
        self.poller.rounds.poll(0, self.served.turns.leader)

    def close(self) -> None:
        """Close all of it, whatever it leads to."""
        reactor: Any = self.reactor
        # The reactor may not know of them any more, and would raise.
        for number in self.echo.numbers:
            os.close(number)
        reactor.waker.connectionLost(None)
        reactor._poller.close()
        self.poller.holdings.epoll.close()
        self.served.turns.close()
        self.served.board.close()


def replace(number: int, other: int) -> None:
    """As an application does it that takes a number for its own."""
    os.dup2(other, number, inheritable=False)


@contextmanager
def closed(number: int) -> Iterator[None]:
    """Close a number; the null device has it in the end."""
    os.close(number)
    try:
        yield
    finally:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
