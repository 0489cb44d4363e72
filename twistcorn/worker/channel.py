"""The worker's own HTTP channel: a whole request becomes a turn, and the turn a response.

Law: glue between the poller, the turns and the WSGI resource; runs the application on the thread of the turn only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, cast

from twisted.logger import Logger

from ..errors import HTTPError
from ..settings import Settings
from ..wire.scoreboard import H_STOPPING, Scoreboard
from . import responses
from .call import Application, ClientGone
from .connection import Connection
from .environ import Address, EnvironMaker
from .http import Request
from .poller import Poller
from .reply import Reply
from .seats import Seat
from .wsgi import WSGIResource


class Service:
    """Serves the requests of all connections of a worker with one application (`reply.Surroundings`)."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        app: Application,
        settings: Settings,
        listeners: list[Address],
        worker: int,
        board: Scoreboard,
    ) -> None:
        self._resource = WSGIResource(reactor, reactor.getThreadPool(), app)
        self._makers = [
            EnvironMaker(settings, address, worker, settings.threads, settings.workers)
            for address in listeners
        ]
        self._words = board.words
        self.write_timeout = settings.write_timeout
        self._poller: Poller
        self.answered: Callable[[Seat, int], None]

    def attach(self, poller: Poller, answered: Callable[[Seat, int], None]) -> None:
        """The poller gets each connection back when its turn is over; `answered` is told a little earlier."""
        self._poller = poller
        self.answered = answered

    def is_stopping(self) -> bool:
        """Whether the server stops."""
        return self._poller.stopping or self._words[H_STOPPING] != 0

    def serve(self, connection: Connection, seat: Seat, now: int) -> None:
        """One turn: answer the request of a connection, on this thread; the time is in monotonic nanoseconds.

        Where the thread leads, a small answer may be `connection.made` and not sent: the turn is over when it is.
        """
        request = connection.request
        assert request is not None
        reply = Reply(connection, request, seat, self)
        try:
            self._answer_request(connection, request, reply, seat, now)
        except BaseException:
            # An error of ours; the connection has no answer, or half of one.
            self.log.failure("internal error in a turn")
            connection.keep = False
        if not isinstance(request.body, bytes):
            cast(IO[bytes], request.body).close()
        if connection.made is None:
            reply.answered()
            self._poller.ended(connection)

    def finish(self, connection: Connection, seat: Seat, now: int) -> None:
        """Send an answer that was made: together with others, or, where the thread has lost the lead, now."""
        if seat.leads:
            self._poller.defer(connection, now)
        else:
            connection.send_made(seat.scratch)
            self._poller.ended(connection)

    def _answer_request(
        self, connection: Connection, request: Request, reply: Reply, seat: Seat, now: int
    ) -> None:
        connection.log_in_app(request.line, seat.thread, now)
        try:
            environ = self._makers[connection.listener].make(request, connection.peer)
        except HTTPError as error:
            self.log.error("{name}: {reason}", name=request.line.name, reason=error.reason)
            self._answer(reply, error)
        else:
            reply.ident = environ["twistcorn.request_id"]
            self._resource.run(reply, environ)

    def _answer(self, reply: Reply, error: HTTPError) -> None:
        try:
            reply.begin(*responses.plain(error.status, error.reason, close=True), True)
            reply.end()
        except ClientGone:
            return
