"""The worker's own HTTP channel: a whole request becomes a turn, and the turn a response.

Law: glue between the poller, the turns and the WSGI resource; runs the application on the thread of the turn only.
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
from ..loop.local_queue import LocalQueue
from ..loop.poller import Poller
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
    """Serves the requests of all connections of a worker with one application (`reply.Surroundings`).

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
        self._waiting: LocalQueue
        self.access: AccessLog | None = None
        self._credit: Callable[[], None]
        self.answered: Callable[[Seat, int], None]
        self.waited: Callable[[int], None]

    def configure(self, settings: Settings) -> None:
        """From now on these settings count."""
        self.write_timeout = settings.write_timeout
        self._keeps_none = not settings.keep_alive
        workers = settings.workers_bounds.most if settings.workers_bounds is not None else settings.workers
        several = settings.threads > 1, workers > 1
        if several != self._several:
            # What was remembered of environs belongs to their maker.
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
        """The poller gets each connection back when its turn is over; `answered` is told a little earlier.

        :param waiting: the requests that no thread has yet.
        :param credit: tells the master that a thread is free.
        :param waited: told how long a request has waited for its thread, in nanoseconds.
        """
        self._poller = poller
        self._waiting = waiting
        self._credit = credit
        self.answered = answered
        self.waited = waited

    def accept_queued(self, connection: Connection) -> bool:
        """All threads are busy: whether the request waits here for one."""
        return self._waiting.enqueue(connection)

    def claim_queued(self, connection: Connection) -> bool:
        """A thread has come for a request that waits; false when that is somebody else's by now."""
        return self._waiting.claim(connection)

    def report_free_thread(self) -> None:
        """Tell the master, where requests wait for it, that a thread has nothing to do."""
        if self._words[H_QUEUED] and self._waiting.has_free_thread():
            self._credit()

    def closes_connections(self) -> bool:
        """Whether an answer is the last one of its connection: the server stops, or keeps no idle connections."""
        return self._words[H_STOPPING] != 0 or self._keeps_none or self._poller.stopping

    def serve(self, connection: Connection, seat: Seat, now: int) -> bool:
        """One turn: answer the request of a connection, on this thread; the time is in monotonic nanoseconds.

        Where the thread leads, a small answer may be `connection.answer` and not sent: the turn is over when it is.
        """
        request = connection.request
        assert request is not None
        reply = Reply(connection, request, seat, self)
        try:
            self._answer_request(connection, request, reply, seat, now)
        except BaseException:
            # An error of ours; the connection has no answer, or half of one.
            self.log.failure("internal error in a request")
            connection.stream.keep = False
        try:
            if request.body.__class__ is not bytes:
                request.body.drop()
            if self.access is not None:
                self.access.note(connection, reply, now)
        except BaseException:
            # The answer is made; neither its client nor this thread has any part in that.
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
        # From here on it is the poller's: nothing of it is touched any more.
        self._poller.turn_ended(connection)
        self._tell_free_late()
        return False

    def _tell_free_late(self) -> None:
        try:
            self.report_free_thread()
        except BaseException:
            # The leader tells again before it waits.
            self.log.failure("internal error after a request")

    def deliver(self, connection: Connection, seat: Seat, now: int) -> None:
        """Send an answer that was made: together with others, or, where the thread has lost the lead, now."""
        if seat.leads:
            self._poller.defer(connection, now)
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
                # It came between the application's last line and ours.
                seat.shield()
                forks.leave_if_forked()
                if reply.code and not reply.whole and connection.answer is None:
                    # Half of an answer must not look like a whole one.
                    connection.stream.keep = False
            if not reply.code:
                self._answer_instead(request, reply)

    def _refuse_for(self, seconds: int, reply: Reply) -> None:
        """503: it killed workers (RFC 9110 section 15.6.4)."""
        status, fields, body = responses.plain(503, retry_after=seconds)
        try:
            reply.begin(status, fields, body, True)
            reply.end()
        except ClientGone:
            return

    def _answer_instead(self, request: Request, reply: Reply) -> None:
        """The application has left without an answer."""
        body = request.body if request.expects else None
        if body is None or not body.gone:
            # Its time was over where the answer was about to begin, unless the body did not come.
            error = body.refusal if body is not None else None
            self._answer(reply, error or HTTPError(504, "the application took too long"))

    def _answer(self, reply: Reply, error: HTTPError) -> None:
        try:
            retry_after = responses.RETRY_AFTER_SECONDS if error.status == 503 else 0
            reply.begin(*responses.plain(error.status, error.reason, True, retry_after), True)
            reply.end()
        except ClientGone:
            return
