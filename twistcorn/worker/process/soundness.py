"""Whether this worker can hear and speak: asked before each heartbeat, so that no heart beats in a deaf worker.

Law: on the thread that leads the loop. Looks, and ends the worker when something is wrong; nothing is mended here,
because nobody knows what else the application has closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger
from twisted.python.failure import Failure

from . import failing
from .descriptors import Descriptors
from .echo import Echo


class Soundness:
    """The proof that goes before each heartbeat.

    :param descriptors: those that the worker was born with.
    :param echo: the round trip through the epolls.
    :param prove: raises OSError unless the connections' epoll watches the reactor's.
    :param numbers: further descriptors of the loop's.
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
        """Whether no request has ended since all was known to be well: a request that runs now has broken it."""
        return self._answered() == self._then

    def look_at_descriptors(self) -> None:
        """On any thread, when a client cannot be answered because its descriptor is gone.

        Its request counts as ended already; it runs, as far as what it has broken is concerned.
        """
        if wrong := self._descriptors.look():
            failing.fail(wrong, sure=self._answered() - self._then <= 1)

    def look(self) -> None:
        """Look once; comes back only when all is well."""
        wrong = self._descriptors.look()
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
