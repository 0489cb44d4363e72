"""A worker killed after each single step of a turn, and what its client sees of it: the redo log, exhaustively.

A worker is forked that kills itself (SIGKILL) after its n-th store to the slot or its n-th call on the socket, for
every n. Its sockets and its scoreboard are the real ones, shared with this process, which is the master: it decides as
after any death, and a second worker here answers what goes on. Nothing here knows the verdicts: what must come out
follows from what the client got, what the kernel still has, and whether the application ran.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from dataclasses import dataclass
from typing import Any

import pytest

from tests.http.cases import NEXT, chunked, head, post
from tests.http.served import Client, Served, answers
from tests.master.stage import Desk, process, tcp
from tests.worker.apps import Body, Start, app
from tests.worker.recorders import Entry, Recorded, RecordingBoard
from twistcorn.master.sockets import tcp_info
from twistcorn.settings import Settings
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.wsgi.call import Application

#: More than the kernel takes for a client that does not read: the answer is sent in part.
LARGE = b"x" * (8 << 20)
#: A turn has fewer steps.
FOR_EVER = 1000


@dataclass(frozen=True)
class Turn:
    """One request, with an application that answers it.

    :ivar parts: how the request comes; the worker does what it can after each.
    :ivar repeatable: whether it may run a second time.
    :ivar keep: whether the connection goes on behind the answer.
    :ivar framed: whether the client can tell a whole answer from a part.
    :ivar behind: what is pipelined behind it.
    :ivar asked: its body, which the client keeps back until it is told to send it.
    """

    application: Application
    parts: tuple[bytes, ...]
    repeatable: bool = True
    keep: bool = True
    framed: bool = True
    behind: bytes = b""
    asked: bytes = b""


HELLO = app([b"hello"])
PIECES = app(Body(b"one", b"two"))
SMALL = post(b"Content-Length: 5", body=b"hello")
TURNS = {
    "GET": Turn(HELLO, (head(),)),
    "POST": Turn(HELLO, (head(line=b"POST / HTTP/1.1"),), repeatable=False),
    "PUT, with its body": Turn(HELLO, (SMALL.replace(b"POST", b"PUT"),), repeatable=False),
    "GET, with its body": Turn(HELLO, (SMALL.replace(b"POST", b"GET"),)),
    "POST, with its body": Turn(HELLO, (SMALL,), repeatable=False),
    "POST, body in pieces": Turn(HELLO, (SMALL[:-3], SMALL[-3:]), repeatable=False),
    "GET, body in pieces": Turn(
        HELLO, (chunked(b"5\r\nhe").replace(b"POST", b"GET"), b"llo\r\n0\r\n\r\n"), repeatable=True
    ),
    "HEAD": Turn(HELLO, (head(line=b"HEAD / HTTP/1.1"),)),
    "head in pieces": Turn(HELLO, (head()[:7], head()[7:])),
    "pipelined": Turn(HELLO, (head() + NEXT,), behind=NEXT),
    "Connection: close": Turn(HELLO, (head(b"Connection: close"),), keep=False),
    "answer in chunks": Turn(PIECES, (head(),)),
    "answer in pieces": Turn(app(Body(b"one", b"two"), [("Content-Length", "6")]), (head(),)),
    "answer up to the end": Turn(PIECES, (head(line=b"GET / HTTP/1.0"),), keep=False, framed=False),
    "large answer": Turn(app([LARGE]), (head(),)),
    "application raises": Turn(app(Body(KeyError("on purpose"))), (head(),)),
}  # fmt: skip


class Journal(list[Entry]):
    """The journal of a worker that dies of its n-th entry."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def append(self, entry: Entry) -> None:
        super().append(entry)
        if len(self) >= self._steps:
            os.kill(os.getpid(), signal.SIGKILL)


