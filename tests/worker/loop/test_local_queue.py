"""The claims of twistcorn.worker.loop.local_queue: which requests wait for a thread here, and which ones go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, head, post
from tests.http.served import AtOnce, Client, Served
from tests.worker.apps import Start
from twistcorn.wire.channel import HOPPED, Kind
from twistcorn.wire.scoreboard import (
    H_QUEUED,
    H_REGIONS,
    S_QUEUED,
    W_BUSY,
    W_HOPS,
    W_INCOMING,
    W_THREADS,
    Scoreboard,
)
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.local_queue import HOP_AFTER_SECONDS, spare_threads, waiting_in_all
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.turns.routes import Route

THREADS = 2


class ByHand(AtOnce):
    """Turns that run when the test says so, on a given number of threads."""

    def take(self, connection: Connection, seat: Seat) -> None:
        self._submit(connection, seat, Route())

    def run(self) -> None:
        """A thread takes the next turn."""
        self._run_pooled(self._queue.popleft(), self._other)


class Worker(Served):
    """A worker whose turns run by hand, next to another worker on the scoreboard.

    :ivar environs: of all requests that ran.
    """

    def __init__(self, **settings: Any) -> None:
        self.environs: list[dict[str, Any]] = []
        self.now = 1000.0
        board = Scoreboard.create(2, 64)
        settings = {"threads": THREADS, "workers": 2, **settings}
        super().__init__(self._app, replace(DEFAULTS, **settings), board=board, turns=ByHand)
        self.waiting._now = lambda: self.now
        self.other = board.worker_base(1)
        board.words[H_REGIONS] = 2
        self.set_other(THREADS, 0)
        self.clients = 0
        self.sweeps = self.reactor.getDelayedCalls()

    def _app(self, environ: dict[str, Any], start_response: Start) -> Any:
        self.environs.append(environ)
        start_response("200 OK", [])
        return [b"hello"]

    def set_other(self, threads: int, busy: int, incoming: int = 0) -> None:
        """Set the load of the other worker."""
        for word, value in ((W_THREADS, threads), (W_BUSY, busy), (W_INCOMING, incoming)):
            self.board.words[self.other + word] = value

    def ask(self, count: int = 1, request: bytes = head()) -> list[Client]:
        """Connect clients, each with a request."""
        clients = []
        for _ in range(count):
            clients.append(self.connect(self.clients))
            self.clients += 1
            self.send(clients[-1], request)
        return clients

    def wait(self, seconds: float = 2 * HOP_AFTER_SECONDS) -> None:
        """Time passes."""
        self.now += seconds
        self.reactor.advance(HOP_AFTER_SECONDS)
        self.run()

    def given_back(self) -> list[tuple[Kind, int]]:
        """Kind and slot of each report."""
        return [(kind, slot) for kind, slot, _ in self.reports]

    @property
    def hand(self) -> ByHand:
        """Its turns."""
        assert isinstance(self.turns, ByHand)
        return self.turns


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker of two threads; a test's parameter holds other settings."""
    made = Worker(**getattr(request, "param", {}))
    yield made
    made.set_other(0, 0)
    while made.hand._queue:
        made.hand.run()
    made.close()


class TestRules:
    def test_spare_threads(self) -> None:
        """Free, not spoken for, and not needed by requests that wait in the master."""
        assert spare_threads([(8, 3, 0), (8, 9, 0), (8, 6, 1), (0, 0, 0)], 0) == 6
        assert spare_threads([(8, 3, 0)], 4) == 1
        assert spare_threads([], 0) == 0

    def test_waiting_in_all(self) -> None:
        """More requests than threads, in all workers; a draining worker counts for nothing."""
        assert waiting_in_all([(8, 11, 0), (8, 2, 5), (0, 4, 0)], 2) == 5


