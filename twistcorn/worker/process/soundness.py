"""Checks before each heartbeat that this worker still gets events and reaches the master: a deaf worker must not beat.

Law: runs on the thread that leads the loop. Checks, and ends the worker if something is wrong; repairs nothing, because
the application may have closed anything else as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger
from twisted.python.failure import Failure

from . import failing
from .descriptors import Descriptors
from .echo import Echo


class Soundness:
    """The checks before each heartbeat.

    :param descriptors: the inherited descriptors.
    :param echo: the round trip through the epolls.
    :param prove: raises OSError unless the connections' epoll watches the reactor's.
    :param numbers: further descriptors of the event loop.
    :param answered: how many requests have ended so far.
    """

    log = Logger()

    def __init__(
        self,
        descriptors: Descriptors,
        echo: Echo,
        prove: Callable[[], object],
        numbers: Iterable[int],
        answered: Callable[[], int],
    ) -> None:
        self._descriptors = descriptors
        self._echo = echo
        self._prove = prove
        self._answered = answered
        self._then = answered()
        for number in (*numbers, *echo.numbers):
            descriptors.watch(number, "event loop")

    @property
    def sure(self) -> bool:
        """Whether no request has ended since the last good check: then a request that runs now has broken it."""
        return self._answered() == self._then

    def check_descriptors(self) -> None:
        """Check the descriptors when a client's descriptor is gone; on any thread.

        The client's request already counts as ended, but may be the one that broke them: hence `<= 1`.
        """
        if wrong := self._descriptors.check():
            failing.fail(wrong, sure=self._answered() - self._then <= 1)

    def check(self) -> None:
        """Check once; returns only if all is well."""
        wrong = self._descriptors.check()
        if wrong:
            failing.fail(wrong, sure=self.sure)
        try:
            self._prove()
            heard = self._echo.call()
        except OSError:
            failing.fail("event loop broken: the application closed or replaced an epoll", Failure(), self.sure)
        if not heard:
            failing.fail("event loop broken: the reactor's events no longer arrive", sure=self.sure)
        self._then = self._answered()
