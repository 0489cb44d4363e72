"""One exception strands no other connection: an internal error, wherever several wait, is logged and costs one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from twisted.logger import LogEvent, capturedLogs

from tests.http.cases import head, post
from tests.http.served import Client, Clock, Served
from tests.worker.crew import Crew, Held, Job
from tests.worker.loop.test_local_queue import THREADS, Worker
from twistcorn.wire.channel import Kind, Lend
from twistcorn.worker.http.spool import Store
from twistcorn.worker.loop import custody, sweeping
from twistcorn.worker.loop.connection import Connection
from twistcorn.worker.loop.phases import Phase
from twistcorn.worker.loop.seats import Seat
from twistcorn.worker.loop.sweeping import LOST_SWEEPS, SWEEP_SECONDS
from twistcorn.worker.process import failing
from twistcorn.worker.turns.threads import Threads

Serve = Callable[..., tuple[Served, Client]]


class Fault(Exception):
    """What goes wrong."""


class Ended(Exception):
    """The worker ends."""


def once(real: Callable[..., Any], when: Callable[..., bool] = lambda *args: True) -> Callable[..., Any]:
    """A function that fails the first time that this is true."""
    left = [1]

    def function(*args: Any, **more: Any) -> Any:
        if left and when(*args):
            left.clear()
            raise Fault
        return real(*args, **more)

    return function


@contextmanager
def told(count: int = 1) -> Iterator[Sequence[LogEvent]]:
    """Check that this number of internal errors is logged."""
    with capturedLogs() as events:
        yield events
    errors = [event for event in events if event["log_level"].name == "critical"]
    assert len(errors) == count, [event["log_format"] for event in events]


def is_over(client: Client) -> bool:
    """Whether the connection has ended, with no answer."""
    try:
        return client.read() == b"" and client.closed
    except ConnectionResetError:
        return True


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the worker would have ended."""
    said: list[str] = []

    def fail(what: str, *rest: object) -> None:
        said.append(what)
        raise Ended(what)

    monkeypatch.setattr(failing, "fail", fail)
    return said