class Scene:
    """One client, one worker that dies after so many steps, one that does not, and the master.

    :ivar killed: whether the first was killed before it was done.
    :ivar got: bytes of the answer that the client had when it died.
    :ivar taken: bytes of the request that were taken from the kernel.
    :ivar runs: path and attempt of all calls of the application; those before the death in `runs_before`.
    """

    def __init__(self, turn: Turn, steps: int) -> None:
        self._turn = turn
        self._desk = desk = Desk()
        self._runs, self._counter = os.pipe()
        os.set_blocking(self._runs, False)
        dying, other = desk.workers(2)
        (self._connection,) = desk.arrive(1, tcp)
        desk.spawner.takes(dying)
        self.client = Client(desk.client(0))
        self._second = Served(self._application, Settings(), self._address, desk.board)
        self._second.turns.aside = self._send_body
        self.killed = self._fork(process(dying).lends[0].sequence, steps)
        self.runs_before = self._count_runs()
        self.client.sock.setblocking(False)
        self.got = len(self.client.read())
        facts = tcp_info.facts(self._connection.sock)
        assert facts.consumed is not None
        self.taken = facts.consumed
        self._missing = b"".join(turn.parts)[facts.consumed + facts.unread :]
        desk.spawner.exits(dying, signal=9)
        lends = process(other).lends
        if lends:
            self._check_log()
        self._go_on([lend.sequence for lend in lends])

    @property
    def _address(self) -> Address:
        return Address(self._connection.sock.family, "127.0.0.1", 8000)

    def _application(self, environ: dict[str, Any], start_response: Start) -> Any:
        os.write(self._counter, f"{environ['PATH_INFO']}:{environ['twistcorn.attempt']} ".encode())
        return self._turn.application(environ, start_response)

    def _send_body(self) -> None:
        """The thread that reads the body waits for it; any other for a client that does not read its answer."""
        if self._turn.asked:
            self.client.sock.sendall(self._turn.asked)

    def _count_runs(self) -> list[str]:
        try:
            return os.read(self._runs, 1000).decode().split()
        except BlockingIOError:
            return []

    def _fork(self, sequence: int, steps: int) -> bool:
        """The life of the first worker, in a process of its own."""
        child = os.fork()
        if child == 0:
            try:
                shared = self._desk.board
                board = RecordingBoard(shared.fd, shared.workers, shared.slots, Journal(steps))
                worker = Recorded(self._application, Settings(), self._address, board)
                worker.turns.aside = self._send_body
                worker.lend(self._connection.sock.dup(), 0, sequence)
                for part in self._turn.parts:
                    worker.send(self.client, part)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), "it ends by itself, or by its own hand"
        return status != 0

    def _check_log(self) -> None:
        """The next holder begins where the streams are, with time to do so."""
        slot, facts = self._desk.board.read_slot(0), tcp_info.facts(self._connection.sock)
        assert (slot.consumed0, slot.written_end) == (facts.consumed, facts.written)
        assert facts.unread or slot.deadline > time.monotonic_ns()

    def _go_on(self, lends: list[int]) -> None:
        """The client sends what it had not; the second worker answers, if it got the connection."""
        for sequence in lends:
            self._second.lend(self._connection.sock.dup(), 0, sequence)
        try:
            self.client.sock.sendall(self._missing)
            self._second.run()
            before = -1
            while len(self.client.received) != before:
                before = len(self.client.received)
                self.client.read()
                self._second.run()
            self.end = "closed" if self.client.closed else "open"
        except (ConnectionResetError, BrokenPipeError):
            self.end = "reset"
        self.runs = self.runs_before + self._count_runs()

    def ask_again(self) -> None:
        """The client sends another request."""
        self._second.send(self.client, NEXT)
        self.client.read()

    def close(self) -> None:
        """Leave nothing open."""
        for connection in self._second.connections():
            connection.stream.sock.close()
        self._second.poller.holdings.epoll.close()
        self._desk.close()
        os.close(self._runs)
        os.close(self._counter)


def whole_answer(turn: Turn) -> int:
    """The length of the answer that nothing disturbs."""
    worker = Served(turn.application)
    client = worker.connect()
    for part in turn.parts:
        worker.send(client, part.removesuffix(turn.behind))
    before = -1
    while len(client.received) != before:
        before = len(client.received)
        client.read()
        worker.run()
    worker.close()
    return before


