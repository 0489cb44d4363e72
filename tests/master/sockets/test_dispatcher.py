"""The claims of twistcorn.master.sockets.dispatcher about lending: to whom, in which order, and what when it fails."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.master.stage import Desk, process, slots, tcp
from twistcorn.master.sockets.dispatcher import RETRY_SECONDS
from twistcorn.policy.dispatch import MAX_UNACKNOWLEDGED
from twistcorn.policy.worker import WorkerState
from twistcorn.testing import RecordingChannel
from twistcorn.wire.channel import Kind, Report
from twistcorn.wire.scoreboard import SlotState

if TYPE_CHECKING:
    from twistcorn.policy.worker import Worker

FULL = MAX_UNACKNOWLEDGED


def channel_of(worker: Worker) -> RecordingChannel:
    """The recording channel of a worker."""
    found = process(worker).channel
    assert isinstance(found, RecordingChannel)
    return found


def lent(worker: Worker) -> list[int]:
    """The slots of all that was ever lent to a worker, in order."""
    return slots(channel_of(worker).lends)


def held(desk: Desk, worker: Worker) -> list[int]:
    """The slots that are with a worker, as the table has it."""
    return [connection.slot for connection in desk.table.held_by(worker)]


class TestChoice:
    def test_workers_are_alike(self, desk: Desk) -> None:
        """Connections go round."""
        workers = desk.workers(3)
        desk.arrive(6)

        assert sorted(map(lent, workers)) == [[0, 3], [1, 4], [2, 5]]

    def test_one_after_the_other(self, desk: Desk) -> None:
        """They go round also when they come one at a time and are gone before the next one comes."""
        workers = desk.workers(3)
        for _ in range(6):
            desk.arrive(1)
            (worker,) = [worker for worker in workers if process(worker).lends]
            desk.spawner.takes(worker)
            desk.spawner.closes(worker, *process(worker).lends)

        assert [len(lent(worker)) for worker in workers] == [2, 2, 2]

    def test_one_is_busy(self, desk: Desk) -> None:
        """The scoreboard says who is least busy, without a message."""
        busy, idle = desk.workers(2)
        desk.busy(busy, 3)
        desk.arrive(3)

        assert (lent(busy), lent(idle)) == ([], [0, 1, 2])

    def test_one_has_many_connections(self, desk: Desk) -> None:
        """Among equally busy workers the one with fewer connections gets the next."""
        first, second = desk.workers(2)
        desk.busy(second, 9)
        desk.arrive(2)
        desk.spawner.takes(first)
        desk.busy(second, 0)
        desk.arrive(1)

        assert (lent(first), lent(second)) == ([0, 1], [2])

    def test_no_worker(self, desk: Desk) -> None:
        """Connections wait, in the order of arrival, for the first that gets ready."""
        desk.arrive(2)
        desk.arrive(1)
        assert desk.dispatcher.waiting == 3

        assert lent(desk.worker()) == [0, 1, 2]
        assert desk.dispatcher.waiting == 0

    def test_worker_drains(self, desk: Desk) -> None:
        """It gets nothing more, and keeps what it has."""
        first, second = desk.workers(2)
        desk.arrive(2)
        desk.spawner.takes(first)
        desk.spawner.takes(second)
        desk.spawner.leaves(first)
        desk.arrive(3)

        assert [len(held(desk, worker)) for worker in (first, second)] == [1, 4]


class TestMessages:
    def test_several_at_once(self, desk: Desk) -> None:
        """What arrived together for one worker goes in one message, with its own descriptors."""
        worker = desk.worker()
        connections = desk.arrive(5)

        assert [slots(message) for message in channel_of(worker).messages] == [[0, 1, 2, 3, 4]]
        assert channel_of(worker).descriptors == [connection.sock.fileno() for connection in connections]

    def test_slot_is_set_before_the_message_leaves(self, desk: Desk) -> None:
        """When the worker can see the connection, its slot is idle and has the sequence of the lend."""
        worker = desk.worker()
        seen = []

        class Looking(RecordingChannel):
            def sendmsg(self, *message: object) -> int:
                seen.append(desk.board.read_slot(0))
                return super().sendmsg(*message)  # type: ignore[arg-type]

        process(worker).channel = Looking()
        desk.arrive(1)

        (lend,) = process(worker).lends
        assert [(slot.state, slot.sequence) for slot in seen] == [(SlotState.IDLE, lend.sequence)]

    def test_listener_is_told(self, desk: Desk) -> None:
        """A lend says which listener accepted the connection: the worker knows the scheme by it."""
        worker = desk.worker()
        connection = desk.file(1)[0]
        connection.listener = 3
        desk.dispatcher.connection_arrived([connection])

        assert [lend.listener for lend in process(worker).lends] == [3]


class TestBound:
    def test_worker_does_not_answer(self, desk: Desk) -> None:
        """No more than the bound are on their way; the rest wait here, where another worker can get them."""
        frozen = desk.worker()
        desk.arrive(FULL + 5)
        assert len(lent(frozen)) == FULL
        assert desk.dispatcher.waiting == 5

        assert lent(desk.worker()) == list(range(FULL, FULL + 5))

    def test_worker_answers(self, desk: Desk) -> None:
        """What it takes makes room for what waits."""
        worker = desk.worker()
        desk.arrive(FULL + 5)
        desk.spawner.takes(worker)

        assert lent(worker) == list(range(FULL + 5))
        assert desk.dispatcher.waiting == 0

    def test_all_do_not_answer(self, desk: Desk) -> None:
        """Each has the bound, and the rest waits."""
        workers = desk.workers(3)
        desk.arrive(FULL * 3 + 1)

        assert [len(lent(worker)) for worker in workers] == [FULL] * 3
        assert desk.dispatcher.waiting == 1


class TestSendingFails:
    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
    def test_worker_queue_is_full(self, desk: Desk, number: int) -> None:
        """It is tried again a moment later, by a timer; connections are back in their order, at the head."""
        worker = desk.worker()
        channel_of(worker).error = number
        desk.arrive(3)
        desk.arrive(1)
        assert (desk.dispatcher.waiting, worker.connections, worker.unacknowledged) == (4, 0, 0)
        assert len(desk.clock.getDelayedCalls()) == 2

        channel_of(worker).error = 0
        desk.clock.advance(RETRY_SECONDS)
        assert lent(worker) == [0, 1, 2, 3]
        assert desk.clock.getDelayedCalls() == []

    def test_it_stays_full(self, desk: Desk) -> None:
        """It is tried again and again, and timers do not pile up."""
        worker = desk.worker()
        channel_of(worker).error = errno.EAGAIN
        desk.arrive(1)
        for _ in range(50):
            desk.clock.advance(RETRY_SECONDS)
            assert len(desk.clock.getDelayedCalls()) == 2

        assert desk.dispatcher.waiting == 1

    def test_two_queues_are_full(self, desk: Desk) -> None:
        """Connections that were meant for different workers go back in the order in which they came, to the head."""
        workers = desk.workers(2)
        for worker in workers:
            channel_of(worker).error = errno.EAGAIN
        desk.arrive(4)
        desk.arrive(1)
        desk.spawner.exits(workers[0])
        channel_of(workers[1]).error = 0
        desk.clock.advance(RETRY_SECONDS)

        assert lent(workers[1]) == [0, 1, 2, 3, 4]

    def test_one_of_two_queues_is_full(self, desk: Desk) -> None:
        """The other worker gets its part at once."""
        full, other = desk.workers(2)
        channel_of(full).error = errno.EAGAIN
        desk.arrive(4)

        assert len(lent(other)) == 2
        assert desk.dispatcher.waiting == 2

    @pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET])
    def test_worker_is_dying(self, desk: Desk, number: int) -> None:
        """It gets nothing more; the others get what was meant for it, at once."""
        dying, other = desk.workers(2)
        channel_of(dying).error = number
        desk.arrive(4)
        assert desk.dispatcher.workers == [other]
        assert (dying.connections, dying.unacknowledged, held(desk, dying)) == (0, 0, [])
        assert sorted(lent(other)) == [0, 1, 2, 3]
        assert desk.clock.getDelayedCalls() == []

    def test_only_worker_is_dying(self, desk: Desk) -> None:
        """Connections wait for the next one, in their order."""
        dying = desk.worker()
        channel_of(dying).error = errno.EPIPE
        desk.arrive(4)
        assert desk.dispatcher.waiting == 4

        desk.spawner.exits(dying)
        assert lent(desk.worker()) == [0, 1, 2, 3]


class TestRealChannel:
    def test_connections_arrive(self) -> None:
        """Over a real SEQPACKET pair the worker gets the connections themselves."""
        desk = Desk(real_channels=True)
        try:
            worker = desk.worker()
            desk.arrive(2)
            received = desk.spawner.receives(worker)
            assert [lend.slot for _, lend in received] == [0, 1]

            for descriptor, lend in received:
                os.write(descriptor, b"hello %d" % lend.slot)
                os.close(descriptor)
            assert [desk.client(number).recv(100) for number in (0, 1)] == [b"hello 0", b"hello 1"]

            desk.spawner.takes(worker)
            desk.spawner.closes(worker, *process(worker).lends)
            assert len(desk.table) == 0
        finally:
            desk.close()


class TestWhenEmpty:
    def test_nothing_waits(self, desk: Desk) -> None:
        """It fires at once."""
        desk.worker()

        assert desk.dispatcher.when_empty().called

    def test_connections_wait(self, desk: Desk) -> None:
        """It fires when the last one was taken by its worker, not when it was sent."""
        worker = desk.worker()
        desk.arrive(FULL + 1)
        empty = desk.dispatcher.when_empty()
        desk.spawner.takes(worker)
        assert not empty.called

        desk.spawner.takes(worker)
        assert empty.called

    def test_connection_comes_back(self, desk: Desk) -> None:
        """One that the worker could not take waits for another turn."""
        worker, other = desk.workers(2)
        desk.arrive(1)
        empty = desk.dispatcher.when_empty()
        channel_of(other).error = errno.EAGAIN
        desk.spawner.releases(worker, *process(worker).lends)
        assert not empty.called

    def test_no_worker_is_left(self, desk: Desk) -> None:
        """It fires: nobody will take what waits."""
        worker = desk.worker()
        desk.arrive(1)
        empty = desk.dispatcher.when_empty()
        desk.spawner.exits(worker)

        assert empty.called

    def test_asked_twice(self, desk: Desk) -> None:
        """Everybody who asked is told."""
        worker = desk.worker()
        desk.arrive(1)
        both = [desk.dispatcher.when_empty(), desk.dispatcher.when_empty()]
        desk.spawner.takes(worker)

        assert [empty.called for empty in both] == [True, True]


class TestWhenUnneeded:
    """The server stops, and a worker says that it holds nothing."""

    def test_nothing_is_there(self, desk: Desk) -> None:
        """It may leave at once, and gets nothing more."""
        worker = desk.worker()

        assert desk.dispatcher.when_unneeded(worker).called
        assert desk.dispatcher.workers == []

    def test_connection_is_on_its_way_to_it(self, desk: Desk) -> None:
        """It may leave when that is over."""
        worker = desk.worker()
        desk.arrive(1)
        unneeded = desk.dispatcher.when_unneeded(worker)
        desk.spawner.takes(worker)
        assert not unneeded.called

        desk.spawner.closes(worker, *process(worker).lends)
        assert unneeded.called

    def test_something_waits(self, desk: Desk) -> None:
        """What cannot be lent just now will be lent to somebody: it stays for that."""
        worker = desk.worker()
        channel_of(worker).error = errno.EAGAIN
        desk.arrive(1)
        unneeded = desk.dispatcher.when_unneeded(worker)
        assert not unneeded.called

        channel_of(worker).error = 0
        desk.clock.advance(RETRY_SECONDS)
        assert lent(worker) == [0]

    def test_another_one_gives_back_late(self, desk: Desk) -> None:
        """A connection that a worker released just before it heard of the end is the other's."""
        late, idle = desk.workers(2)
        desk.arrive(1)
        desk.spawner.takes(late)
        unneeded = desk.dispatcher.when_unneeded(idle)
        assert not unneeded.called

        late.state = WorkerState.DRAINING
        desk.dispatcher.dismiss(late)
        desk.spawner.releases(late, *process(late).lends)
        assert held(desk, idle) == [0]
        desk.spawner.takes(idle)
        desk.spawner.closes(idle, *process(idle).lends)
        assert unneeded.called

    def test_another_one_dies(self, desk: Desk) -> None:
        """What it held goes on with the one that is left."""
        dying, idle = desk.workers(2)
        desk.arrive(1, tcp)
        desk.spawner.takes(dying)
        unneeded = desk.dispatcher.when_unneeded(idle)
        desk.spawner.exits(dying)

        assert held(desk, idle) == [0]
        assert not unneeded.called

    def test_it_dies_itself(self, desk: Desk) -> None:
        """Nobody waits for the answer any more."""
        dying, other = desk.workers(2)
        desk.arrive(1)
        desk.spawner.takes(dying)
        unneeded = desk.dispatcher.when_unneeded(other)
        desk.spawner.exits(other)
        desk.spawner.closes(dying, *process(dying).lends)

        assert not unneeded.called

    def test_connection_is_to_be_parked(self, desk: Desk) -> None:
        """Nobody parks any more: it is lent, and ends with a worker as every idle one does."""
        worker = desk.worker()
        desk.arrive(1)
        desk.spawner.takes(worker)
        desk.dispatcher.when_empty()
        (lend,) = process(worker).lends
        desk.spawner.reports(worker, Report(Kind.PARKED, lend.slot, lend.sequence))

        assert lent(worker) == [0, 0]
