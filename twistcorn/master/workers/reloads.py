"""Reload requests: the running one, and the one queued behind it.

Law: one reload at a time; a request made during one gets the result of the next. `fleet` carries a reload out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...errors import TwistcornError
from ...logs.logger import Logger
from .chronicle import Chronicle, Reloaded
from .fleet import Fleet
from .tuning import Reread


class Reloads:
    """Queues reload requests and returns their results.

    :param read: the settings as they are at a reload; raises TwistcornError when they are not valid.
    :param stopping: whether the server stops, or is about to.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        fleet: Fleet,
        chronicle: Chronicle,
        read: Callable[[], Reread],
        stopping: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._fleet = fleet
        self._chronicle = chronicle
        self._read = read
        self._stopping = stopping
        self._began = 0.0
        self._needs_restart: tuple[str, ...] = ()
        self._present: list[Deferred[str]] = []
        self._next: list[Deferred[str]] = []

    def ask(self) -> Deferred[str]:
        """Reload now, or when the server serves and the current reload is over.

        :return: fires when it is over, with an empty text, or with the reason of a failure.
        """
        over: Deferred[str] = Deferred()
        self._next.append(over)
        if not self._stopping() and (not self._fleet.open or self._fleet.reloading):
            until = "the current one ends" if self._fleet.reloading else "the server serves"
            self.log.info("reload queued until {until}", until=until)
        else:
            self.go_on()
        return over

    def go_on(self) -> None:
        """Begin the queued reload if that is possible now; cancel it if the server stops."""
        if self._next and self._stopping():
            self.log.info("reload cancelled: the server is stopping")
            self._answer_queued("the server is stopping")
        elif self._next and self._fleet.open and not self._fleet.reloading:
            self._present, self._next = self._next, []
            self._begin()

    def _begin(self) -> None:
        self._began, self._needs_restart = self._clock.seconds(), ()
        try:
            settings, self._needs_restart = self._read()
        except TwistcornError as error:
            self.log.error("reload cancelled: {error}; nothing changed", error=str(error))
            self.ended(str(error))
            return
        self._fleet.reload(settings)

    def ended(self, problem: str) -> None:
        """The current one is over: answer its requests, and begin the next one."""
        took = self._clock.seconds() - self._began
        generation, left_out = self._fleet.generation, () if problem else self._needs_restart
        self._chronicle.add_reload(Reloaded(time.time(), took, generation, problem, left_out))
        told, self._present = self._present, []
        for over in told:
            over.callback(problem)
        self.go_on()

    def stop(self) -> None:
        """Cancel all reloads: the server stops."""
        self._next = [*self._present, *self._next]
        self._present = []
        self._answer_queued("the server is stopping")

    def _answer_queued(self, problem: str) -> None:
        told, self._next = self._next, []
        for over in told:
            over.callback(problem)
