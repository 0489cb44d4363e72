"""The claims of twistcorn.master.signals, with real signals to this process, whose handlers are put back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from twistcorn.master.signals import VERBS, install


class Queue:
    """In the place of a reactor: keeps what a handler hands over until the test runs it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        self.calls.append((call, arguments))

    def run(self) -> None:
        """Run what was handed over."""
        calls, self.calls = self.calls, []
        for call, arguments in calls:
            call(*arguments)


@pytest.fixture
def queue() -> Iterator[Queue]:
    """The reactor; afterwards every signal is handled as before."""
    before = {number: signal.getsignal(number) for number in VERBS}
    yield Queue()
    for number, handler in before.items():
        signal.signal(number, handler)


class Verbs:
    """Notes which verb was called, for which signal, and what the earlier handler answered."""

    def __init__(self) -> None:
        self.called: list[tuple[str, int, bool]] = []

    def table(self) -> dict[str, Callable[[Callable[[], bool], int], object]]:
        return {name: self._verb(name) for name in VERBS.values()}

    def _verb(self, name: str) -> Callable[[Callable[[], bool], int], object]:
        return lambda earlier, number: self.called.append((name, number, earlier()))


def send(number: signal.Signals) -> None:
    """Send a signal to this process; Python runs the handler before the next line."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "verb"), VERBS.items(), ids=lambda part: getattr(part, "name", part))
def test_signal_comes(queue: Queue, number: signal.Signals, verb: str) -> None:
    """Its verb is called by the reactor, not by the handler."""
    for known in VERBS:
        signal.signal(known, signal.SIG_DFL)
    verbs = Verbs()
    install(queue, verbs.table())
    send(number)
    assert verbs.called == []

    queue.run()
    assert verbs.called == [(verb, number, False)]


def test_handlers_are_put_back(queue: Queue) -> None:
    """Whoever had them before has them again."""
    before = {number: signal.getsignal(number) for number in VERBS}
    restore = install(queue, Verbs().table())
    assert {number: signal.getsignal(number) for number in VERBS} != before

    restore()
    assert {number: signal.getsignal(number) for number in VERBS} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_reactor_had_a_handler(queue: Queue, number: signal.Signals) -> None:
    """It is called when the verb asks for it: by it `twist` knows which signal ended it."""
    earlier: list[tuple[int, object]] = []
    signal.signal(number, lambda received, frame: earlier.append((received, frame)))
    verbs = Verbs()
    install(queue, verbs.table())
    send(number)
    assert earlier == []

    queue.run()
    assert earlier == [(number, None)]
    assert verbs.called == [(VERBS[number], number, True)]


def test_python_had_its_own_handler_of_interrupts(queue: Queue) -> None:
    """KeyboardInterrupt is not raised in the middle of the reactor."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    verbs = Verbs()
    install(queue, verbs.table())
    send(signal.SIGINT)
    queue.run()

    assert verbs.called == [("interrupt", signal.SIGINT, False)]


def test_verb_is_missing(queue: Queue) -> None:
    """A table without one of the verbs is refused when it is installed, not when the signal comes."""
    with pytest.raises(KeyError):
        install(queue, {})
