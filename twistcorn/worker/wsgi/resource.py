"""The WSGI application as a Twisted resource.

Law: everything specific to `twisted.web` is here; `call.Call` calls the application, as in the worker's own channel.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextvars import Context
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorFromThreads
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadpool import ThreadPool
from twisted.web import wsgi
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from ...pristine import threading
from ..http.responses import Fields
from ..loop.stream import ClientGone
from .call import Application, Call, Out
from .environ import variable
from .files import FileWrapper


@implementer(IPushProducer)
class RequestOut:
    """Sends a response through a `twisted.web` request, from a thread that is not the reactor's.

    A complete response takes one hop to the reactor thread. Each piece of a longer body waits until it is written and
    the transport, whose producer this is, wants more.
    """

    def __init__(self, reactor: Any, request: Request, name: str) -> None:
        self.name = name
        self.is_head = request.method in (b"HEAD", "HEAD")
        self._reactor = reactor
        self._request = request
        self._gone = False
        self._wanted = threading.Event()
        self._wanted.set()
        self._producing = False
        self._pending: tuple[str, Fields, bytes] | None = None
        request.notifyFinish().addBoth(self._finished)

    def _finished(self, result: object) -> None:
        self._gone = True
        self._wanted.set()

    # IPushProducer, on the reactor thread

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._wanted.clear()

    def resumeProducing(self) -> None:
        """The transport wants more."""
        self._wanted.set()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self._finished(None)

    # Out, on the app's thread

    def begin(self, status: str, fields: Fields, data: bytes, whole: bool) -> None:
        """Send the head and the first bytes; a complete response waits for `end`."""
        if whole:
            self._pending = (status, fields, data)
            return
        self._wait(lambda: self._start(status, fields, data))

    def send_file(self, status: str, fields: Fields, descriptor: int, offset: int, size: int) -> bool:
        """Never called: the transport may be anything, so `Call` iterates instead."""
        return False

    def more(self, data: bytes) -> None:
        """Send a piece when the transport wants it."""
        self._wanted.wait()
        self._wait(lambda: self._request.write(data))

    def check_client(self) -> None:
        """Check that the client is still there."""
        if self._gone:
            raise ClientGone

    def end(self) -> None:
        """Finish the response, without waiting."""
        self._reactor.callFromThread(self._finish)

    def cut(self) -> None:
        """Close the connection."""
        self._pending = None
        self._reactor.callFromThread(lambda: None if self._gone else self._request.loseConnection())

    # How, on the reactor thread

    def _wait(self, function: Callable[[], object]) -> None:
        """Run a function on the reactor thread and wait for it.

        :raises ClientGone: the client was gone before or after it.
        """
        if not self._gone:
            blockingCallFromThread(self._reactor, lambda: None if self._gone else function())
        if self._gone:
            raise ClientGone

    def _start(self, status: str, fields: Fields, data: bytes) -> None:
        request = self._request
        self._producing = True
        request.registerProducer(self, True)
        self._write(status, fields, data)

    def _write(self, status: str, fields: Fields, data: bytes) -> None:
        request = self._request
        # The application decides; without this Twisted adds text/html.
        request.defaultContentType = None
        request.setResponseCode(int(status[:3]), status[4:].encode("latin-1"))
        values: dict[bytes, list[bytes]] = {}
        if fields.length is not None:
            values[b"Content-Length"] = [b"%d" % fields.length]
        for line in fields.text.split("\r\n")[:-1]:
            name, _, value = line.partition(": ")
            values.setdefault(name.encode("latin-1"), []).append(value.encode("latin-1"))
        for field, each in values.items():
            # Replaces the site's own Server and Date.
            request.responseHeaders.setRawHeaders(field, each)
        if data:
            request.write(data)

    def _finish(self) -> None:
        if self._gone:
            return
        if self._pending is not None:
            self._write(*self._pending)
        if self._producing and not self._gone:
            self._request.unregisterProducer()
        if not self._gone:
            self._request.finish()


def site_environ(request: Request, body: Any) -> dict[str, Any]:
    """The environ of a request of a Twisted `Site`, by the rules of `environ` as far as a `Site` allows.

    :param body: the file with the complete body.
    """
    peer, host = request.getClientAddress(), request.getHost()
    script_name = "".join("/" + part.decode("latin-1") for part in request.prepath or ())
    path = "".join("/" + part.decode("latin-1") for part in request.postpath or ())
    environ: dict[str, Any] = {
        "REQUEST_METHOD": _native(request.method),
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path,
        "QUERY_STRING": request.uri.partition(b"?")[2].decode("latin-1"),
        "RAW_URI": request.uri.decode("latin-1"),
        "REMOTE_ADDR": str(getattr(peer, "host", "")),
        "REMOTE_PORT": str(getattr(peer, "port", "")),
        "CONTENT_TYPE": (request.getHeader(b"content-type") or b"").decode("latin-1"),
        "CONTENT_LENGTH": (request.getHeader(b"content-length") or b"").decode("latin-1"),
        "SERVER_NAME": _native(request.getRequestHostname()),
        "SERVER_PORT": str(getattr(host, "port", 80)),
        "SERVER_PROTOCOL": request.clientproto.decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if request.isSecure() else "http",
        "wsgi.run_once": False,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        # Twisted's own: writes go to Twisted's log.
        "wsgi.errors": wsgi._ErrorStream(),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }
    fields: Any = request.requestHeaders.getAllRawHeaders()
    for name, values in fields:
        key = variable(name.lower())
        if key.startswith("HTTP_"):
            joint = b"; " if key == "HTTP_COOKIE" else b","
            environ[key] = joint.join(values).decode("latin-1").replace("\n", " ")
    if environ.pop("HTTP_TRANSFER_ENCODING", "") and not environ["CONTENT_LENGTH"]:
        # The body is complete and decoded.
        environ["CONTENT_LENGTH"] = str(body.seek(0, io.SEEK_END))
        body.seek(0)
    return environ


def _native(text: bytes | str) -> str:
    """A native string; a subclass of Twisted's request may already have one."""
    return text if isinstance(text, str) else text.decode("latin-1")


class WSGIResource(wsgi.WSGIResource):
    """A WSGI application as a resource, in the worker's own HTTP channel and in any Twisted `Site`.

    :param reactor: runs the `Site`.
    :param threadpool: runs the application for requests of a `Site`.
    :param application: the WSGI application.
    """

    def __init__(
        self, reactor: IReactorFromThreads, threadpool: ThreadPool, application: Application
    ) -> None:
        super().__init__(reactor, threadpool, application)
        self._reactor: Any = reactor
        self._threadpool: Any = threadpool
        self.application = application

    def render(self, request: Request) -> int:
        """Serve a request of a Twisted `Site`."""
        # Twisted closes the body when the client goes, even while the app reads it: give it another one to close.
        body: Any = request.content
        request.content = io.BytesIO()
        environ = site_environ(request, body)
        name = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}"
        out = RequestOut(self._reactor, request, name)

        def run() -> None:
            try:
                Call(out).run(self.application, environ)
            finally:
                body.close()

        self._threadpool.callInThread(run)
        return NOT_DONE_YET

    def run(self, out: Out, environ: dict[str, Any]) -> None:
        """Serve a request of the worker's own channel, on the calling thread, in its own context (PEP 567)."""
        Context().run(Call(out, True).run, self.application, environ)
