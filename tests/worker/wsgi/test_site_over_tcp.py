"""The resource in a Site on the real reactor, with threads, over loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import treq
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from twisted.web.server import Site
from zope.interface import implementer

from tests.worker.apps import Body, Start, app
from twistcorn.worker.wsgi.call import Application
from twistcorn.worker.wsgi.resource import WSGIResource

reactor: Any = _reactor
PIECE = b"x" * 65536
#: What the kernel takes for both ends of a connection, and some more.
BUFFERS = 32 << 20
PIECES = 1024


@implementer(IBodyProducer)
class Upload:
    """A request's body of unknown length."""

    length: Any = UNKNOWN_LENGTH

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def startProducing(self, consumer: Any) -> Deferred[None]:
        for piece in self._pieces:
            consumer.write(piece)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """It is out already."""

    def resumeProducing(self) -> None:
        """It is out already."""

    def stopProducing(self) -> None:
        """It is out already."""


class Deaf(Protocol):
    """A client that asks, and reads only on demand."""

    transport: Any

    def __init__(self) -> None:
        self.received = 0
        self.lost = False

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self.transport.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class TestSite(TestCase):
    timeout = 20

    def serve(self, application: Application) -> int:
        """Serve an application until the test ends; returns the port."""
        pool = ThreadPool(1, 4)
        pool.start()
        self.addCleanup(pool.stop)
        port = reactor.listenTCP(0, Site(WSGIResource(reactor, pool, application)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def request(self, port: int, method: bytes = b"GET", body: Any = None) -> tuple[int, bytes]:
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        response = await agent.request(method, b"http://127.0.0.1:%d/a" % port, Headers({b"X": [b"a"]}), body)
        return response.code, await treq.content(response)

    async def connect(self, port: int) -> Deaf:
        deaf = Deaf()
        factory = ClientFactory()
        factory.noisy = False
        factory.protocol = lambda: deaf
        connector = reactor.connectTCP("127.0.0.1", port, factory)
        self.addCleanup(connector.disconnect)
        await self.until(lambda: deaf.transport is not None)
        return deaf

    async def until(self, condition: Callable[[], object]) -> None:
        """Run the reactor until a condition holds; the test's timeout ends the wait."""
        while not condition():
            await deferLater(reactor, 0.01)

    async def until_quiet(self, body: Body) -> None:
        """Wait until nothing more is asked of a body."""
        asked = -1
        while asked != body.asked or not asked:
            asked = body.asked
            await deferLater(reactor, 0.2)

    async def test_get(self) -> None:
        """A stock client gets the application's answer, in one piece or in several."""
        for body in ([b"hello"], Body(b"hel", b"lo")):
            assert await self.request(self.serve(app(body))) == (200, b"hello")

    async def test_post(self) -> None:
        """A chunked body reaches the application."""

        def echo(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            start_response("200 OK", [])
            return [environ["HTTP_X"].encode() + environ["wsgi.input"].read()]

        got = await self.request(self.serve(echo), b"POST", Upload(b"b" * 100_000, b"c"))
        assert got == (200, b"a" + b"b" * 100_000 + b"c")

    async def test_application_runs_in_a_thread(self) -> None:
        """The reactor serves others while it waits, and a chunk leaves before the next is made."""
        go = threading.Event()

        def waits(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"first"
            assert go.wait(10)
            yield b"second"

        deaf = await self.connect(self.serve(waits))
        deaf.transport.resumeProducing()
        await self.until(lambda: deaf.received)
        go.set()
        await self.until(lambda: deaf.lost)

    async def test_client_does_not_read(self) -> None:
        """The application stops when buffers are full, and goes on when the client reads."""
        body = Body(*[PIECE] * PIECES)
        deaf = await self.connect(self.serve(app(body)))
        await self.until_quiet(body)
        assert body.asked * len(PIECE) < BUFFERS
        assert body.closed == 0

        deaf.transport.resumeProducing()
        await self.until(lambda: deaf.lost)
        assert deaf.received > PIECES * len(PIECE)
        assert (body.asked, body.closed) == (PIECES, 1)

    async def test_client_goes_away(self) -> None:
        """An application that waits for it is woken, and its iterable is closed."""
        body = Body(*[PIECE] * PIECES)
        deaf = await self.connect(self.serve(app(body)))
        await self.until_quiet(body)
        deaf.transport.abortConnection()
        await self.until(lambda: body.closed)

        assert body.asked < PIECES
