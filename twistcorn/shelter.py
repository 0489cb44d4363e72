"""Shelter: code of the server that an application's thread runs, and that no RequestTimeout may interrupt.

Law: an exception raised from outside can come between any two instructions, and a lock that is held then is never
released. Whatever of ours takes a lock, or must be done whole, hides first and shows itself again last. Threads that
nobody can hit are not known here, and pay one look into a dictionary.
"""

from __future__ import annotations

from typing import Any, Protocol

from .pristine import threading


class Exposed(Protocol):
    """A thread that can be hit while it runs the application (`worker.seats.Seat`).

    :ivar exposed: what it runs; None while it cannot be hit.
    :ivar sheltered: what it would be hit for now.
    :ivar owed: what is raised there as soon as it can be hit again.
    """

    exposed: Any
    sheltered: Any
    owed: BaseException | None

    def shield(self) -> None:
        """From now on it cannot be hit, and nothing is on its way any more."""

    def reappear(self) -> None:
        """It can be hit again, and is where its time was over meanwhile."""


#: By `threading.get_ident()`.
exposed_threads: dict[int, Exposed] = {}


def hide() -> Exposed | None:
    """No exception comes to this thread from here on, until what this returns is given to `show`."""
    thread = exposed_threads.get(threading.get_ident())
    if thread is None or (runs := thread.exposed) is None:
        return None
    thread.shield()
    thread.sheltered = runs
    return thread


def show(hidden: Exposed | None) -> None:
    """The application goes on.

    :raises RequestTimeout: its time was over meanwhile: who logs all the time would never be hit otherwise.
    """
    if hidden is not None:
        hidden.reappear()


def leave() -> None:
    """The application is left for good: what follows is ours."""
    thread = exposed_threads.get(threading.get_ident())
    if thread is not None:
        thread.shield()
