"""Time in which the worker did not run: which time-outs it extends, and by how much."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.gaps import Gaps
from twistcorn.worker.loop.phases import Phase


class Held:
    """What is asked of a connection."""

    def __init__(self, phase: Phase, header_since: float = 0.0, waiting: bool = False) -> None:
        self.phase, self.header_since, self.waiting = phase, header_since, waiting
        self.deadline = self.end_by = self.queued_since = 100.0
        self.redo_log = self
        self.counted_from = 50_000_000_000
        self.idle: list[float] = []

    def become_idle(self, deadline: float) -> None:
        self.idle.append(deadline)

    def restart_clock(self, now: int) -> None:
        self.counted_from = now


def missed(connection: Held, gap: float, spent: float = 0.0) -> list[float]:
    """A gap, in which the process used this much processor time."""
    others: list[float] = []
    times = iter((1.0, 1.0 + spent))
    held: Any = [connection]
    Gaps(Clock(), lambda: held, [others.append], lambda: next(times)).missed(gap)
    return others


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.WRITING, Phase.LINGERING])
def test_deadlines(phase: Phase) -> None:
    """Clients that send, read or close have as much more time; so has everything else."""
    connection = Held(phase)
    assert missed(connection, 10.0) == [10.0]
    assert (connection.deadline, connection.end_by, connection.idle) == (110.0, 110.0, [])
    assert connection.counted_from == 50_000_000_000


def test_idle() -> None:
    """An idle one has it in its slot, too; one whose head has begun has not."""
    idle, begun = Held(Phase.READING), Held(Phase.READING, header_since=99.0)
    missed(idle, 10.0)
    missed(begun, 10.0)
    assert idle.idle == [110.0]
    assert (begun.idle, begun.deadline) == ([], 110.0)


def test_requests() -> None:
    """A request is not older for it, unless the process computed: then a request held the interpreter lock."""
    stopped, frozen = Held(Phase.TURN), Held(Phase.TURN)
    missed(stopped, 10.0, spent=1.0)
    missed(frozen, 10.0, spent=9.0)
    assert stopped.counted_from == 60_000_000_000
    assert frozen.counted_from == 50_000_000_000
    assert stopped.deadline == 100.0


def test_waiting() -> None:
    """What waits for a thread has not waited longer."""
    connection = Held(Phase.TURN, waiting=True)
    missed(connection, 10.0)
    assert connection.queued_since == 110.0


def test_fields_are_those_of_a_connection() -> None:
    """The fake connection has no attribute that a real one lacks."""
    assert set(vars(Held(Phase.BODY))) - {"idle"} <= {*Connection.__slots__, "counted_from"}
