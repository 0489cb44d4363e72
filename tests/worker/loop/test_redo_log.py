"""The redo log of a connection: what its slot says before a byte is taken or sent, and in which order it ends.

The master reads a slot after a worker's death; each order here is a case in which it would otherwise answer twice, or
never.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, NEXT, chunked, head, post
from tests.worker.apps import Body, Start, app
from tests.worker.recorders import Recorded
from twistcorn.settings import Settings
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import SlotState
from twistcorn.worker.wsgi.call import Application

pytestmark = pytest.mark.usefixtures("mode")

HELLO = app([b"hello"])
#: In a slot, not about the streams.
ASIDE = ("since", "thread", "deadline")
#: One request, from its peek to the next one.
ANSWER = ["IN_APP", "written0", "written_end", "consume_to", "RESPONDING", "send", "take"]
ENDING = ["unregister", "shutdown", "close", "report"]
IDLE = ["consumed0", "written_end", "IDLE"]

Record = Callable[..., Recorded]
#: The client's end and the master's copy of the server's.
Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def record() -> Iterator[Record]:
    made: list[Recorded] = []

    def make(application: Application = HELLO, settings: Settings = DEFAULTS) -> Recorded:
        made.append(Recorded(application, settings))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def last(worker: Recorded, verb: str) -> Any:
    return worker.entries(verb)[-1][1]


class TestAnswer:
    def test_request_is_answered(self, record: Record) -> None:
        """Offsets, RESPONDING, the answer, the request's bytes, IDLE: in this order."""
        worker = record()
        client = worker.connect()
        request = head()
        worker.send(client, request)

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE]
        size = len(client.read())
        assert worker.entries("written0", "written_end", "consume_to", "take", "send") == [
            ("written0", 0),
            ("written_end", size),
            ("consume_to", len(request)),
            ("send", size),
            ("take", len(request)),
            ("written_end", size),
        ]
        assert last(worker, "consumed0") == len(request)

    def test_second_request(self, record: Record) -> None:
        """Its offsets go on from the first's."""
        worker = record()
        client = worker.connect()
        worker.send(client, head())
        first = len(client.read())
        worker.journal.clear()
        worker.send(client, NEXT)

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE]
        assert worker.entries("written0", "written_end", "consume_to")[:3] == [
            ("written0", first),
            ("written_end", len(client.read())),
            ("consume_to", len(head()) + len(NEXT)),
        ]

    def test_pipelined_requests(self, record: Record) -> None:
        """Each takes its own bytes, behind its own log."""
        worker = record()
        client = worker.connect()
        worker.send(client, head() + NEXT)

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE, *ANSWER, *IDLE]
        assert worker.entries("take") == [("take", len(head())), ("take", len(NEXT))]

    def test_request_comes_in_pieces(self, record: Record) -> None:
        """Nothing of it is taken until it is answered, and the slot says so."""
        worker = record()
        client = worker.connect()
        worker.send(client, head()[:-5])
        worker.send(client, head()[-5:-2])
        assert worker.journal == [("READING", "")]

        worker.send(client, head()[-2:])
        assert worker.verbs(*ASIDE) == ["READING", *ANSWER, *IDLE]

    @pytest.mark.parametrize(
        "request_", [post(b"Content-Length: 5", body=b"hello"), chunked(b"5\r\nhello\r\n0\r\nX: a\r\n\r\n")]
    )
    def test_body_is_there(self, record: Record, request_: bytes) -> None:
        """It is taken with its head."""
        worker = record()
        client = worker.connect()
        worker.send(client, request_)

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE]
        assert worker.entries("take") == [("take", len(request_))]
        assert {flag for _, flag in worker.entries("IN_APP", "RESPONDING")} == {""}

    @pytest.mark.parametrize(
        ("parts", "takes"),
        [
            ([post(b"Content-Length: 5", body=b"he"), b"llo"], 3),
            ([chunked(b"5\r\nhe"), b"llo\r\n0\r\n\r\n"], 3),
        ],
    )
    def test_body_comes_in_pieces(self, record: Record, parts: list[bytes], takes: int) -> None:
        """It is taken as it arrives, and the slot says so before the first byte is gone: no other worker can answer."""
        worker = record()
        client = worker.connect()
        for part in parts:
            worker.send(client, part)

        journal = [entry for entry in worker.journal if entry[0] not in ASIDE]
        assert journal[0] == ("READING", "consumed")
        assert sum(size for _, size in worker.entries("take")) == sum(map(len, parts))
        assert len(worker.entries("take")) == takes
        assert ("IN_APP", "consumed") in journal
        assert ("RESPONDING", "consumed") in journal
        assert journal[-1] == ("IDLE", "")
        assert last(worker, "consumed0") == sum(map(len, parts))

    def test_interim_answer(self, record: Record) -> None:
        """100 Continue counts in the stream to the client."""
        worker = record()
        client = worker.connect()
        worker.send(client, post(b"Expect: 100-continue", b"Content-Length: 5"))
        interim = len(client.read())
        worker.send(client, b"hello")

        assert worker.entries("written0") == [("written0", interim)]
        assert last(worker, "written_end") == len(client.read())

    def test_length_is_not_known(self, record: Record) -> None:
        """The slot has no end of the answer until only the last chunk is missing, and then the true one."""
        worker = record(app(Body(b"one", b"two")))
        client = worker.connect()
        worker.send(client, head())

        assert worker.verbs(*ASIDE) == [*ANSWER, "send", "written_end", "send", *IDLE]
        assert worker.entries("written_end") == [
            ("written_end", 0),
            *[("written_end", len(client.read()))] * 2,
        ]

    def test_length_is_declared(self, record: Record) -> None:
        """The slot has the end of the answer before the body is produced."""
        worker = record(app(Body(b"one", b"two"), [("Content-Length", "6")]))
        client = worker.connect()
        worker.send(client, head())

        assert {size for _, size in worker.entries("written_end")} == {len(client.read())}

    def test_answer_without_a_body(self, record: Record) -> None:
        """What is declared and not sent does not count."""
        worker = record(app([b""], [("Content-Length", "5")]))
        client = worker.connect()
        worker.send(client, head(line=b"HEAD / HTTP/1.1"))

        assert {size for _, size in worker.entries("written_end")} == {len(client.read())}

    def test_file(self, record: Record, tmp_path: Path) -> None:
        """A file's part counts as the kernel sends it."""
        (tmp_path / "a").write_bytes(b"x" * 10_000)

        def sends(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"]((tmp_path / "a").open("rb"))

        worker = record(sends)
        client = worker.connect()
        worker.send(client, head())

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE]
        assert {size for _, size in worker.entries("written_end")} == {len(client.read())}
        assert client.received.endswith(b"\r\n\r\n" + b"x" * 10_000)

    def test_application_raises(self, record: Record) -> None:
        """Its 500 is an answer like others."""
        worker = record(app(Body(KeyError("a"))))
        client = worker.connect()
        worker.send(client, head())

        assert worker.verbs(*ASIDE)[: len(ANSWER)] == ANSWER

    def test_client_is_slow(self, record: Record) -> None:
        """Unsent bytes are owed: the slot says RESPONDING until all are sent."""
        worker = record(app([b"x" * (4 << 20)]))
        client = worker.connect()
        worker.send(client, head())
        assert "IDLE" not in worker.verbs()
        assert worker.slot().state is SlotState.RESPONDING

        while worker.slot().state is SlotState.RESPONDING:
            client.read()
            worker.run()
        assert worker.entries("IDLE") == [("IDLE", "")]
        assert last(worker, "written_end") == len(client.read())