class TestWaiting:
    """Requests that wait for a thread."""

    @pytest.fixture
    def worker(self) -> Iterator[Worker]:
        made = Worker()
        yield made
        made.set_other(0, 0)
        while made.hand._queue:
            made.hand.run()
        made.close()

    def test_one_cannot_be_given_back(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """That one ends; those behind it go where there is a thread."""
        monkeypatch.setattr(worker.waiting, "_hand_over", once(worker.poller.custody.give_back))
        clients = worker.ask(THREADS + 2)
        with told():
            worker.wait()
        assert worker.given_back() == [(Kind.CLOSED, THREADS), (Kind.WAITS, THREADS + 1)]
        assert is_over(clients[THREADS])

    def test_look_fails(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next one comes, and does what this one should have done."""
        monkeypatch.setattr(worker.waiting, "_spare", once(worker.waiting._spare))
        worker.ask(THREADS + 1)
        with told():
            worker.wait()
        assert worker.reports == []
        worker.wait()
        assert worker.given_back() == [(Kind.WAITS, THREADS)]

    def test_timer_is_refused(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """A timer that was not set does not count as set."""
        monkeypatch.setattr(worker.waiting, "_clock", clock := type("", (), {})())
        clock.callLater = once(worker.reactor.callLater)
        with told():
            worker.ask(THREADS + 1)
        assert not worker.waiting._ticking
        worker.ask(1)
        assert worker.waiting._ticking


class TestTurns:
    def test_look_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Requests that wait for threads are checked again."""
        crew = Crew(2, "pool")
        try:
            one, two = Held(), Job()
            crew.take(one)
            one.until_runs()
            turns = crew.turns
            with turns._lock:
                route = turns._routes.find(one.line)
                assert not route.waits
            crew.take(two)
            crew.until(lambda: bool(crew.loop.later))
            monkeypatch.setattr(Threads, "staff", once(Threads.staff))
            with told():
                crew.loop.tick()
                crew.until(lambda: bool(crew.loop.later))
            crew.loop.tick()
            two.wait()
            one.end()
        finally:
            crew.close()


class TestAnswers:
    """Answers that are sent together."""

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_one_cannot_be_sent(self, serve: Serve, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
        """The others are."""
        served, first = serve()
        clients = [first, served.connect(1), served.connect(2)]
        real = Connection.send_answer
        monkeypatch.setattr(Connection, "send_answer", once(real, lambda connection, _: connection.slot == which))
        for client in clients:
            client.sock.sendall(head())
        with told():
            served.run()
        assert [kind for kind, *_ in served.reports] == [Kind.CLOSED]
        assert is_over(clients.pop(which))
        assert [len(client.answers()) for client in clients] == [1, 1]

    def test_access_log_fails(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that closes is given up all the same, and completely."""
        served, client = serve()
        log: Any = type("", (), {"finished": once(lambda connection: None)})()
        served.poller.custody.access = log
        client.sock.sendall(head(b"Connection: close"))
        with told():
            served.run()
        assert [kind for kind, *_ in served.reports] == [Kind.CLOSED]
        assert served.connections() == []

    def test_end_fails_as_well(self, serve: Serve, monkeypatch: pytest.MonkeyPatch, ends: list[str]) -> None:
        """The worker ends: it must not seem to serve a connection that it has lost."""
        served, client = serve()
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "send_answer", once(Connection.send_answer))
            patched.setattr(served.poller.custody, "close", once(served.poller.custody.close))
            client.sock.sendall(head())
            with told(), pytest.raises(Ended):
                served.run()
        assert ends == ["it cannot close a connection"]


class TestSweep:
    """The check of all connections."""

    @pytest.mark.parametrize(("place", "seconds"), [("relieve", 5.0), ("has_bytes", 11.0)])
    def test_one_cannot_be_looked_at(
        self, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch, place: str, seconds: float
    ) -> None:
        """It closes; the time-outs of the others hold, also at later checks."""
        served, client = serve()
        other = served.connect(1)
        for each in (client, other):
            served.send(each, b"GET / HT")
        monkeypatch.setattr(sweeping, place, once(getattr(sweeping, place)))
        with told():
            clock.pass_by(served, seconds)
        assert is_over(client)
        clock.pass_by(served, 11.0 - seconds)
        assert [answer.status for answer in other.answers()] == [408]

    def test_one_cannot_be_parked(self, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """The others are."""
        served, client = serve()
        other = served.connect(1)
        for each in (client, other):
            served.send(each, head())
        monkeypatch.setattr(sweeping, "leaving", lambda connections, *rest: list(connections))
        monkeypatch.setattr(served.poller.custody, "give_back", once(served.poller.custody.give_back))
        with told():
            clock.pass_by(served, 1.0)
        assert [(kind, slot) for kind, slot, _ in served.reports] == [(Kind.CLOSED, 0), (Kind.PARKED, 1)]

    def test_body_cannot_be_let_go(self, serve: Serve, clock: Clock) -> None:
        """Its connection ends all the same."""
        served, client = serve()
        served.send(client, post(b"Content-Length: 99", body=b"x"))
        (connection,) = served.connections()
        connection.body.store.drop = once(connection.body.store.drop)
        with told():
            clock.pass_by(served, 31.0)
        assert served.connections() == []
        assert is_over(client)


class TestAdopt:
    """A connection that arrives."""

    @pytest.mark.parametrize("place", ["take_descriptor", "arrived"])
    def test_fault(self, serve: Serve, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        """Nothing of it stays: no descriptor, no record; the next one is served."""
        served, client = serve()
        ours, server = socket.socketpair()
        number = server.detach()
        if place == "take_descriptor":
            monkeypatch.setattr("twistcorn.worker.loop.parting.socket.socket", once(socket.socket))
        else:
            monkeypatch.setattr(custody, place, once(getattr(custody, place)))
        with ours:
            with pytest.raises(Fault):
                served.poller.custody.adopt(number, Lend(1, 9, 0))
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(number)
            assert ours.recv(1) == b""
        assert len(served.connections()) == 1
        served.send(client, head())
        assert len(client.answers()) == 1
        assert served.connect(2).closed is False

    def collide(self, served: Served) -> tuple[socket.socket, socket.socket]:
        """The application closes the descriptor of the connection, and the kernel gives its number to another."""
        (connection,) = served.connections()
        number = connection.stream.sock.fileno()
        # The master has a copy of each.
        kept = socket.socket(fileno=os.dup(number))
        ours, server = socket.socketpair()
        server.setblocking(False)
        with server:
            os.dup2(server.fileno(), number)
        try:
            served.poller.custody.adopt(number, Lend(1, 9, 0))
        except Ended:
            connection.stream.sock.detach()
            kept.close()
            ours.close()
            raise
        return kept, ours

    def test_number_is_filed(self, serve: Serve) -> None:
        """The old connection is gone and reported to the master; the new one is served."""
        served, client = serve()
        with capturedLogs() as events:
            kept, ours = self.collide(served)
        with kept, ours:
            assert "a client connection; that client is disconnected" in events[0]["log_format"]
            assert served.reports == [(Kind.CLOSED, 0, 1)]
            ours.sendall(head())
            served.run()
            assert ours.recv(12) == b"HTTP/1.1 200"
        assert is_over(client)

    def test_a_thread_is_at_it(self, serve: Serve, ends: list[str]) -> None:
        """It may be about to answer on that number: the worker ends."""
        served, _ = serve()
        (connection,) = served.connections()
        connection.phase = Phase.TURN
        with pytest.raises(Ended):
            self.collide(served)
        assert "a client connection" in ends[0]
        served.poller.holdings.connections.clear()


class TestLostTurns:
    """A request that no thread has, and none is coming for."""

    def lose(self, served: Served, monkeypatch: pytest.MonkeyPatch, how: Callable[..., None]) -> None:
        monkeypatch.setattr(served.poller.rounds, "_take", how)

    def looks(self, served: Served, count: int) -> None:
        for _ in range(count):
            served.reactor.advance(SWEEP_SECONDS)
            served.run()

    def test_it_is_found(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """The request is logged by name, and its connection closed; the others go on."""
        served, client = serve()
        other = served.connect(1)
        served.send(client, head())
        self.lose(served, monkeypatch, lambda connection, seat: None)
        served.send(client, head())
        self.looks(served, LOST_SWEEPS - 1)
        assert not served.reports
        with told() as events:
            self.looks(served, 1)
        assert events[0]["name"] == "GET /"
        assert served.reports == [(Kind.CLOSED, 0, 1)]
        monkeypatch.undo()
        served.send(other, head())
        assert len(other.answers()) == 1

    def test_thread_breaks(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """An internal error around a turn: the thread goes on, the request is found, the count is right."""
        served, client = serve()
        turns = served.turns

        def pooled(connection: Connection, seat: Seat) -> None:
            turns._running += 1
            turns._run_pooled(connection, turns._other)

        self.lose(served, monkeypatch, pooled)
        monkeypatch.setattr(turns._server, "serve", once(turns._server.serve))
        with told(2):
            served.send(client, head())
            assert turns._running == 0
            self.looks(served, LOST_SWEEPS)
        assert served.reports == [(Kind.CLOSED, 0, 1)]

    def test_it_waits(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """For a thread, however long: it is not lost."""
        served, client = serve()
        self.lose(served, monkeypatch, lambda connection, seat: served.turns._queue.append(connection))
        served.send(client, head())
        self.looks(served, 3 * LOST_SWEEPS)
        assert served.reports == []
        served.turns._running += 1
        served.turns._run_pooled(served.turns._queue.popleft(), served.turns._other)
        served.run()
        assert len(client.answers()) == 1

    def test_it_runs(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the application, however long: it is not lost."""
        looked: list[int] = []

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            for _ in range(3 * LOST_SWEEPS):
                served.poller.sweeper.sweep()
                looked.append(1)
            start_response("200 OK", [])
            return [b"hello"]

        served, client = serve(application)
        served.send(client, head())
        assert len(looked) == 3 * LOST_SWEEPS
        assert len(client.answers()) == 1


class TestTail:
    """The steps after the application has answered."""

    @pytest.mark.parametrize("mode", ["inline", "pool"])
    @pytest.mark.parametrize("place", ["body", "access", "answered", "credit"])
    def test_fault(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, place: str, mode: str
    ) -> None:
        """Whatever fails there: the connection is given on or ended, and no thread is counted as busy for ever."""
        monkeypatch.setattr("tests.http.served.MODE", mode)
        served, client = serve()
        service: Any = served.turns._server
        data = head()
        if place == "body":
            real = Store.close_body

            def finish(store: Store) -> Any:
                made: Any = real(store)
                if not isinstance(made, bytes):
                    request.addfinalizer(made.drop)
                    made.drop = once(made.drop)
                return made

            monkeypatch.setattr(Store, "close_body", finish)
            data = post(b"Content-Length: %d" % (2 << 20), body=b"x" * (2 << 20))
        elif place == "access":
            service.access = type("", (), {"log_request": once(lambda *args: None)})()
        elif place == "answered":
            monkeypatch.setattr(service, "answered", once(service.answered))
        else:
            monkeypatch.setattr(service, "report_free_thread", once(service.report_free_thread))
        with capturedLogs():
            client.sock.settimeout(10)
            send_all(served, client, data)
        assert [connection.phase for connection in served.connections()] != [Phase.TURN]
        assert served.turns._running == 0
        if place != "answered":
            send_all(served, client, head())
            assert len(client.answers()) == 2


def send_all(served: Served, client: Client, data: bytes) -> None:
    """However much it is."""
    client.sock.setblocking(False)
    while data:
        with suppress(BlockingIOError):
            data = data[client.sock.send(data) :]
        served.run()
