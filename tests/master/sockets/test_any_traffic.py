"""What holds in any traffic: random sequences of clients, workers and full channels, on the dispatcher."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.master.stage import Desk, process
from twistcorn.master.sockets.dispatcher import RETRY_SECONDS
from twistcorn.policy.dispatch import MAX_UNACKNOWLEDGED
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.testing import RecordingChannel
from twistcorn.wire.closing import LINGER_SECONDS
from twistcorn.wire.scoreboard import SlotState


def clients_come(desk: Desk, worker: Worker) -> None:
    desk.arrive(3)


def gets_ready(desk: Desk, worker: Worker) -> None:
    if len(desk.spawner.alive) < 4:
        desk.worker()


def takes(desk: Desk, worker: Worker) -> None:
    if any(lend not in process(worker).word for lend in process(worker).lends):
        desk.spawner.takes(worker)


def closes(desk: Desk, worker: Worker) -> None:
    if taken := [lend for lend in process(worker).lends if lend in process(worker).word]:
        desk.spawner.closes(worker, taken[0])


def releases(desk: Desk, worker: Worker) -> None:
    if lends := process(worker).lends:
        desk.spawner.releases(worker, lends[-1])


def leaves(desk: Desk, worker: Worker) -> None:
    desk.spawner.leaves(worker)


def answers(desk: Desk, worker: Worker) -> None:
    for connection in desk.table.held_by(worker)[:2]:
        desk.writes(connection, SlotState.IN_APP)


def dies(desk: Desk, worker: Worker) -> None:
    desk.spawner.exits(worker, signal=signal.SIGKILL)


def fills_up(desk: Desk, worker: Worker) -> None:
    channel_of(worker).error = errno.EAGAIN


def breaks(desk: Desk, worker: Worker) -> None:
    channel_of(worker).error = errno.EPIPE


def reads(desk: Desk, worker: Worker) -> None:
    if channel_of(worker).error == errno.EAGAIN:
        channel_of(worker).error = 0


def time_passes(desk: Desk, worker: Worker) -> None:
    desk.clock.advance(RETRY_SECONDS)


def channel_of(worker: Worker) -> RecordingChannel:
    """The recording channel of a worker."""
    found = process(worker).channel
    assert isinstance(found, RecordingChannel)
    return found


HAPPENINGS = [
    clients_come, clients_come, gets_ready, gets_ready, takes, takes, closes, closes, releases, leaves, answers, dies,
    fills_up, breaks, reads, time_passes,
]  # fmt: skip

#: What happens, and to which of the live workers.
traffic = given(st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 3)), max_size=40))


def play(desk: Desk, script: list[tuple[Callable[[Desk, Worker], None], int]], check: Callable[[Desk], None]) -> None:
    """Let everything happen, and check after each step."""
    desk.worker()
    for happens, number in script:
        if not desk.spawner.alive:
            desk.worker()
        happens(desk, desk.spawner.alive[number % len(desk.spawner.alive)])
        check(desk)


def books_balance(desk: Desk) -> None:
    """The numbers of each worker are those of the connections that it has."""
    for worker in desk.spawner.spawned:
        held = desk.table.held_by(worker)
        assert worker.connections == len(held)
        assert worker.unacknowledged == sum(not connection.taken for connection in held) <= MAX_UNACKNOWLEDGED
        if not process(worker).exited:
            known = {(lend.slot, lend.sequence) for lend in process(worker).lends}
            assert known == {(connection.slot, connection.sequence) for connection in held}
        else:
            assert held == []
    waiting = [connection for connection in desk.table if connection.holder is None]
    assert len(waiting) == desk.dispatcher.waiting + desk.dispatcher.answers.ending
    assert all(connection.sock.fileno() != -1 for connection in desk.table)


def nobody_waits_in_vain(desk: Desk) -> None:
    """What waits has nobody to go to: every worker that takes part is full, or a timer runs for it."""
    if desk.dispatcher.waiting and not desk.clock.getDelayedCalls():
        able = [worker for worker in desk.dispatcher.workers if worker.state is WorkerState.READY]
        assert all(worker.unacknowledged == MAX_UNACKNOWLEDGED for worker in able)


@traffic
def test_books(script: list[tuple[Callable[[Desk, Worker], None], int]]) -> None:
    """Master and workers agree on who has which connection, and how many."""
    desk = Desk()
    try:
        play(desk, script, books_balance)
    finally:
        desk.close()


@traffic
def test_progress(script: list[tuple[Callable[[Desk, Worker], None], int]]) -> None:
    """No connection waits while a worker could take it."""
    desk = Desk()
    try:
        play(desk, script, nobody_waits_in_vain)
    finally:
        desk.close()


@traffic
def test_end(script: list[tuple[Callable[[Desk, Worker], None], int]]) -> None:
    """When every worker takes what comes and closes it, all connections come to their end, and all slots are free."""
    desk = Desk()
    try:
        play(desk, script, lambda desk: None)
        for worker in desk.spawner.alive:
            dies(desk, worker)
        last = desk.worker()
        for _ in range(20):
            takes(desk, last)
            while process(last).lends:
                takes(desk, last)
                closes(desk, last)
        desk.clock.advance(LINGER_SECONDS)
        assert len(desk.table) == desk.dispatcher.waiting == 0
    finally:
        desk.close()
