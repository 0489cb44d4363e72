"""The claims of twistcorn.master.sockets.backlog and the dispatcher: requests for which every thread was busy."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.master.stage import Desk, process, tcp
from twistcorn.master.sockets.backlog import SWEEP_SECONDS, THREAD_CHECK_SECONDS
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.wire.channel import HOPPED, Kind, Report, pack_reports
from twistcorn.wire.scoreboard import H_QUEUED, S_QUEUED, W_INCOMING

THREADS = 2


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Workers of two threads; a test's parameter holds other settings."""
    made = Desk(threads=THREADS, **getattr(request, "param", {}))
    yield made
    made.close()


def fill(desk: Desk, *workers: Worker) -> None:
    """Every thread of these workers is busy."""
    for worker in workers:
        desk.busy(worker, THREADS)


def give_back(desk: Desk, worker: Worker, kind: Kind = Kind.WAITS, waited: float = 0.002) -> int:
    """A request arrives at a worker, which gives it back; returns its slot."""
    (connection,) = desk.file(1, tcp)
    desk.client(-1).sendall(b"GET / HTTP/1.1\r\n\r\n")
    others = [other for other in desk.dispatcher.workers if other is not worker]
    for other in others:
        other.state = WorkerState.DRAINING
    desk.dispatcher.connection_arrived([connection])
    for other in others:
        other.state = WorkerState.READY
    desk.spawner.takes(worker)
    lend = process(worker).lends[-1]
    since = int((time.monotonic() - waited) * 1e9)
    desk.board.words[desk.board.slot_base(lend.slot) + S_QUEUED] = since
    desk.spawner.reports(worker, Report(kind, lend.slot, lend.sequence))
    return lend.slot


def credit(desk: Desk, worker: Worker) -> None:
    """A worker tells that a thread is free."""
    desk.busy(worker, THREADS - 1)
    desk.dispatcher.handle_report(worker, pack_reports([Report(Kind.CREDIT, 0, 0)]))


def status(client: socket.socket) -> int:
    """Of the answer that a client has got."""
    return int(client.recv(1000).split(b" ")[1])


