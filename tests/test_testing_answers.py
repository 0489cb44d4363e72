"""The claims of twistcorn.testing on orders that have an answer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone

from tests.master.stage import Told, boot
from twistcorn.policy.worker import Worker
from twistcorn.testing import ImpossibleError, MemorySpawner
from twistcorn.wire import amp_commands


class Asked:
    """A worker with a pending Stack order."""

    def __init__(self) -> None:
        self.spawner = MemorySpawner()
        self.worker = Worker(1, 0, 1, None)
        self.worker.process = self.spawner.spawn(self.worker, Letting())
        boot(self.worker)
        self.heard: list[Any] = []
        self.ask().addBoth(self.heard.append)

    def ask(self) -> Deferred[Any]:
        answer: Deferred[Any] = self.worker.process.ask(amp_commands.Stack)
        return answer


class Letting(Told):
    """An owner that releases dead processes."""

    def exited(self, worker: Worker, status: Any) -> None:
        worker.process.end()


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_it_answers(asked: Asked) -> None:
    """The answer arrives as amp delivers it; there is no second one."""
    asked.spawner.tells(asked.worker, amp_commands.Stack, text="thread a:")
    assert asked.heard == [{"text": "thread a:"}]
    with pytest.raises(ImpossibleError, match="owes no answer"):
        asked.spawner.tells(asked.worker, amp_commands.Stack, text="thread a:")


def test_it_dies(asked: Asked) -> None:
    """Pending orders fail at the death, and later ones as well."""
    asked.spawner.exits(asked.worker, signal=9)
    asked.ask().addBoth(asked.heard.append)
    assert [failure.type for failure in asked.heard] == [ConnectionDone] * 2


def test_it_answers_something_else(asked: Asked) -> None:
    """What amp refuses is refused here."""
    with pytest.raises(KeyError):
        asked.spawner.tells(asked.worker, amp_commands.Stack, words="thread a:")