def check(turn: Turn, scene: Scene, whole: int) -> None:
    """What the client sees is what it must see."""
    rest = len(turn.behind) and whole
    if scene.got >= whole and (turn.framed or scene.end == "closed"):
        # It had its answer, and nothing of it comes twice.
        assert scene.runs.count("/:1") == 1
        assert "/:2" not in scene.runs
        assert scene.end == ("open" if turn.keep else "closed")
        assert len(scene.client.received) == whole + rest
    elif scene.got:
        # Short of what its framing says, or reset.
        assert scene.end == ("closed" if turn.framed else "reset"), "half an answer looks like one"
        assert len(scene.client.received) == scene.got
        assert scene.got < whole or not turn.framed
    elif scene.end == "closed" and scene.client.received.startswith(b"HTTP/1.1 502 "):
        (answer,) = answers(scene.client.received, [turn.parts[0].split()[0].decode()])
        assert answer["Connection"] == ["close"]
        assert scene.runs == scene.runs_before, "it runs, and nobody hears of it"
        assert len(turn.parts) > 1 or not turn.repeatable, "it could have been answered"
    else:
        assert len(scene.client.received) == whole + rest
        assert not scene.taken, "bytes of it were gone"


def check_runs(turn: Turn, scene: Scene) -> None:
    """No request runs more often than it may, and the application knows how often it did."""
    runs = [run for run in scene.runs if run.startswith("/:")]
    allowed = [[], ["/:1"], ["/:2"], ["/:1", "/:2"]] if turn.repeatable else [[], ["/:1"]]
    assert runs in allowed
    assert scene.runs.count("/next:1") <= 1
    # The first attempt of a request tells nothing about the next one's.
    assert scene.got or "/next:2" not in scene.runs


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_each_step(turn: Turn) -> None:
    """Whole, 502, or cut so that it shows; never twice; and the connection lives on where it can."""
    whole = whole_answer(turn)
    for steps in range(1, FOR_EVER):
        scene = Scene(turn, steps)
        try:
            check(turn, scene, whole)
            check_runs(turn, scene)
            if scene.end == "open":
                before = len(scene.client.received)
                scene.ask_again()
                assert len(scene.client.received) > before
        finally:
            scene.close()
        if not scene.killed or "/next:1" in scene.runs_before:
            return
    raise AssertionError("a turn does not end")


def test_each_step_of_a_head_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that the kernel has no room for is taken as it comes: from then on its worker's death is a 502."""
    monkeypatch.setattr("twistcorn.worker.loop.partial.Partial.must_be_taken", lambda self, sock, late: True)
    request = head()
    test_each_step(Turn(HELLO, (request[:7], request[7:20], request[20:] + NEXT), behind=NEXT))


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def reader(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_step_of_a_body_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Once the slot says that a byte is taken nobody runs it again; before that a GET is, and its body asked for."""
    monkeypatch.setattr("tests.http.served.MODE", "pool")
    asks = post(b"Expect: 100-continue", b"Content-Length: 5", line=f"{method} / HTTP/1.1".encode())
    turn = Turn(reader, (asks,), repeatable=method == "GET", asked=b"hello")
    outcomes = set()
    for steps in range(1, FOR_EVER):
        scene = Scene(turn, steps)
        try:
            check_runs(turn, scene)
            told = scene.client.received.count(CONTINUE)
            (answer,) = answers(scene.client.received.replace(CONTINUE, b""), [method])
            outcomes.add((told, answer.status, bool(scene.taken)))
            assert "/:2" not in scene.runs or not scene.taken
            assert scene.end == ("open" if answer.status == 200 else "closed")
            if answer.status == 200:
                assert (told, answer.body) == (1, b"hello")
                before = len(scene.client.received)
                scene.ask_again()
                assert len(scene.client.received) > before
        finally:
            scene.close()
        if not scene.killed:
            break
    # By the second worker; by the first; by the master, with the client told to go on, or before.
    assert outcomes == {(1, 200, False), (1, 200, True), (1, 502, True), (0, 502, True), (0, 502, False)}