class TestEnd:
    def test_connection_is_closed(self, record: Record) -> None:
        """CLOSING, then shut down our side, and only when the client has closed: DEL, close, report."""
        worker = record(app([b"hello"], [("Connection", "close")]))
        client = worker.connect()
        worker.send(client, head())
        assert worker.verbs(*ASIDE)[len(ANSWER) :] == ["CLOSING", "shutdown"]

        worker.journal.clear()
        client.sock.close()
        worker.run()
        assert worker.verbs()[-4:] == ENDING
        assert worker.reports == [(Kind.CLOSED, 0, 1)]

    def test_client_has_said_that_it_is_the_last(self, record: Record, mode: str) -> None:
        """Nothing can come that would reset the connection under the answer: the leader closes without waiting."""
        worker = record()
        client = worker.connect()
        worker.send(client, head(b"Connection: close"))

        closed = mode == "inline"
        assert worker.verbs(*ASIDE)[len(ANSWER) :] == ["CLOSING", *(ENDING if closed else ["shutdown"])]
        assert worker.reports == [(Kind.CLOSED, 0, 1)] * closed
        assert client.answers()[0].body == b"hello"

    def test_client_closes(self, record: Record) -> None:
        """An idle connection ends in the same order."""
        worker = record()
        client = worker.connect()
        client.sock.close()
        worker.run()

        assert worker.verbs()[0] == "CLOSING"
        assert worker.verbs()[-4:] == ENDING
        assert {descriptor for _, descriptor in worker.entries("unregister", "close")} == {worker.descriptor}

    def test_request_is_refused(self, record: Record) -> None:
        """CLOSING comes before the refusal: what it refuses is never lent to another worker."""
        worker = record()
        client = worker.connect()
        worker.send(client, head(b"X : a"))

        assert worker.verbs(*ASIDE)[:3] == ["CLOSING", "send", "CLOSING"]
        assert "IDLE" not in worker.verbs()

    def test_client_goes_away_while_an_answer_is_owed(self, record: Record) -> None:
        """The connection ends, and the slot is never idle."""
        worker = record(app([b"x" * (4 << 20)]))
        client = worker.connect()
        worker.send(client, head())
        worker.journal.clear()
        client.sock.close()
        worker.run()

        assert [entry for entry in worker.verbs() if entry in ("IDLE", "CLOSING", "report")] == [
            "CLOSING",
            "report",
        ]


