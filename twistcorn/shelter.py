"""Shelter: server code on an application thread that no RequestTimeout may interrupt.

Law: an exception from outside can come between any two instructions, and a lock held then is never released. Server
code that takes a lock, or must run to completion, calls `hide` first and `show` last. Other threads, which no time-out
can hit, are unknown here and pay one dictionary lookup.
"""

from __future__ import annotations

from typing import Any, Protocol

from .pristine import threading


class Exposed(Protocol):
    """A thread that a time-out can hit while it runs the application (`worker.loop.seats.Seat`).

    :ivar exposed: what it runs; None while it cannot be hit.
    :ivar sheltered: what it runs while it is hidden.
    :ivar owed: an exception to raise there as soon as it can be hit again.
    """

    exposed: Any
    sheltered: Any
    owed: BaseException | None

    def shield(self) -> None:
        """Make it safe from now on, and cancel an exception on its way."""

    def reappear(self) -> None:
        """Make it exposed again; raises if its time ran out meanwhile."""


#: By `threading.get_ident()`.
exposed_threads: dict[int, Exposed] = {}


def hide() -> Exposed | None:
    """Keep exceptions off this thread until `show` is called with the result."""
    thread = exposed_threads.get(threading.get_ident())
    if thread is None or (runs := thread.exposed) is None:
        return None
    thread.shield()
    thread.sheltered = runs
    return thread


def show(hidden: Exposed | None) -> None:
    """Return to the application.

    :raises RequestTimeout: its time ran out meanwhile; otherwise an application that logs all the time would never be
        interrupted.
    """
    if hidden is not None:
        hidden.reappear()


def leave() -> None:
    """Leave the application for good: only server code follows."""
    thread = exposed_threads.get(threading.get_ident())
    if thread is not None:
        thread.shield()
