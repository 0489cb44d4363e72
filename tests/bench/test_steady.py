"""The client of our own, against small servers of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.steady import Account, Client, Task

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSING = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
Talk = Callable[[socket.socket], None]


@contextmanager
def serving(talk: Talk) -> Iterator[int]:
    """A server that treats each connection in a thread of its own; the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threads: list[threading.Thread] = []

        def handle(sock: socket.socket) -> None:
            with sock:
                talk(sock)

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=handle, args=(sock,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        for thread in threads:
            thread.join()


def ask(talk: Talk, rate: float | None = 100.0, connections: int = 2, seconds: float = 0.3) -> Account:
    """Have the client ask a server that talks so."""
    with serving(talk) as port:
        return Client(Task(port, (REQUEST,), 0.0, connections, seconds, rate)).run()


def always(answer: bytes) -> Talk:
    """Answer each request on a connection."""

    def talk(sock: socket.socket) -> None:
        while sock.recv(4096):
            sock.sendall(answer)

    return talk


def test_constant_rate() -> None:
    """As many requests as rate and time make, each with its time, none with an error."""
    account = ask(always(ANSWER))
    assert (account.answered, account.in_time, account.unanswered) == (30, 30, 0)
    assert (account.connect, account.read, account.bad_status) == (0, 0, 0)
    assert account.times[0] is not None
    assert account.times[0].count == 30
    assert 0 < account.times[0].p50 < 0.1


def test_as_fast_as_answers_come() -> None:
    """Without a rate there are far more."""
    assert ask(always(ANSWER), rate=None).answered > 100


def test_two_kinds_are_told_apart() -> None:
    """Each has its own times, which make up all."""
    with serving(always(ANSWER)) as port:
        account = Client(Task(port, (REQUEST, REQUEST), 0.5, 2, 0.3, 200.0)).run()
    fast, slow = account.times
    assert fast is not None
    assert slow is not None
    assert fast.count + slow.count == account.answered == 60


def test_server_that_closes() -> None:
    """After an announced close the next request has a new connection, and nothing is an error."""

    def once(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(CLOSING)

    account = ask(once)
    assert (account.answered, account.read, account.connect) == (30, 0, 0)


def test_idle_connection_that_is_closed() -> None:
    """A request on a connection that the server has closed unannounced goes on another one."""

    def once(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(ANSWER)

    account = ask(once)
    assert (account.answered, account.read) == (30, 0)


def test_answer_that_breaks_off() -> None:
    """It is an error, and no time."""

    def broken(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(ANSWER[:-1])

    account = ask(broken)
    assert (account.answered, account.read, account.times) == (0, 30, (None,))


def test_bad_status() -> None:
    """It is counted, and its time is not."""
    account = ask(always(ANSWER.replace(b"200 OK", b"503 No")))
    assert (account.answered, account.bad_status, account.times) == (0, 30, (None,))


def test_who_waits_for_ever_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests without an answer count with their age: no server looks better for not answering."""
    monkeypatch.setattr("bench.steady.DRAIN", 0.1)

    def silent(sock: socket.socket) -> None:
        while sock.recv(4096):
            pass

    account = ask(silent)
    assert (account.answered, account.unanswered) == (0, 30)
    assert account.times[0] is not None
    assert account.times[0].worst > 0.35


def test_slow_answer_delays_no_request() -> None:
    """While the only connection waits, the others' time runs: what came late for it is not left out."""

    def slow_at_first(sock: socket.socket) -> None:
        sock.recv(4096)
        threading.Event().wait(0.2)
        sock.sendall(ANSWER)
        always(ANSWER)(sock)

    account = ask(slow_at_first, connections=1)
    assert account.answered == 30
    assert account.times[0] is not None
    # Twenty were due in the first 0.2 s, each waited for what was left of them.
    assert account.times[0].p50 > 0.05


def test_nobody_listens() -> None:
    """Each refusal is counted, and the client ends in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    account = Client(Task(port, (REQUEST,), 0.0, 2, 0.2, 100.0)).run()
    assert account.answered == 0
    assert account.connect + account.read == 20
