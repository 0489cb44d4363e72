"""Clients for bad times: each asks as fast as it is answered, tells a 502 from a failure, and names every request.

Law: a client repeats nothing. It connects again only where the server told it to, in an answer.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

from tests.integration.client import Address, Client
from tests.integration.crowd import Crowd


class Storm(Crowd):
    """A number of clients, each on a keep-alive connection, from entering the `with` block to leaving it.

    :param query: what is asked besides the name of the request.
    :ivar failures: what went wrong; an answer never does.
    :ivar statuses: how many answers of each status there were; `closed`: how many ended their connection.
    :ivar worst: the longest time from a request to its answer, in seconds.
    """

    def __init__(self, address: Address, clients: int = 16, method: str = "GET", query: str = "") -> None:
        super().__init__(clients)
        self.statuses: Counter[int] = Counter()
        self.closed = 0
        self.worst = 0.0
        self._address = address
        self._method = method
        self._query = query
        self._lock = threading.Lock()

    def _run(self, number: int) -> None:
        client = Client(self._address)
        for turn in itertools.count():
            if self._ending:
                break
            name = f"{number}.{turn}"
            try:
                ends = self._ask(client, name)
            except Exception as problem:
                with self._lock:
                    self.failures.append(f"request {name}: {problem!r}")
                break
            if ends:
                client.close()
                client = Client(self._address)
        client.close()

    def _ask(self, client: Client, name: str) -> bool:
        """Ask once; returns whether the server has ended the connection."""
        begun = time.monotonic()
        client.ask(f"/run?name={name}{self._query}", self._method, b"" if self._method == "POST" else None)
        answer = client.response(self._method)
        ends = "connection" in answer.headers
        assert not ends or client.ended(), "the server said that it would close"
        with self._lock:
            self.statuses[answer.status] += 1
            self.closed += ends
            self.worst = max(self.worst, time.monotonic() - begun)
        return ends