class TestRelease:
    @pytest.fixture
    def ends(self) -> Iterator[Ends]:
        """Both ends of a connection, the server's as the master keeps it."""
        ours, masters = socket.socketpair()
        masters.setblocking(False)
        with ours, masters:
            yield ours, masters

    def lent(self, worker: Recorded, masters: socket.socket) -> None:
        worker.lend(socket.socket(fileno=os.dup(masters.fileno())))

    @pytest.mark.parametrize("first", [b"", b"GET / HT", head()[:-2]])
    def test_worker_drains(self, record: Record, ends: Ends, first: bytes) -> None:
        """IDLE, DEL, close without a shutdown, report; the next worker finds every byte."""
        ours, masters = ends
        worker = record()
        self.lent(worker, masters)
        ours.sendall(first)
        worker.run()
        worker.journal.clear()
        worker.poller.custody.drain()

        assert worker.verbs(*ASIDE) == [*IDLE, "unregister", "close", "report"]
        assert worker.reports == [(Kind.RELEASED, 0, 1)]
        assert worker.emptied
        worker.poller.holdings.draining = False
        self.lent(worker, masters)
        ours.sendall(head()[len(first) :])
        worker.run()
        assert ours.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_connection_was_used_before(self, record: Record, ends: Ends) -> None:
        """The next worker's offsets continue the last one's."""
        ours, masters = ends
        worker = record()
        self.lent(worker, masters)
        ours.sendall(head() + NEXT[:10])
        worker.run()
        first = len(ours.recv(1000))
        worker.poller.custody.drain()
        worker.poller.holdings.draining = False
        worker.journal.clear()
        self.lent(worker, masters)
        ours.sendall(NEXT[10:])
        worker.run()

        second = len(ours.recv(1000))
        assert worker.entries("written0", "send") == [("written0", first), ("send", second)]
        assert last(worker, "written_end") == first + second
        assert last(worker, "consume_to") == len(head()) + len(NEXT)

    def test_worker_drains_during_a_turn(self, record: Record, ends: Ends) -> None:
        """The answer is given first; what is pipelined behind it waits in the kernel."""
        ours, masters = ends
        drain: list[Callable[[], None]] = []

        def drains(environ: dict[str, Any], start_response: Start) -> Any:
            drain[0]()
            start_response("200 OK", [])
            return [b"hello"]

        worker = record(drains)
        drain.append(worker.poller.custody.drain)
        self.lent(worker, masters)
        worker.journal.clear()
        ours.sendall(head() + NEXT)
        worker.run()

        assert worker.verbs(*ASIDE) == [*ANSWER, *IDLE, *IDLE, "unregister", "close", "report"]
        assert worker.reports == [(Kind.RELEASED, 0, 1)]
        assert masters.recv(1000) == NEXT

    def test_worker_drains_during_a_body(self, record: Record, ends: Ends) -> None:
        """Bytes of the request were taken, so this worker answers it first."""
        ours, masters = ends
        worker = record(settings=replace(DEFAULTS, workers=2))
        self.lent(worker, masters)
        ours.sendall(post(b"Content-Length: 5", body=b"he"))
        worker.run()
        worker.poller.custody.drain()
        assert worker.reports == []

        ours.sendall(b"llo")
        worker.run()
        assert ours.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        assert worker.reports == [(Kind.RELEASED, 0, 1)]
