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
    """

    exposed: Any

    def shield(self) -> None:
        """From now on it cannot be hit, and nothing is on its way any more."""


#: By `threading.get_ident()`.
exposed_threads: dict[int, Exposed] = {}


def hide() -> tuple[Exposed, Any] | None:
    """No exception comes to this thread from here on, until what this returns is given to `show`."""
    thread = exposed_threads.get(threading.get_ident())
    if thread is None or (runs := thread.exposed) is None:
        return None
    thread.shield()
    return thread, runs


def show(hidden: tuple[Exposed, Any] | None) -> None:
    """The application goes on, and its time counts again."""
    if hidden is not None:
        hidden[0].exposed = hidden[1]
