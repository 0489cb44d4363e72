"""One client of the control socket: lines in, lines out.

Law: requests are answered one after the other, and not read faster than the client takes the answers. Only the
`commands` changes anything; no line ends in a traceback.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import OperationError, TwistcornError
from ...logs.logger import Logger
from ...wire.control import MAX_REQUEST, encode
from .commands import ControlCommands
from .orders import FOLLOWING, ControlRequest, read


class SessionPhase(enum.Enum):
    """The phase of a session.

    WAITING for a request; WORKING on one that is not answered yet; FOLLOWING: the answer has no end; CLOSING: input is
    no longer read.
    """

    WAITING = enum.auto()
    WORKING = enum.auto()
    FOLLOWING = enum.auto()
    CLOSING = enum.auto()


@implementer(IHalfCloseableProtocol, IPushProducer)
class Session(Protocol):
    """One connection.

    :param gone: called when the connection is lost.
    :ivar stops: its client has asked the server to stop, and waits for that.
    """

    log = Logger()

    def __init__(self, clerk: ControlCommands, gone: Callable[[Session], None]) -> None:
        self.stops = False
        self._clerk = clerk
        self._gone = gone
        self._phase = SessionPhase.WAITING
        self._unread = b""
        self._in_loop = False
        #: The client does not read what it was sent; lines dropped because of that.
        self._full = False
        self._dropped = 0
        #: So much is unanswered that reading from the socket is paused.
        self._held = False
        #: The client sends no more.
        self._ended = False
        self._unfollow: Callable[[], None] = lambda: None

    def connectionMade(self) -> None:
        """Register for the backpressure of the client."""
        out: Any = self.transport
        self._out = out
        out.registerProducer(self, True)

    def refuse(self, why: str) -> None:
        """Answer with an error, and close."""
        self._send({"ok": False, "error": why})
        self.close()

    def close(self) -> None:
        """End the connection; buffered answers are still sent, unless the client does not read."""
        if self._phase is not SessionPhase.CLOSING:
            self._phase = SessionPhase.CLOSING
            self._unread = b""
            self._unfollow()
            # A transport with a producer waits for that to finish.
            self._out.unregisterProducer()
            if self._full:
                self._out.abortConnection()
            else:
                self._out.loseConnection()

    # Input

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._phase is not SessionPhase.CLOSING:
            self._unread += data
            self._process_next()

    def readConnectionLost(self) -> None:
        """The client sends no more, but may still read (`nc -N`)."""
        if self._phase is SessionPhase.FOLLOWING:
            self.close()
        self._ended = True
        self._process_next()

    def writeConnectionLost(self) -> None:
        """See IHalfCloseableProtocol: the server never closes one half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is lost, whichever side ended it."""
        if self._phase is not SessionPhase.CLOSING:
            self._phase = SessionPhase.CLOSING
            self._unfollow()
        self._gone(self)

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._full = False
        self._process_next()

    def stopProducing(self) -> None:
        """See IPushProducer: `connectionLost` follows."""

    # One request after the other

    def _process_next(self) -> None:
        if self._in_loop:
            return
        self._in_loop = True
        while self._phase is SessionPhase.WAITING and not self._full:
            line, end, rest = self._unread.partition(b"\n")
            if not end or len(line) >= MAX_REQUEST:
                break
            self._unread = rest
            self._take(line)
        self._in_loop = False
        if self._is_endless():
            self.refuse(f"request too long: at most {MAX_REQUEST} bytes")
            return
        held = self._phase is not SessionPhase.CLOSING and len(self._unread) >= MAX_REQUEST
        if held is not self._held:
            self._held = held
            # A transport that resumed after its end would report the end again; a held one has not ended.
            (self._out.pauseProducing if held else self._out.resumeProducing)()
        if self._ended and self._phase is SessionPhase.WAITING and not self._full:
            self.close()

    def _is_endless(self) -> bool:
        """Whether the next request is too long, or would have to wait for an answer that has no end."""
        if len(self._unread) < MAX_REQUEST:
            return False
        return self._phase is SessionPhase.FOLLOWING or b"\n" not in self._unread[:MAX_REQUEST]

    def _take(self, line: bytes) -> None:
        try:
            request = read(line)
        except OperationError as error:
            self._send({"ok": False, "error": str(error)})
            return
        self._phase = SessionPhase.WORKING
        done = maybeDeferred(self._clerk.do, request)
        done.addCallback(self._answer, request)
        done.addErrback(self._fail)
        done.addCallback(lambda _: self._process_next())

    def _answer(self, result: object, request: ControlRequest) -> None:
        if self._phase is SessionPhase.CLOSING:
            return
        self._send({"ok": True, "result": result})
        self._phase = SessionPhase.WAITING
        self.stops = self.stops or request.command == "stop"
        if request.command in FOLLOWING:
            unfollow = self._clerk.follow(request, self._send_result)
            if unfollow is not None:
                self._phase, self._unfollow = SessionPhase.FOLLOWING, unfollow

    def _fail(self, failure: Failure) -> None:
        line: dict[str, object] = {"ok": False, "error": "internal error; see the server log"}
        # An invalid value is a SettingsError.
        if failure.check(TwistcornError):
            line["error"] = failure.getErrorMessage()
            if detail := getattr(failure.value, "detail", ""):
                line["detail"] = detail
        else:
            self.log.failure("internal error in a command on the control socket", failure=failure)
        if self._phase is not SessionPhase.CLOSING:
            self._phase = SessionPhase.WAITING
            self._send(line)

    def _send_result(self, result: object) -> None:
        """Send a further line, unless the client does not read."""
        if self._full:
            self._dropped += 1
            return
        line = {"ok": True, "result": result}
        if self._dropped:
            line["dropped"] = self._dropped
            self._dropped = 0
        self._send(line)

    def _send(self, line: dict[str, object]) -> None:
        self._out.write(encode(line))