class TestRequests:
    def test_a_thread_is_free_elsewhere(self, desk: Desk) -> None:
        """The request goes there, and its lend says that it has waited."""
        full, free = desk.workers(2)
        fill(desk, full)
        slot = give_back(desk, full)

        assert [(lend.slot, lend.flags) for lend in process(free).lends] == [(slot, HOPPED)]
        assert desk.board.words[H_QUEUED] == 0

    def test_threads_are_all_busy(self, desk: Desk) -> None:
        """It waits in the master, and the workers can see that."""
        workers = desk.workers(2)
        fill(desk, *workers)
        give_back(desk, workers[0])

        assert desk.dispatcher.waiting == desk.board.words[H_QUEUED] == 1
        assert [process(worker).lends for worker in workers] == [[], []]

    def test_a_thread_gets_free(self, desk: Desk) -> None:
        """The worker that tells so gets the request that has waited for longest; the others wait on."""
        first, second = desk.workers(2)
        fill(desk, first, second)
        give_back(desk, first, waited=0.01)
        oldest = give_back(desk, first, waited=0.5)
        credit(desk, second)

        assert [lend.slot for lend in process(second).lends] == [oldest]
        assert desk.board.words[H_QUEUED] == 1

    def test_nobody_tells(self, desk: Desk) -> None:
        """The scoreboard is looked at every now and then."""
        first, second = desk.workers(2)
        fill(desk, first, second)
        slot = give_back(desk, first)
        desk.busy(second, 0)
        desk.clock.advance(THREAD_CHECK_SECONDS)

        assert [lend.slot for lend in process(second).lends] == [slot]
        assert desk.clock.getDelayedCalls() == []

    def test_thread_is_promised(self, desk: Desk) -> None:
        """A lend on its way takes a thread: the next request waits, and other workers see the promise."""
        full, other = desk.workers(2)
        fill(desk, full)
        desk.busy(other, THREADS - 1)
        give_back(desk, full)
        give_back(desk, full)

        assert len(process(other).lends) == 1
        assert desk.board.words[H_QUEUED] == 1
        assert desk.board.words[desk.board.worker_base(other.region) + W_INCOMING] == 1
        fill(desk, other)
        desk.spawner.takes(other)
        assert desk.board.words[desk.board.worker_base(other.region) + W_INCOMING] == 0

    def test_new_worker(self, desk: Desk) -> None:
        """It gets what waits."""
        (full,) = desk.workers(1)
        fill(desk, full)
        slot = give_back(desk, full)

        assert [lend.slot for lend in process(desk.worker()).lends] == [slot]

    def test_lend_cannot_be_sent(self, desk: Desk) -> None:
        """A worker that dies at that moment loses nothing: the request is lent like any connection."""
        full, dying = desk.workers(2)
        fill(desk, full)
        process(dying).hang_up()
        slot = give_back(desk, full)

        assert [lend.slot for lend in process(full).lends] == [slot]

    @pytest.mark.parametrize("desk", [{"queue_size": 2}], indirect=True)
    def test_queue_is_full(self, desk: Desk) -> None:
        """One too many gets 503 at once."""
        (full,) = desk.workers(1)
        fill(desk, full)
        for _ in range(3):
            give_back(desk, full)

        assert status(desk.client(2)) == 503
        assert desk.dispatcher.waiting == 2

    @pytest.mark.parametrize("desk", [{"queue_timeout": 0.5}], indirect=True)
    def test_it_waited_for_too_long(self, desk: Desk) -> None:
        """503, wherever it waited before."""
        (full,) = desk.workers(1)
        fill(desk, full)
        give_back(desk, full, waited=0.6)
        desk.clock.advance(THREAD_CHECK_SECONDS)

        assert status(desk.client(0)) == 503
        assert desk.dispatcher.waiting == desk.board.words[H_QUEUED] == 0

    def test_worker_refuses(self, desk: Desk) -> None:
        """503 by the master, when a worker says so."""
        (full,) = desk.workers(1)
        give_back(desk, full, Kind.REFUSED)

        assert status(desk.client(0)) == 503

    def test_server_stops(self, desk: Desk) -> None:
        """It is answered first."""
        full, other = desk.workers(2)
        fill(desk, full, other)
        give_back(desk, full)
        fired: list[None] = []
        desk.dispatcher.when_empty().addCallback(fired.append)
        assert fired == []

        credit(desk, other)
        desk.spawner.takes(other)
        assert fired == [None]


class TestConnections:
    """No worker is there to take any."""

    @pytest.mark.parametrize("desk", [{"queue_timeout": 5.0}], indirect=True)
    def test_nobody_comes(self, desk: Desk) -> None:
        """Who asks gets 503 when its patience is over; who does not ask waits on."""
        desk.arrive(2, tcp)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n\r\n")
        for connection in desk.table:
            connection.since -= 4.0
        desk.clock.advance(SWEEP_SECONDS)
        assert desk.dispatcher.waiting == 2

        for connection in desk.table:
            connection.since -= 2.0
        desk.clock.advance(SWEEP_SECONDS)
        assert status(desk.client(0)) == 503
        assert desk.dispatcher.waiting == 1
        assert [lend.slot for lend in process(desk.worker()).lends] == [1]

    def test_worker_had_it_for_long(self, desk: Desk) -> None:
        """A connection that comes back from the dead has waited since then, not since it came."""
        (connection,) = desk.arrive(1, tcp)
        connection.since -= 3600.0
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n\r\n")
        worker = desk.worker()
        desk.spawner.takes(worker)
        desk.spawner.exits(worker, signal=signal.SIGKILL)
        desk.clock.advance(SWEEP_SECONDS)

        assert desk.dispatcher.waiting == 1
        assert not desk.dispatcher.answers.sent

    @pytest.mark.parametrize("desk", [{"queue_size": 2}], indirect=True)
    def test_too_many_come(self, desk: Desk) -> None:
        """The first ones wait, the others get 503; idle ones do not count."""
        desk.arrive(5, tcp)
        for number in (0, 2, 3, 4):
            desk.client(number).sendall(b"GET / HTTP/1.1\r\n\r\n")
        desk.clock.advance(SWEEP_SECONDS)

        assert [status(desk.client(number)) for number in (3, 4)] == [503, 503]
        assert [lend.slot for lend in process(desk.worker()).lends] == [0, 1, 2]
