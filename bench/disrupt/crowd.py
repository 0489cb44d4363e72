"""The clients, all in one small process of their own: ``python -m bench.disrupt.crowd ORDERS``.

Law: one thread, one epoll. A line on standard input is an order: ``phase NAME`` begins a phase, ``finish`` lets the
clients get their last answers, ``leave`` cuts them off. It says that it is ready, and in the end, as JSON, what it saw.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import json
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable

from bench.disrupt.client import Client, Orders, State
from bench.disrupt.tally import Phase, Tally, to_json

# How often overdue answers are looked for.
SWEEP = 0.1
BATCH = 256


class Crowd:
    """Some clients and the loop that drives them."""

    def __init__(self, orders: Orders, control: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.orders = orders
        self.clock = clock
        self.random = random.Random(orders.name)
        self.phases: list[Phase] = []
        self.tally = Tally("begin", clock())
        self.clients = [Client(number, orders, self) for number in range(orders.clients)]
        self._control = control
        self._said = b""
        self._epoll = select.epoll()
        self._watched: dict[int, Client] = {}
        self._heap: list[tuple[float, int, Client]] = []
        self._order = itertools.count()

    def watch(self, client: Client, sock: socket.socket, to_write: bool) -> None:
        """Call the client when its socket is ready."""
        events = select.EPOLLOUT if to_write else select.EPOLLIN
        # A closed descriptor leaves the epoll by itself, and its number may come again.
        try:
            self._epoll.register(sock.fileno(), events)
        except FileExistsError:
            self._epoll.modify(sock.fileno(), events)
        self._watched[sock.fileno()] = client

    def wake(self, client: Client, when: float) -> None:
        """Call the client at that time."""
        heapq.heappush(self._heap, (when, next(self._order), client))

    def run(self) -> list[Phase]:
        """Go on until the last client is gone."""
        self._epoll.register(self._control, select.EPOLLIN)
        now = self.clock()
        for client in self.clients:
            client.when = now + self.random.uniform(0, max(self.orders.pace, SWEEP))
            self.wake(client, client.when)
        swept = turned = now
        while any(client.state is not State.GONE for client in self.clients):
            self._turn()
            now = self.clock()
            self.tally.stalled = max(self.tally.stalled, now - turned)
            turned = now
            if now - swept > SWEEP:
                swept = now
                for client in self.clients:
                    client.overdue(swept)
        self._mark("end")
        return self.phases

    def _turn(self) -> None:
        pause = SWEEP
        if self._heap:
            pause = min(SWEEP, max(0.0, self._heap[0][0] - self.clock()))
        for fd, _ in self._epoll.poll(pause, BATCH):
            if fd == self._control:
                self._listen()
            else:
                self._watched[fd].happened(self.clock())
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2].due(self.clock())

    def _listen(self) -> None:
        piece = os.read(self._control, 4096)
        *lines, self._said = (self._said + piece).split(b"\n")
        for line in lines:
            self._obey(line.decode())
        if not piece:
            # Whoever gave the orders is gone.
            self._obey("leave")

    def _obey(self, line: str) -> None:
        order, _, name = line.partition(" ")
        if order == "phase":
            self._mark(name)
        elif order == "finish":
            for client in self.clients:
                client.leave()
        elif order == "leave":
            for client in self.clients:
                client.cut()

    def _mark(self, name: str) -> None:
        now = self.clock()
        self.phases.append(self.tally.phase(now))
        self.tally = Tally(name, now)


def main() -> None:
    """Obey until the end, then tell."""
    values = json.loads(sys.argv[1])
    orders = Orders(**{**values, "methods": tuple(values["methods"])})
    # A collection would stop all clients at once and look like the server's latency.
    gc.disable()
    crowd = Crowd(orders, sys.stdin.fileno())
    print("ready", flush=True)
    phases = crowd.run()
    json.dump([to_json(phase) for phase in phases], sys.stdout)


if __name__ == "__main__":
    main()
