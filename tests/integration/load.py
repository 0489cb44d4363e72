"""Clients that keep the server busy, each on one keep-alive connection, and notice every failure.

Law: a client asks again as soon as it was answered, never connects twice, and never repeats a request.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from tests.integration.client import Address, Client
from tests.integration.crowd import TIMEOUT, Crowd

#: A body that comes with its head, one that is taken in pieces, one that goes to disk.
_BODIES = [b"", b"small", b"m" * 70_000, b"large" * 240_000]


class Load(Crowd):
    """A number of clients in a closed loop of GET and POST, from entering the `with` block to leaving it.

    :ivar failures: what went wrong; must stay empty.
    :ivar answers: what GET /who said since `forget`: version of the code, and pid.
    :ivar homes: the process that answered each client last.
    :ivar may_end: whether the server may say that an answer is the last one on its connection.
    """

    def __init__(self, address: Address, clients: int = 8) -> None:
        super().__init__(clients)
        self.may_end = False
        self.answers: set[tuple[str, int]] = set()
        self.homes = [0] * clients
        self._address = address
        self._counts = [0] * clients
        self._news = threading.Condition()

    def _run(self, number: int) -> None:
        try:
            with Client(self._address) as client:
                for turn in itertools.count(number):
                    if self._ending or not self._once(client, number, turn):
                        return
                    with self._news:
                        self._counts[number] += 1
                        self._news.notify_all()
        except Exception as problem:
            with self._news:
                self.failures.append(f"client {number} after {self._counts[number]} answers: {problem!r}")
                self._news.notify_all()

    def _once(self, client: Client, number: int, turn: int) -> bool:
        """Ask once; returns whether the connection goes on."""
        if turn % 2:
            body = _BODIES[turn // 2 % len(_BODIES)]
            client.ask("/echo", "POST", body)
            answer = client.response()
            assert answer.body == body, f"{len(answer.body)} of {len(body)} bytes came back"
        else:
            answer = client.get("/who")
            version, pid = answer.body.decode().split()
            with self._news:
                self.answers.add((version, int(pid)))
                self.homes[number] = int(pid)
        assert answer.status == 200, answer.status
        if "connection" not in answer.headers:
            return True
        assert self.may_end, "the server wants to close"
        assert client.ended(), "the server said that it would close"
        return False

    def wait_for_end(self) -> None:
        """Wait until the server has ended every connection."""
        for thread in self._threads:
            thread.join(TIMEOUT)
        assert not any(thread.is_alive() for thread in self._threads), "some connections go on"

    def more(self, count: int) -> None:
        """Wait until every client got this number of further answers."""
        with self._news:
            goals = [have + count for have in self._counts]

            def reached() -> bool:
                return bool(self.failures) or all(h >= g for h, g in zip(self._counts, goals, strict=True))

            assert self._news.wait_for(reached, TIMEOUT), f"only {self._counts} of {goals} answers"
        assert not self.failures, self.failures

    def forget(self) -> None:
        """From now on `answers` holds only what is asked after this."""
        # The request that is under way now, and one that was sent afterwards.
        self.more(4)
        with self._news:
            self.answers.clear()
        self.more(4)


def several(count: int, work: Callable[[int], object]) -> None:
    """Do it in this number of threads at once; an exception in one is raised here."""
    problems: list[BaseException] = []

    def one(number: int) -> None:
        try:
            work(number)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
