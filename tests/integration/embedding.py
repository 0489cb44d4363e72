"""`WSGIPoolService` in this very process, for tests that look into it.

Law: what is started here ends with its test.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import treq
from twisted.application.service import MultiService
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.trial import unittest
from twisted.web.client import HTTPConnectionPool

from tests.integration.conftest import put_probe
from twistcorn.service import WSGIPoolService

reactor: Any = installed_reactor


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Embedding(unittest.TestCase):
    """A service of a `MultiService` in the reactor of these tests, asked with treq."""

    timeout = 60

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        put_probe(self.folder)
        self.pool = HTTPConnectionPool(reactor)
        self.addCleanup(self.pool.closeCachedConnections)
        self.parent = MultiService()

    def embed(self, app: str = "app:app", **settings: Any) -> WSGIPoolService:
        """A service in the application, which stops with the test."""
        settings.setdefault("listen", [f"127.0.0.1:{free_port()}"])
        service = WSGIPoolService(app, reactor=reactor, chdir=str(self.folder), **settings)
        service.setServiceParent(self.parent)
        self.addCleanup(lambda: self.parent.stopService() if self.parent.running else None)
        return service

    def get(self, service: WSGIPoolService, path: str) -> Deferred[Any]:
        """The body of an answer."""
        port = service.settings.listen[0].split(":")[1]
        answer: Deferred[Any] = treq.get(f"http://127.0.0.1:{port}{path}", pool=self.pool, reactor=reactor)
        return answer.addCallback(treq.text_content)
