"""Workers that die of a request: the report names it, and offenders are kept out when the operator wants that."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import READY, Server


def poison(server: Server, target: str) -> int:
    """Ask for what kills the worker; returns the status."""
    with server.connect() as client:
        return client.get(target).status


@pytest.mark.parametrize(
    ("target", "how"), [("/segfault", "SIGSEGV"), ("/abort", "SIGABRT"), ("/exit", "exit code 3")]
)
def test_report_names_cause_and_request(start: Start, gate: Gate, target: str, how: str) -> None:
    """Signal or exit code, age, each request with its own; where faulthandler speaks, the guilty one and its stack."""
    server = start("app:app").ready()
    with server.connect() as other:
        other.ask("/wait")
        gate.visitor("request")
        # Until the master gives answers for the dead, the connection ends.
        assert poison(server, f"{target}?token=secret") in (0, 502)
    blamed = r" \(blamed\)" if target != "/exit" else ""
    died = rf"died after [\d.]+ s: {how}.*; running:.* GET {target} for \d+\.\d s{blamed}"
    line = server.wait_for(died)[0].string
    assert "GET /wait for" in line
    if blamed:
        server.wait_for(r"Current thread 0x")
        server.wait_for(r"in app$")
    assert "secret" not in server.log


@pytest.mark.slow
def test_url_that_segfaults_twenty_times(start: Start) -> None:
    """Each report has the URL; the server serves on, and says once what keeps killing."""
    server = start("app:app", "--workers", "2").ready(2)
    for count in range(1, 21):
        assert poison(server, "/segfault") in (0, 502)
        server.wait_for(r"died after [\d.]+ s: SIGSEGV.*running: GET /segfault for 0\.\d s \(blamed\)", count=count)
        server.wait_for(READY, count=count + 2)
        assert server.get("/version") == "one"
    server.wait_for(r"GET /segfault killed 2 workers within a minute")


def test_only_request_that_ran_is_blamed_for_an_exit(start: Start) -> None:
    """Nothing says which thread it was, but there was only one."""
    server = start("app:app").ready()
    poison(server, "/exit")
    server.wait_for(r"died after [\d.]+ s: exit code 3.*; running: GET /exit for 0\.\d s \(blamed\)")


def test_kill_from_outside_blames_nobody(start: Start, gate: Gate) -> None:
    """The request that ran is named, and that is all."""
    server = start("app:app").ready()
    with server.connect() as client:
        client.ask("/wait")
        os.kill(gate.visitor("request").pid, signal.SIGKILL)
        server.wait_for(r"died after [\d.]+ s: SIGKILL.*; running: GET /wait for \d+\.\d s; connections: ")


def test_offender_is_put_in_quarantine(start: Start) -> None:
    """After as many deaths as the operator allows it is answered 503, by new workers too; other requests are served."""
    server = start("app:app", "--workers", "2", "--quarantine-after", "2").ready(2)
    for count in (3, 4):
        poison(server, "/segfault")
        server.wait_for(READY, count=count)
    server.wait_for(r"quarantine: answering 503 to GET /segfault")
    with server.connect() as client:
        answer = client.get("/segfault?again=1")
        assert answer.status == 503
        assert 0 < int(answer.headers["retry-after"]) <= 300
        assert client.get("/version").status == 200
        since = server.mark()
        server.send(signal.SIGHUP)
        server.wait_for(r"reload complete", since=since)
        assert client.get("/segfault").status == 503
        client.ask("/segfault", "POST", b"")
        # Another method is another request.
        assert client.response().status == 502
