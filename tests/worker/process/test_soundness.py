"""The checks before each heartbeat: a deaf worker ends, a sound one continues."""

from __future__ import annotations

import os
import re
import select
import socket
from collections.abc import Iterator

import pytest
from twisted.python import threadable
from twisted.python.failure import Failure

from tests.worker.loops import Loop, closed, replace
from twistcorn.worker.process import failing
from twistcorn.worker.process.descriptors import Descriptors
from twistcorn.worker.process.echo import MAX_UNANSWERED
from twistcorn.worker.process.soundness import Soundness


class Ended(BaseException):
    """The worker's end, were it one."""

    def __init__(self, what: str, failure: Failure | None, sure: bool | None) -> None:
        super().__init__(what)
        self.what, self.failure, self.sure = what, failure, sure


class Worker:
    """What it asks, and of what.

    :ivar channel: the number of a socket with which it was born.
    :ivar answered: requests that have ended.
    """

    def __init__(self) -> None:
        self.loop = Loop()
        self._ends = socket.socketpair()
        self.channel = self._ends[0].fileno()
        self.answered = 7
        descriptors = Descriptors()
        descriptors.watch(self.channel, "channel")
        self.soundness = Soundness(
            descriptors, self.loop.echo, self.loop.poller.holdings.prove, self.loop.reactor.own_numbers(),
            lambda: self.answered,
        )

    def number(self, what: str) -> int:
        """Its descriptor."""
        reactor, echo = self.loop.reactor.own_numbers(), self.loop.echo.numbers
        names = ("epoll of the reactor", "waker", "waker's other end", "echo", "echo's other end")
        return {"channel": self.channel, **dict(zip(names, (*reactor, *echo), strict=True))}[what]

    def beat(self) -> None:
        """A heartbeat is due, and the loop turns after it."""
        self.soundness.check()
        self.loop.turn()

    def ends(self) -> Ended:
        """How it ends at the next check."""
        with pytest.raises(Ended) as caught:
            self.soundness.check()
        return caught.value

    def close(self) -> None:
        self.loop.close()
        for end in self._ends:
            end.close()


NUMBERS = ["channel", "epoll of the reactor", "waker", "waker's other end", "echo", "echo's other end"]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A sound worker."""

    def fail(what: str, failure: Failure | None = None, sure: bool | None = None) -> None:
        raise Ended(what, failure, sure)

    monkeypatch.setattr(threadable, "ioThread", None)
    monkeypatch.setattr(failing, "fail", fail)
    made = Worker()
    yield made
    made.close()


def test_sound(worker: Worker) -> None:
    """It runs on, however many requests come."""
    for _ in range(50):
        worker.beat()
        worker.answered += 1
        worker.soundness.check_descriptors()


class TestDescriptors:
    @pytest.mark.parametrize("what", NUMBERS)
    def test_closed(self, worker: Worker, what: str) -> None:
        """The next check misses it, by its number."""
        worker.beat()
        number = worker.number(what)
        with closed(number):
            ended = worker.ends()
        assert re.search(rf"closed or replaced the server's file descriptor {number} \(", ended.what)

    @pytest.mark.parametrize("what", NUMBERS)
    def test_replaced(self, worker: Worker, what: str) -> None:
        """So does one that refers to another file."""
        worker.beat()
        number = worker.number(what)
        with socket.socket() as other:
            replace(number, other.fileno())
        assert re.search(rf"closed or replaced the server's file descriptor {number} \(", worker.ends().what)

    def test_all(self, worker: Worker) -> None:
        """As os.closerange does it: one end, which names them all."""
        null = os.open(os.devnull, os.O_RDWR)
        numbers = [worker.number(what) for what in NUMBERS]
        for number in numbers:
            replace(number, null)
        os.close(null)
        assert set(map(int, re.findall(r"\b(\d+) \(", worker.ends().what))) == set(numbers)


class TestEpolls:
    """They share one inode: only their behaviour distinguishes them."""

    @pytest.mark.parametrize("which", ["reactor's", "connections'"])
    def test_replaced_by_another(self, worker: Worker, which: str) -> None:
        """The connections' epoll must be the one that watches the reactor's."""
        loop = worker.loop
        worker.beat()
        number = loop.reactor.own_descriptor() if which == "reactor's" else loop.poller.holdings.epoll.fileno()
        with select.epoll() as other:
            replace(number, other.fileno())
        ended = worker.ends()
        assert ended.what == "event loop broken: the application closed or replaced an epoll"
        assert ended.failure is not None
        assert ended.failure.check(OSError)

    def test_connections_epoll_is_closed(self, worker: Worker) -> None:
        """It is not checked by its number, but missed all the same."""
        with closed(worker.loop.poller.holdings.epoll.fileno()):
            assert worker.ends().what == "event loop broken: the application closed or replaced an epoll"

    def test_it_watches_the_reactors_no_more(self, worker: Worker) -> None:
        """At the next check."""
        worker.loop.poller.holdings.epoll.unregister(worker.loop.reactor.own_descriptor())
        assert worker.ends().what == "event loop broken: the application closed or replaced an epoll"

    def test_reactor_watches_nothing_of_ours(self, worker: Worker) -> None:
        """No call fails, but no answer comes: it ends after MAX_UNANSWERED checks, not before."""
        with select.epoll.fromfd(os.dup(worker.loop.reactor.own_descriptor())) as same:
            same.unregister(worker.number("echo"))
        for _ in range(MAX_UNANSWERED):
            worker.beat()
        ended = worker.ends()
        assert ended.what == "event loop broken: the reactor's events no longer arrive"
        assert ended.failure is None


class TestBlame:
    """Whether a request that runs now has done it: `sure`, as long as none has ended since all was well."""

    def breaks(self, worker: Worker, how: str) -> None:
        if how == "descriptor":
            null = os.open(os.devnull, os.O_RDWR)
            replace(worker.channel, null)
            os.close(null)
        elif how == "epoll":
            worker.loop.poller.holdings.epoll.unregister(worker.loop.reactor.own_descriptor())
        else:
            # The looks before the one that ends it.
            worker.loop.echo.stopReading()
            for _ in range(MAX_UNANSWERED):
                worker.beat()

    @pytest.mark.parametrize("how", ["descriptor", "epoll", "echo"])
    @pytest.mark.parametrize("ended", [0, 1, 2])
    def test_at_a_look(self, worker: Worker, how: str, ended: int) -> None:
        """A request that has ended since the last good check may have done it as well."""
        worker.answered += 5
        worker.beat()
        self.breaks(worker, how)
        worker.answered += ended
        assert worker.soundness.sure is (ended == 0)
        assert worker.ends().sure is (ended == 0)

    @pytest.mark.parametrize("ended", [0, 1, 2])
    def test_a_client_cannot_be_answered(self, worker: Worker, ended: int) -> None:
        """Its own request already counts as ended, but is not another one."""
        worker.answered += 5
        worker.beat()
        self.breaks(worker, "descriptor")
        worker.answered += ended
        with pytest.raises(Ended) as caught:
            worker.soundness.check_descriptors()
        assert caught.value.sure is (ended <= 1)

    def test_only_a_look_that_finds_all_well_counts(self, worker: Worker) -> None:
        """A check on a client's behalf is not a complete one: requests that ended since stay suspect."""
        worker.beat()
        worker.answered += 1
        worker.soundness.check_descriptors()
        assert not worker.soundness.sure
        worker.beat()
        assert worker.soundness.sure

    def test_before_the_first_look(self, worker: Worker) -> None:
        """It counts from its own start: requests that ended before, in an earlier worker's region, do not count."""
        assert worker.soundness.sure
