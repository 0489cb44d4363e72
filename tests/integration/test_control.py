"""The control socket of a server that runs: its file, who is heard, what is refused, how fast it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.integration.command import said
from tests.integration.conftest import Start
from tests.integration.harness import Program, Server
from twistcorn.client import Client
from twistcorn.wire.control import MAX_REQUEST

#: The issue's bound for the answer to `status` under full load, and what a machine that others use may add to one.
ANSWERED, WORST = 0.1, 1.0


@pytest.fixture
def server(start: Start) -> Server:
    """A server with one worker."""
    return start("app:app").ready()


def speak(path: Path, data: bytes) -> list[dict[str, object]]:
    """What a server answers to these bytes, until it closes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in sock.makefile("rb")]


class TestFile:
    def test_it_is_ours_and_goes_with_us(self, server: Server) -> None:
        """Mode 0600; gone after the stop, as `Program.end` sees of every server of these tests."""
        assert stat.S_IMODE(server.control.stat().st_mode) == 0o600
        server.send(signal.SIGTERM)
        server.exit_code()
        assert list(server.runtime.iterdir()) == []

    def test_a_server_that_was_killed(self, start: Start, server: Server) -> None:
        """The socket that it left is replaced."""
        server.send(signal.SIGKILL)
        server.exit_code()
        assert server.control.is_socket()
        second = start("app:app", "--control", str(server.control)).ready()
        assert f"pid {second.pid}:" in said(server, "status")
        assert not second.seen("no control socket")

    def test_two_servers(self, start: Start, server: Server) -> None:
        """The first one keeps the place; the second one warns once, with the pid, and serves without."""
        second = start("app:app", env={"XDG_RUNTIME_DIR": str(server.runtime)}).ready()
        (warning,) = second.seen("no control socket")
        assert f"running server (pid {server.pid}); set another --control PATH" in warning.string
        assert second.get("/version") == "one"
        second.send(signal.SIGTERM)
        assert second.exit_code() == 0
        assert f"pid {server.pid}:" in said(server, "status")

    @pytest.mark.parametrize("place", ["missing/x.sock", "x" * 120, "app.py"])
    def test_it_cannot_be_made(self, start: Start, folder: Path, place: str) -> None:
        """One warning; the server serves, and a file in the way is left alone."""
        server = start("app:app", "--control", place).ready()
        assert len(server.seen("no control socket at")) == 1
        assert server.get("/version") == "one"
        assert (folder / "app.py").is_file()

    def test_off(self, start: Start) -> None:
        """There is none, and not a word of it."""
        server = start("app:app", env={"TWISTCORN_CONTROL": "off"}).ready()
        assert list(server.runtime.iterdir()) == []
        assert not server.seen("control socket")

    def test_embedded(self, start: Start, folder: Path) -> None:
        """A service in another program has one where it is named, and only there; it does not stop that program."""
        text = (
            "from twisted.application.service import Application\n"
            "from twisted.internet import reactor\n"
            "from twistcorn.service import WSGIPoolService\n"
            "application = Application('mysite')\n"
            "service = WSGIPoolService('app:app', reactor=reactor, listen=['127.0.0.1:0']{more})\n"
            "service.setServiceParent(application)\n"
        )
        (folder / "mysite.tac").write_text(text.format(more=""))
        plain = start(front="tac", listen=()).ready()
        assert list(plain.runtime.iterdir()) == []
        (folder / "mysite.tac").write_text(text.format(more=f", control={str(plain.control)!r}"))
        server = start(front="tac", listen=()).ready()
        assert [answer["ok"] for answer in speak(plain.control, b'{"command": "status"}\n')] == [True]
        (answer,) = speak(plain.control, b'{"command": "stop"}\n')
        assert answer == {"ok": False, "error": "the server is embedded in another program: stop that program"}
        assert server.get("/version") == "one"
        server.send(signal.SIGTERM)
        server.exit_code()
        assert not plain.control.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else(server: Server) -> None:
    """Another user is not heard, even where the permissions would let him in."""
    server.runtime.chmod(0o755)
    server.control.chmod(0o666)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        os.seteuid(65534)
        try:
            sock.connect(str(server.control))
        finally:
            os.seteuid(0)
        # Nothing is read before it is refused.
        assert sock.recv(1) == b""
    server.wait_for(r"control socket: refused user 65534 \(pid \d+\)")


class TestWrongRequests:
    def test_each_is_refused_and_nothing_is_changed(self, server: Server) -> None:
        """One clear line for each; the connection goes on, and so does the server, as it was."""
        wrong = [b"hello", b"GET / HTTP/1.1", b"[" * 10_000, b"{}", b'{"command": "scale", "workers": "9"}', b"\xff\0"]
        before = speak(server.control, b'{"command": "workers"}\n')[0]["result"]
        assert isinstance(before, list)
        answers = speak(server.control, b"\n".join([*wrong, b'{"command": "status"}', b""]))
        assert [answer["ok"] for answer in answers] == [False] * len(wrong) + [True]
        assert all("\n" not in str(answer["error"]) for answer in answers[:-1])
        after = json.loads(said(server, "workers", "--json"))
        assert [each["pid"] for each in after] == [each["pid"] for each in before]

    def test_a_line_without_an_end(self, server: Server) -> None:
        """It is refused when it is too long, and the connection is closed."""
        (answer,) = speak(server.control, b"x" * MAX_REQUEST)
        assert str(answer["error"]).startswith("request too long")
        assert server.get("/version") == "one"

    def test_a_client_that_never_reads(self, server: Server) -> None:
        """It gets what fits its socket, costs the server nothing more, and holds up nobody."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(server.control))
            sock.settimeout(0.5)
            # More than all sockets and buffers on the way can take.
            with pytest.raises((TimeoutError, ConnectionError)):
                sock.sendall(b'{"command": "snapshot"}\n' * 1_000_000)
            before = memory(server)
            assert f"pid {server.pid}" in said(server, "status")
            assert memory(server) - before < 4 << 20


def memory(program: Program) -> int:
    """Resident bytes of a program."""
    return int(Path(f"/proc/{program.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def busy(start: Start) -> Iterator[Server]:
    """A server under all the load that this machine can make."""
    server = start("app:app", "--workers", "2").ready(2)
    assert isinstance(server.address, tuple)
    program = find_program("wrk")
    assert program is not None
    url = f"http://{server.address[0]}:{server.address[1]}/version"
    wrk = subprocess.Popen([program, "-t2", "-c64", "-d30s", url], stdout=subprocess.DEVNULL)
    try:
        yield server
    finally:
        wrk.kill()
        wrk.wait()


@pytest.mark.slow
@pytest.mark.needs("wrk", "wrk")
def test_status_under_full_load(busy: Server) -> None:
    """It is answered within 100 ms."""
    client = Client(str(busy.control))
    took = []
    answered = client.ask("workers")
    for _ in range(100):
        began = time.monotonic()
        client.ask("status")
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    more = sum(each["requests"] for each in client.ask("workers")) - sum(each["requests"] for each in answered)
    client.close()
    print(f"status under {more} requests: median {statistics.median(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f}")
    assert more > 1000
    assert statistics.median(took) < ANSWERED
    assert max(took) < WORST