class TestWait:
    def test_threads_are_free(self, worker: Worker) -> None:
        """Nothing is noted and no timer runs."""
        worker.ask(THREADS)
        worker.wait()

        assert worker.reports == []
        assert worker.reactor.getDelayedCalls() == worker.sweeps

    def test_thread_is_free_elsewhere(self, worker: Worker) -> None:
        """After a short time the request goes there, with its age; until then it stays."""
        worker.ask(THREADS + 1)
        worker.wait(HOP_AFTER_SECONDS / 2)
        assert worker.reports == []

        worker.wait()
        assert worker.given_back() == [(Kind.WAITS, THREADS)]
        slot = worker.board.slot_base(THREADS)
        assert worker.board.words[slot + S_QUEUED] == 1000 * 10**9
        assert worker.count(W_HOPS) == 1

    def test_worker_comes_while_the_numbers_are_read(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is seen the next time: the checks go on."""
        column = Scoreboard.column

        def admitting(board: Scoreboard, word: int) -> list[int]:
            board.words[H_REGIONS] += word == W_INCOMING and board.words[H_REGIONS] < 2
            return column(board, word)

        worker.ask(THREADS + 1)
        worker.board.words[H_REGIONS] = 1
        monkeypatch.setattr(Scoreboard, "column", admitting)
        worker.wait(HOP_AFTER_SECONDS)
        worker.wait()
        assert [kind for kind, _ in worker.given_back()] == [Kind.WAITS]

    def test_oldest_goes_first(self, worker: Worker) -> None:
        """Only as many go as there are threads elsewhere."""
        worker.ask(THREADS + 5)
        worker.wait()

        assert worker.given_back() == [(Kind.WAITS, THREADS), (Kind.WAITS, THREADS + 1)]

    @pytest.mark.parametrize("busy", [(THREADS, THREADS, 0), (THREADS, 0, THREADS), (0, 0, 0)])
    def test_no_thread_is_free_elsewhere(self, worker: Worker, busy: tuple[int, int, int]) -> None:
        """It stays, while the other is busy, or has a request on its way, or takes none."""
        worker.set_other(*busy)
        worker.ask(THREADS + 1)
        worker.wait()

        assert worker.reports == []

    def test_others_wait_with_the_master(self, worker: Worker) -> None:
        """The free threads are for those."""
        worker.board.words[H_QUEUED] = THREADS
        worker.ask(THREADS + 1)
        worker.wait()

        assert worker.reports == []

    def test_thread_takes_it_first(self, worker: Worker) -> None:
        """Then it is answered here, and knows how long it waited."""
        worker.set_other(THREADS, THREADS)
        clients = worker.ask(THREADS + 1)
        worker.wait(0.25)
        worker.set_other(THREADS, 0)
        for _ in range(THREADS + 1):
            worker.hand.run()
        worker.wait()

        assert worker.reports == []
        assert [len(client.answers()) for client in clients] == [1] * (THREADS + 1)
        assert [environ["twistcorn.queue_time"] > 0 for environ in worker.environs] == [False, False, True]
        assert sum(worker.totals.queue) == 1
        assert worker.totals.queue_sum == pytest.approx(worker.environs[-1]["twistcorn.queue_time"], abs=1e-3)

    def test_it_was_released_first(self, worker: Worker) -> None:
        """It is not in this worker any more, and no thread comes for it."""
        worker.ask(THREADS + 1)
        worker.wait()
        assert worker.count(W_BUSY) == THREADS
        for _ in range(THREADS):
            worker.hand.run()

        assert len(worker.environs) == THREADS
        assert worker.count(W_BUSY) == 0

    def test_it_is_released_as_a_thread_comes(self, worker: Worker) -> None:
        """The thread leaves it alone, and it is counted no longer, once."""
        worker.ask(THREADS + 1)
        last = worker.hand._queue.pop()
        worker.wait()
        worker.hand._run_pooled(last, worker.hand._other)
        for _ in range(THREADS):
            worker.hand.run()

        assert len(worker.environs) == THREADS
        assert worker.count(W_BUSY) == 0

    def test_body_was_taken(self, worker: Worker) -> None:
        """No other worker can read it: it stays, and the next one goes."""
        worker.ask(THREADS)
        (client,) = worker.ask(1, post(b"Content-Length: 5", body=b"he"))
        worker.send(client, b"llo")
        worker.ask()
        worker.wait()

        assert worker.given_back() == [(Kind.WAITS, THREADS + 1)]

    def test_worker_drains(self, worker: Worker) -> None:
        """Requests do not wait for its threads."""
        worker.set_other(THREADS, THREADS)
        worker.ask(THREADS + 2)
        worker.poller.custody.drain()
        worker.wait()

        assert worker.given_back() == [(Kind.RELEASED, THREADS), (Kind.RELEASED, THREADS + 1)]

    def test_it_has_waited_elsewhere(self, worker: Worker) -> None:
        """It is the next one, it stays, and its age is counted from its beginning."""
        worker.ask(THREADS + 1)
        worker.board.words[worker.board.slot_base(9) + S_QUEUED] = 1
        client = worker.connect(9, HOPPED)
        worker.send(client, head())
        worker.wait()
        assert worker.given_back() == [(Kind.WAITS, THREADS)]

        worker.hand.run()
        assert len(client.answers()) == 1
        assert worker.environs[0]["twistcorn.queue_time"] > 1
        assert worker.totals.queue_sum > 1


class TestBounds:
    @pytest.mark.parametrize("worker", [{"queue_size": 4}], indirect=True)
    def test_too_many_wait(self, worker: Worker) -> None:
        """In all workers together and in the master: the next one is the master's to refuse, and never runs."""
        worker.set_other(THREADS, THREADS + 1)
        worker.board.words[H_QUEUED] = 1
        worker.ask(THREADS + 2)
        assert worker.reports == []

        worker.ask()
        assert worker.given_back() == [(Kind.REFUSED, THREADS + 2)]
        assert len(worker.hand._queue) == THREADS + 2

    @pytest.mark.parametrize("worker", [{"queue_size": 20}], indirect=True)
    def test_many_come_at_once(self, worker: Worker) -> None:
        """A worker counts over all workers only now and then, and yet the queue keeps its bound."""
        worker.set_other(THREADS, THREADS)
        worker.ask(THREADS + 20)
        assert worker.reports == []

        worker.ask(2)
        assert [kind for kind, _ in worker.given_back()] == [Kind.REFUSED] * 2

    @pytest.mark.parametrize("worker", [{"queue_timeout": 1.0}], indirect=True)
    def test_it_waits_for_too_long(self, worker: Worker) -> None:
        """The master refuses it, also one whose body was taken."""
        worker.set_other(THREADS, THREADS)
        worker.ask(THREADS)
        (client,) = worker.ask(1, post(b"Content-Length: 5", body=b"he"))
        worker.send(client, b"llo")
        worker.ask()
        worker.wait(1.1)

        assert worker.given_back() == [(Kind.REFUSED, THREADS), (Kind.REFUSED, THREADS + 1)]


class TestCredit:
    def test_requests_wait_with_the_master(self, worker: Worker) -> None:
        """Each turn that leaves a thread free says so."""
        worker.board.words[H_QUEUED] = 1
        worker.ask(THREADS + 1)
        worker.hand.run()
        assert worker.credits == 0

        worker.hand.run()
        assert worker.credits == 1

    def test_nothing_waits(self, worker: Worker) -> None:
        """Nothing is said."""
        worker.ask()
        worker.hand.run()

        assert worker.credits == 0


