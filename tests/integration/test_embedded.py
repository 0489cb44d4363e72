"""`WSGIPoolService` as a part of another Twisted application: in this very process, and in a .tac file."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.logger import globalLogPublisher

from tests.integration.conftest import Start, put_probe
from tests.integration.embedding import Embedding
from twistcorn.errors import AddressError, AppLoadError, BootError, TwistcornError

#: A running reactor has these itself.
OF_THE_REACTOR = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def surroundings() -> dict[str, object]:
    """What belongs to the process, and not to a service in it."""
    return {
        **{
            number.name: signal.getsignal(number) for number in signal.Signals if number not in OF_THE_REACTOR
        },
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "directory": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "observers": list(globalLogPublisher._observers),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environment": dict(os.environ),
        "path": list(sys.path),
    }


class EmbeddedService(Embedding):
    """A service in the application of these tests."""

    @inlineCallbacks
    def test_serves_stops_and_touches_nothing_of_the_process(self) -> Any:
        """It serves while the application runs, leaves with it, and the process stays as it was."""
        before = surroundings()
        service = self.embed(workers=2)
        self.parent.startService()
        yield service.when_ready()
        during = surroundings()
        answers = yield DeferredList([self.get(service, "/pid") for _ in range(20)], fireOnOneErrback=True)
        pids = {int(body) for _, body in answers}
        assert os.getpid() not in pids
        yield self.pool.closeCachedConnections()
        yield self.parent.stopService()
        assert during == before
        assert surroundings() == before
        for pid in pids:
            assert not Path(f"/proc/{pid}").exists()

    @inlineCallbacks
    def test_reloads_and_scales_by_its_verbs(self) -> Any:
        """`reload` and `scale` do what the signals do for a standalone server."""
        service = self.embed()
        self.parent.startService()
        yield service.when_ready()
        put_probe(self.folder, "two")
        service.reload()
        while (yield self.get(service, "/version")) != "two":
            yield self.pool.closeCachedConnections()
        yield self.pool.closeCachedConnections()
        yield self.parent.stopService()

    @inlineCallbacks
    def test_two_services_live_in_one_application(self) -> Any:
        """Two pools with applications of their own do not know of each other."""
        one = self.embed()
        two = self.embed("twistcorn.demo:app")
        self.parent.startService()
        yield DeferredList([one.when_ready(), two.when_ready()], fireOnOneErrback=True)
        assert (yield self.get(one, "/version")) == "one"
        assert (yield self.get(two, "/healthz")) == "ok"
        yield self.pool.closeCachedConnections()
        yield self.parent.stopService()

    @inlineCallbacks
    def test_app_that_cannot_boot_is_told_to_the_owner(self) -> Any:
        """What can never serve is an error for `when_ready` and `on_fatal`; the process goes on."""
        told: Deferred[TwistcornError] = Deferred()
        service = self.embed("ap:app", on_fatal=told.callback)
        self.parent.startService()
        error = yield self.assertFailure(service.when_ready(), BootError, AppLoadError)
        assert "Did you mean `app:app`?" in str(error)
        assert str((yield told)) == str(error)
        yield self.parent.stopService()

    @inlineCallbacks
    def test_address_in_use_is_told_to_the_owner(self) -> Any:
        """A taken address is too."""
        first = self.embed()
        self.parent.startService()
        yield first.when_ready()
        told: Deferred[TwistcornError] = Deferred()
        second = self.embed(listen=first.settings.listen, on_fatal=told.callback)
        error = yield self.assertFailure(second.when_ready(), AddressError)
        assert "Address already in use" in str(error)
        assert str((yield told)) == str(error)
        yield self.parent.stopService()


TAC = """\
from twisted.application.service import Application
from twisted.internet import reactor
from twistcorn.service import WSGIPoolService

application = Application("mysite")
WSGIPoolService("app:app", reactor=reactor, listen=["127.0.0.1:0"], workers=2).setServiceParent(application)
"""


def test_tac_file_serves_and_keeps_twistd_own_signals(start: Start, folder: Path) -> None:
    """In a .tac file it serves, leaves SIGHUP and the like to their defaults, and ends with the application."""
    (folder / "mysite.tac").write_text(TAC)
    server = start(front="tac", listen=()).ready(2)
    assert server.get("/version") == "one"
    caught = caught_signals(server.pid)
    assert signal.SIGTERM in caught
    assert not caught & {signal.SIGHUP, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU}
    server.send(signal.SIGTERM)
    assert server.exit_code() == -signal.SIGTERM


def caught_signals(pid: int) -> set[int]:
    """The signals that a process has handlers for (proc_pid_status(5))."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    mask = int(lines["SigCgt"], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}
