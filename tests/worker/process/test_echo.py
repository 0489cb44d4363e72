"""The round trip through a worker's own loop: it detects each way in which the loop can be deaf, and nothing else."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python import threadable
from twisted.python.failure import Failure

from tests.worker.loops import Loop, closed, replace
from twistcorn.worker.loop.rounds import EVENTS_AT_ONCE
from twistcorn.worker.process.echo import MAX_UNANSWERED, Echo


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """One that hears."""
    monkeypatch.setattr(threadable, "ioThread", None)
    made = Loop()
    yield made
    made.close()


def calls(loop: Loop, times: int = MAX_UNANSWERED + 3) -> list[bool]:
    """What each call says, with a turn of the loop after it."""
    said = []
    for _ in range(times):
        said.append(loop.echo.call())
        loop.turn()
    return said


def is_deaf(loop: Loop) -> bool:
    """Whether calls report it, right after those that may be unanswered, and from then on."""
    return calls(loop) == [True] * MAX_UNANSWERED + [False] * 3


class TestAnswered:
    def test_each_call(self, loop: Loop) -> None:
        """A running loop answers forever."""
        assert all(calls(loop, 200))

    def test_the_pipe_stays_empty(self, loop: Loop) -> None:
        """No byte of a call is left to raise a further event."""
        calls(loop, 1)
        assert not select.select([loop.echo.numbers[0]], [], [], 0)[0]

    @pytest.mark.parametrize("times", range(1, MAX_UNANSWERED + 1))
    def test_several_at_once(self, loop: Loop, times: int) -> None:
        """One turn answers all calls before it."""
        for _ in range(times):
            assert loop.echo.call()
        loop.turn()
        assert not select.select([loop.echo.numbers[0]], [], [], 0)[0]
        assert [loop.echo.call() for _ in range(MAX_UNANSWERED + 1)] == [True] * MAX_UNANSWERED + [False]

    def test_late(self, loop: Loop) -> None:
        """An answer that comes after the limit still counts."""
        assert [loop.echo.call() for _ in range(MAX_UNANSWERED + 1)][-1] is False
        loop.turn()
        assert all(calls(loop))

    def test_among_more_events_than_are_taken_at_once(self, loop: Loop) -> None:
        """Others that are always ready put it off by a turn, and no longer."""
        reader, writer = os.pipe()
        os.write(writer, b"x")
        others = [os.dup(reader) for _ in range(2 * EVENTS_AT_ONCE - 10)]
        try:
            for other in others:
                loop.poller.holdings.add_source(other, int)
            assert all(calls(loop, 50))
        finally:
            for number in (reader, writer, *others):
                os.close(number)


class TestUnanswered:
    def test_the_loop_stands_still(self, loop: Loop) -> None:
        """Some calls may be on their way; the next one says so."""
        assert [loop.echo.call() for _ in range(MAX_UNANSWERED + 2)] == [True] * MAX_UNANSWERED + [False] * 2

    def test_it_writes_no_more(self, loop: Loop) -> None:
        """A pipe without a reader does not fill up."""
        for _ in range(10):
            loop.echo.call()
        assert len(os.read(loop.echo.numbers[0], 100)) == MAX_UNANSWERED

    def test_connections_epoll_forgets_the_reactors(self, loop: Loop) -> None:
        """The reactor's epoll has the event, but is not polled."""
        loop.poller.holdings.epoll.unregister(loop.reactor.own_descriptor())
        assert is_deaf(loop)

    def test_reactors_epoll_forgets_the_pipe(self, loop: Loop) -> None:
        """The reactor believes that it is watching it."""
        with select.epoll.fromfd(os.dup(loop.reactor.own_descriptor())) as same:
            same.unregister(loop.echo.numbers[0])
        assert is_deaf(loop)

    @pytest.mark.parametrize("of", ["reactor", "connections"])
    def test_epoll_is_replaced(self, loop: Loop, of: str) -> None:
        """Another epoll by its number watches nothing of ours."""
        number = loop.reactor.own_descriptor() if of == "reactor" else loop.poller.holdings.epoll.fileno()
        with select.epoll() as other:
            replace(number, other.fileno())
        assert is_deaf(loop)

    def test_writing_end_is_replaced(self, loop: Loop) -> None:
        """A byte written elsewhere does not come back."""
        null = os.open(os.devnull, os.O_RDWR)
        replace(loop.echo.numbers[1], null)
        os.close(null)
        assert not all(calls(loop))

    def test_the_reactor_has_dropped_it(self, loop: Loop) -> None:
        """An error of the pipe removes its reader from the reactor, which no one else reports."""
        loop.echo.connectionLost(Failure(ConnectionDone()))
        assert loop.echo not in loop.reactor.getReaders()
        assert is_deaf(loop)


class TestThePipeIsGone:
    @pytest.mark.parametrize("end", [0, 1])
    def test_closed(self, loop: Loop, end: int) -> None:
        """Either end: the call raises."""
        with closed(loop.echo.numbers[end]), pytest.raises(OSError, match=r"Bad file|Broken pipe"):
            loop.echo.call()

    def test_reading_end_is_replaced(self, loop: Loop) -> None:
        """The other end is closed: the call raises."""
        null = os.open(os.devnull, os.O_RDWR)
        replace(loop.echo.numbers[0], null)
        os.close(null)
        with pytest.raises(BrokenPipeError):
            loop.echo.call()

    def test_closed_while_it_is_read(self, loop: Loop) -> None:
        """That is no error in the loop; the next call reports it."""
        loop.echo.call()
        with closed(loop.echo.numbers[0]):
            loop.echo.doRead()
            with pytest.raises(BrokenPipeError):
                loop.echo.call()

    def test_reading_finds_nothing(self, loop: Loop) -> None:
        """A read that finds nothing neither blocks nor answers a call."""
        for _ in range(MAX_UNANSWERED):
            loop.echo.call()
        os.read(loop.echo.numbers[0], 100)
        assert not os.get_blocking(loop.echo.numbers[0])
        loop.echo.doRead()
        assert not loop.echo.call()


def test_the_pipe_is_the_servers_alone(loop: Loop) -> None:
    """The application's child programs do not inherit it, and neither end blocks."""
    for number in loop.echo.numbers:
        assert not os.get_inheritable(number)
        assert not os.get_blocking(number)


def test_close(loop: Loop) -> None:
    """Both ends are closed, and the reactor watches neither."""
    echo = Echo(loop.reactor)
    echo.startReading()
    echo.close()
    assert echo not in loop.reactor.getReaders()
    for number in echo.numbers:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)
