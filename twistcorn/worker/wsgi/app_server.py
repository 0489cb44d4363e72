"""The worker's own HTTP channel: runs each complete request as a turn, and turns its result into a response.

Law: glue between the poller, the turns and the WSGI resource. The application runs only on the turn's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from ...errors import HTTPError, RequestTimeout
from ...settings import Settings
from ...wire.scoreboard import H_QUEUED, H_STOPPING, Scoreboard
from ..http import responses
from ..http.request import Request
from ..loop.addresses import Address
from ..loop.connection import Connection
from ..loop.holdings import Holdings
from ..loop.local_queue import LocalQueue
from ..loop.poller import Poller
from ..loop.rounds import Rounds
from ..loop.seats import Seat
from ..loop.stream import ClientGone
from ..process import forks
from .access_log import AccessLog
from .call import Application
from .environ import EnvironMaker
from .quarantined import QuarantinedRequests
from .reply import Reply
from .resource import WSGIResource


class AppServer:
    """Serves all requests of a worker with one application (`reply.Surroundings`).

    :ivar access: the access log, while it is on.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        app: Application,
        settings: Settings,
        listeners: list[Address],
        worker: int,
        board: Scoreboard,
        quarantine: QuarantinedRequests | None = None,
    ) -> None:
        self._resource = WSGIResource(reactor, reactor.getThreadPool(), app)
        self._reactor = reactor
        self._listeners = listeners
        self._worker = worker
        self._several: tuple[bool, bool] | None = None
        self._words = board.words
        self._quarantine = QuarantinedRequests() if quarantine is None else quarantine
        self.configure(settings)
        self._poller: Poller
        self._holdings: Holdings
        self._rounds: Rounds
        self._waiting: LocalQueue
        self.access: AccessLog | None = None
        self._credit: Callable[[], None]
        self.answered: Callable[[Seat, int], None]
        self.waited: Callable[[int], None]

    def configure(self, settings: Settings) -> None:
        """Apply the settings."""
        self.write_timeout = settings.write_timeout
        self._keeps_none = not settings.keep_alive
        workers = settings.workers_bounds.most if settings.workers_bounds is not None else settings.workers
        several = settings.threads > 1, workers > 1
        if several != self._several:
            # Cached environ templates belong to the maker that built them.
            self._several = several
            self._makers = [
                EnvironMaker(settings, address, self._worker, settings.threads, workers) for address in self._listeners
            ]

    def attach(
        self,
        poller: Poller,
        waiting: LocalQueue,
        answered: Callable[[Seat, int], None],
        credit: Callable[[], None] = lambda: None,
        waited: Callable[[int], None] = lambda nanoseconds: None,
    ) -> None:
        """Connect to the poller, which takes each connection back after its turn.

        :param waiting: the requests that wait for a thread.
        :param answered: called shortly before the turn ends, with the seat and the status code.
        :param credit: reports a free thread to the master.
        :param waited: called with the nanoseconds that a request waited for its thread.
        """
        self._poller = poller
        self._holdings, self._rounds = poller.holdings, poller.rounds
        self._waiting = waiting
        self._credit = credit
        self.answered = answered
        self.waited = waited

    def accept_queued(self, connection: Connection) -> bool:
        """Queue a request while all threads are busy; returns whether it was queued here."""
        return self._waiting.enqueue(connection)

    def claim_queued(self, connection: Connection) -> bool:
        """Take a queued request for a thread; false when another thread has taken it."""
        return self._waiting.claim(connection)

    def report_free_thread(self) -> None:
        """Report a free thread to the master, if requests wait there."""
        if self._words[H_QUEUED] and self._waiting.has_free_thread():
            self._credit()

    def closes_connections(self) -> bool:
        """Whether a response ends its connection: the server is stopping, or keep-alive is off."""
        return self._words[H_STOPPING] != 0 or self._keeps_none or self._holdings.stopping

    def serve(self, connection: Connection, seat: Seat, now: int) -> bool:
        """Run one turn: answer the request of a connection, on this thread.

        When the thread leads, a small response may stay unsent in `connection.answer`; sending it ends the turn.

        :param now: monotonic nanoseconds.
        """
        request = connection.request
        assert request is not None
        reply = Reply(connection, request, seat, self)
        try:
            self._answer_request(connection, request, reply, seat, now)
        except BaseException:
            # A server error; the connection got no response, or a part of one.
            self.log.failure("internal error in a request")
            connection.stream.keep = False
        try:
            if request.body.__class__ is not bytes:
                request.body.drop()
            if self.access is not None:
                self.access.log_request(connection, reply, now)
        except BaseException:
            # The response is complete: this error must affect neither the client nor the thread.
            self.log.failure("internal error after a request")
        if connection.answer is not None:
            return True
        if not reply.whole and reply.head is not None and reply.head.framing is responses.Framing.CLOSE:
            connection.cut = True
        try:
            reply.answered()
        except BaseException:
            self.log.failure("internal error after a request")
            connection.stream.keep = False
        # The poller owns the connection from here on: do not touch it.
        self._poller.turn_ended(connection)
        self._report_free_thread_late()
        return False

    def _report_free_thread_late(self) -> None:
        try:
            self.report_free_thread()
        except BaseException:
            # The leader reports again before it waits.
            self.log.failure("internal error after a request")

    def deliver(self, connection: Connection, seat: Seat, now: int) -> None:
        """Send a complete response: batched by the leader, or at once if this thread has lost the lead."""
        if seat.leads:
            self._rounds.defer(connection, now)
        else:
            try:
                connection.send_answer(seat.scratch)
            except BaseException:
                self.log.failure("internal error in a connection; closing it")
                connection.stream.keep, connection.stream.unsent = False, None
            self._poller.turn_ended(connection)

    def _answer_request(
        self, connection: Connection, request: Request, reply: Reply, seat: Seat, now: int
    ) -> None:
        connection.redo_log.write_in_app(request.line, seat.ident, now)
        if self._quarantine.until and (left := self._quarantine.left(request.line.name)):
            self._refuse_for(left, reply)
            return
        try:
            environ = self._makers[connection.listener].make(request, connection.peer)
        except HTTPError as error:
            self.log.error("{name}: {reason}", name=request.line.name, reason=error.reason)
            self._answer(reply, error)
        else:
            reply.ident, reply.environ = environ["twistcorn.request_id"], environ
            if connection.fresh:
                connection.fresh = False
                if deaths := connection.redo_log.take_attempt():
                    environ["twistcorn.attempt"] = reply.attempt = 1 + deaths
            if connection.queued_since:
                environ["twistcorn.queue_time"] = reply.queued = waited = now / 1e9 - connection.queued_since
                self.waited(max(0, int(waited * 1e9)))
                connection.queued_since, connection.hopped = 0.0, False
            environ["twistcorn.extend_deadline"] = connection.redo_log.extend_deadline
            seat.exposed = connection
            try:
                try:
                    self._resource.run(reply, environ)
                finally:
                    seat.exposed = None
                    if seat.aim:
                        seat.shield()
            except RequestTimeout:
                # Raised between the application's last line and ours.
                seat.shield()
                forks.leave_if_forked()
                if reply.code and not reply.whole and connection.answer is None:
                    # A truncated response must not look complete.
                    connection.stream.keep = False
            if not reply.code:
                self._answer_instead(request, reply)

    def _refuse_for(self, seconds: int, reply: Reply) -> None:
        """Answer 503 to a quarantined request (RFC 9110 section 15.6.4)."""
        status, fields, body = responses.plain(503, retry_after=seconds)
        try:
            reply.begin(status, fields, body, True)
            reply.end()
        except ClientGone:
            return

    def _answer_instead(self, request: Request, reply: Reply) -> None:
        """Answer for an application that returned without a response."""
        body = request.body if request.expects else None
        if body is None or not body.gone:
            # It timed out just before the response began, unless the body never arrived.
            error = body.refusal if body is not None else None
            self._answer(reply, error or HTTPError(504, "the application took too long"))

    def _answer(self, reply: Reply, error: HTTPError) -> None:
        try:
            retry_after = responses.RETRY_AFTER_SECONDS if error.status == 503 else 0
            reply.begin(*responses.plain(error.status, error.reason, True, retry_after), True)
            reply.end()
        except ClientGone:
            return
