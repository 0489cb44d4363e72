"""The claims of twistcorn.client: it finds the server, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twistcorn import client
from twistcorn.client import Client, connect
from twistcorn.errors import EXIT_UNAVAILABLE, OperationError, UnreachableError
from twistcorn.wire.control import OFF


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short name."""
    with tempfile.TemporaryDirectory(prefix="tc-") as name:
        yield Path(name)


class Scripted:
    """A server that sends given bytes to one client, then waits for the client's end or closes.

    :ivar heard: the requests.
    """

    def __init__(self, path: Path, says: bytes, ends: bool = False) -> None:
        self.heard: list[object] = []
        self._says = says
        self._ends = ends
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._sock, self._sock.accept()[0] as accepted, accepted.makefile("rb") as lines:
            self.heard.append(json.loads(lines.readline()))
            accepted.sendall(self._says)
            if not self._ends:
                lines.read()

    def join(self) -> None:
        self._thread.join()


@pytest.fixture
def scripted(folder: Path) -> Iterator[Callable[..., tuple[Scripted, Client]]]:
    """Makes such a server and a client of it."""
    servers: list[Scripted] = []
    clients: list[Client] = []

    def make(says: bytes, ends: bool = False) -> tuple[Scripted, Client]:
        servers.append(Scripted(folder / "x.sock", says, ends))
        clients.append(connect(str(folder / "x.sock"), {}, 0))
        return servers[-1], clients[-1]

    yield make
    for each in clients:
        each.close()
    for server in servers:
        server.join()


Make = Callable[..., tuple[Scripted, Client]]


class TestAsking:
    def test_an_answer(self, scripted: Make) -> None:
        """The request is one line, the answer its result."""
        server, client = scripted(b'{"ok": true, "result": {"workers": 3}}\n')
        assert client.ask("scale", workers=3) == {"workers": 3}
        assert server.heard == [{"command": "scale", "workers": 3}]
        assert client.pid == os.getpid()

    @pytest.mark.parametrize(
        ("says", "ends", "why"),
        [
            (b'{"ok": false, "error": "there is no worker 9"}\n', False, "there is no worker 9"),
            (b'{"ok": false}\n', False, "the server gave no reason"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "not a twistcorn server"),
            (b"[1]\n", False, "not a twistcorn server"),
            (b"", True, "the server closed the connection"),
            (b'{"ok": tr', True, "the server closed the connection"),
        ],
    )
    def test_no_answer(self, scripted: Make, says: bytes, ends: bool, why: str) -> None:
        """The error says what came instead."""
        _, client = scripted(says, ends)
        with pytest.raises(OperationError, match=why):
            client.ask("status")

    def test_refused_in_detail(self, scripted: Make) -> None:
        """What else is known comes with the error."""
        _, client = scripted(b'{"ok": false, "error": "off", "detail": "line 1\\nline 2"}\n')
        with pytest.raises(OperationError) as caught:
            client.ask("reload")
        assert (str(caught.value), caught.value.detail) == ("off", "line 1\nline 2")

    def test_silence(self, scripted: Make) -> None:
        """It times out."""
        _, client = scripted(b"")
        with pytest.raises(OperationError, match=rf"\(pid {os.getpid()}\) within 0.05 s"):
            client.ask("status", time=0.05)

    def test_many_lines(self, scripted: Make) -> None:
        """They come one by one, and those that are there at once."""
        _, client = scripted(b'{"ok":1}\n{"ok":2}\n{"ok":3}\n')
        client.send("watch")
        assert client.receive(5) == {"ok": 1}
        assert client.receive(5) == {"ok": 2}


class TestFinding:
    def test_the_first_of_the_default_places(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The client finds the path where a server listens, past a stale socket."""
        paths = [str(folder / name) for name in ("missing", "dead", "live")]
        monkeypatch.setattr(client, "default_paths", lambda environ, uid: paths)
        with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as live:
            dead.bind(paths[1])
            live.bind(paths[2])
            live.listen()
            found = connect("", {}, 0)
        assert found.path == paths[2]
        found.close()

    def test_nobody_listens(self, folder: Path) -> None:
        """The path is named, and what to do."""
        with pytest.raises(UnreachableError) as caught:
            connect(str(folder / "x.sock"), {}, 0)
        assert str(caught.value) == (
            f"no server at {folder}/x.sock (No such file or directory): start it, or name its control socket with"
            " --control PATH or TWISTCORN_CONTROL"
        )
        assert caught.value.exit_code == EXIT_UNAVAILABLE == 69

    def test_no_server_listens_anywhere(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each place is named."""
        monkeypatch.setattr(client, "default_paths", lambda environ, uid: [f"{folder}/a", f"{folder}/b"])
        with pytest.raises(UnreachableError, match=rf"at {folder}/a \(No such .*, {folder}/b \(No such"):
            connect("", {}, 0)

    def test_off(self) -> None:
        """That is no path."""
        with pytest.raises(UnreachableError, match="no control socket"):
            connect(OFF, {}, 0)

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (PermissionError(13, "Permission denied"), "permission denied: only root and the user of the server"),
            (OSError("AF_UNIX path too long"), "AF_UNIX path too long"),
        ],
    )
    def test_it_cannot_be_reached(self, monkeypatch: pytest.MonkeyPatch, error: OSError, why: str) -> None:
        """A server may be there; that is another failure."""

        def fail(path: str) -> Client:
            raise error

        monkeypatch.setattr(client, "Client", fail)
        with pytest.raises(OperationError, match=f"^/run/x.sock: {why}"):
            connect("/run/x.sock", {}, 0)


def test_refused_before_it_asked(folder: Path) -> None:
    """A server that has said why, and closed, is heard, although it does not hear."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "x.sock"))
        listening.listen()
        made = connect(str(folder / "x.sock"), {}, 0)
        with listening.accept()[0] as accepted:
            accepted.sendall(b'{"ok": false, "error": "too many clients: at most 64"}\n')
    with pytest.raises(OperationError, match="too many clients"):
        made.ask("status")
    made.close()
