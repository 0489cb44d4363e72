"""StatsD: once a second, the counts since the last message, over UDP.

Law: reads the totals, sends, and waits for nothing: a datagram that cannot be sent is lost. A name that cannot be
resolved is a warning, and is retried.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from ...logs.logger import Logger
from ...policy.statsd import datagrams, gauges, requests
from ...recurring import Recurring
from ..workers.totals import Tally

#: Seconds from one message to the next.
INTERVAL_SECONDS = 1.0
#: Seconds until a name that was not resolved is tried again.
RESOLVE_RETRY_SECONDS = 60.0

#: What socket.getaddrinfo(3) says of a name: family, type, protocol, canonical name and address.
Addresses = list[tuple[Any, ...]]


class StatsD:
    """Sends metrics to a StatsD server.

    :param address: HOST:PORT.
    :param now: how many workers serve, and how many connections and requests no worker has.
    :param resolve: finds the addresses of host and port; in a thread, because it may take its time.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: str,
        tally: Tally,
        now: Callable[[], tuple[int, int]],
        resolve: Callable[[str, int], Deferred[Addresses]] | None = None,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._tally = tally
        self._now = now
        self._resolve = resolve or self._resolve_in_thread
        self._socket: socket.socket | None = None
        self._last = tally.totals()
        self._looping = Recurring(reactor, "sending to StatsD", self._send)
        self._retry: Any = None
        self._stopped = False

    def start(self) -> None:
        """Find the server, then send to it."""
        self._retry = None
        host, _, port = self._address.rpartition(":")
        self._resolve(host.strip("[]"), int(port)).addCallbacks(self._found, self._not_found)

    def stop(self) -> None:
        """Send a last message and stop."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._looping.running:
            self._looping.stop()
            self._send()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _resolve_in_thread(self, host: str, port: int) -> Deferred[Addresses]:
        found: Deferred[Addresses] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), socket.getaddrinfo, host, port, type=socket.SOCK_DGRAM
        )
        return found

    def _found(self, addresses: Addresses) -> None:
        if self._stopped:
            return
        family, kind, protocol, _, address = addresses[0]
        try:
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            # Sends nothing; from now on the kernel reports an absent server, and the sender ignores that.
            self._socket.connect(address)
        except OSError as error:
            self._not_found(Failure(error))
            return
        self._looping.start(INTERVAL_SECONDS, now=False)

    def _not_found(self, failure: Failure) -> None:
        if self._stopped:
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.log.warn(
            "--statsd {address}: {error}; sending no metrics, retrying in {again:g} s",
            address=self._address, error=failure.getErrorMessage(), again=RESOLVE_RETRY_SECONDS,
        )  # fmt: skip
        self._retry = self._reactor.callLater(RESOLVE_RETRY_SECONDS, self.start)

    def _send(self) -> None:
        last, self._last = self._last, self._tally.totals()
        lines = requests(last.codes, self._last.codes, (last.latency, self._last.latency))
        assert self._socket is not None
        for data in datagrams([*lines, *gauges(*self._now())]):
            _give(self._socket, data)


def _give(sock: socket.socket, data: bytes) -> None:
    """Send a datagram, again where the kernel reports an earlier one as refused instead (udp(7))."""
    with contextlib.suppress(OSError):
        try:
            sock.send(data)
        except ConnectionRefusedError:
            sock.send(data)
