"""The worker's own HTTP channel: a whole request becomes a turn, and the turn a response.

Law: glue between the poller, the turns and the WSGI resource; runs the application on the thread of the turn only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import IO, Any, cast

from twisted.logger import Logger

from ..errors import HTTPError
from ..settings import Settings
from ..wire.scoreboard import H_QUEUED, Scoreboard
from . import responses
from .call import Application, ClientGone
from .connection import Connection
from .environ import Address, EnvironMaker
from .http import Request
from .poller import Poller
from .reply import Reply, Surroundings, count
from .turns import Seat, Turns
from .waiting import Waiting
from .wsgi import WSGIResource


class Service:
    """Serves the requests of all connections of a worker with one application."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        app: Application,
        settings: Settings,
        listeners: list[Address],
        worker: int,
        turns: Turns,
        board: Scoreboard,
        region: int,
    ) -> None:
        self._resource = WSGIResource(reactor, reactor.getThreadPool(), app)
        self._reactor = reactor
        self._makers = [
            EnvironMaker(settings, address, worker, settings.threads, settings.workers) for address in listeners
        ]
        self._settings = settings
        self._turns = turns
        self._board = board
        self._region = region
        self._poller: Poller
        self._waiting: Waiting
        self._credit: Callable[[], None]
        self._surroundings: Surroundings

    def attach(self, poller: Poller, credit: Callable[[], None] = lambda: None) -> None:
        """The poller gets each connection back when its turn is over.

        :param credit: tells the master that a thread is free.
        """
        self._poller = poller
        self._credit = credit
        self._waiting = Waiting(
            self._reactor, self._board, self._region, self._settings, poller.release, lambda: poller.draining
        )
        self._surroundings = Surroundings(
            self._settings.write_timeout, lambda: poller.stopping or self._board.stopping, self._turns.ended
        )

    def serve(self, connection: Connection) -> None:
        """A connection has a whole request: give it a turn."""
        hopped, connection.hopped = connection.hopped, False
        if hopped or self._turns.running < self._settings.threads or self._waiting.enter(connection):
            self._turns.submit(partial(self._turn, connection), hopped)

    def _turn(self, connection: Connection, seat: Seat) -> None:
        if not self._waiting.begin(connection):
            self._turns.ended()
            return
        request = connection.request
        assert request is not None
        reply = Reply(connection, request, seat, self._surroundings)
        try:
            self._answer_request(connection, request, reply, seat)
        except BaseException:
            # An error of ours; the connection has no answer, or half of one.
            self.log.failure("internal error in a turn")
            connection.keep = False
        if not isinstance(request.body, bytes):
            cast(IO[bytes], request.body).close()
        count(self._board, self._region, reply.code)
        reply.answered()
        connection.queued_since = 0.0
        self._poller.ended(connection)
        if self._board.words[H_QUEUED] and self._turns.running < self._settings.threads:
            self._credit()

    def _answer_request(self, connection: Connection, request: Request, reply: Reply, seat: Seat) -> None:
        name = f"{request.method} {request.path.decode('latin-1')}"
        connection.log_in_app(name.encode("latin-1"), seat.thread)
        try:
            environ = self._makers[connection.listener].make(request, connection.peer)
        except HTTPError as error:
            self.log.error("{name}: {reason}", name=name, reason=error.reason)
            request.keep_alive = False
            self._answer(reply, error)
        else:
            if deaths := connection.take_attempt():
                environ["twistcorn.attempt"] = 1 + deaths
            if connection.queued_since:
                environ["twistcorn.queue_time"] = time.monotonic() - connection.queued_since
            seat.call_begins()
            self._resource.run(reply, f"{name} [{environ['twistcorn.request_id']}]", environ)

    def _answer(self, reply: Reply, error: HTTPError) -> None:
        try:
            reply.begin(*responses.plain(error.status, error.reason), True)
            reply.end()
        except ClientGone:
            return

