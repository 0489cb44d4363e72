"""The claims of twistcorn.master.control.socket: whose the socket is, where it is, and what becomes of its file."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.master.fake_sockets import Sockets
from tests.master.reception import Line, Reception
from tests.master.stage import Stage, texts
from twistcorn.errors import OperationError
from twistcorn.master.control import socket as control
from twistcorn.master.control.socket import (
    ACCEPT_RETRY_SECONDS,
    MAX_CLIENTS,
    Control,
    claim,
    open_control,
    place,
)
from twistcorn.wire.control import MAX_PATH, Peer


class Adopting(Sockets):
    """A reactor that takes over accepted connections; what they are sent is kept.

    :ivar lines: the transports, in the order of the connections.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        assert family == socket.AF_UNIX
        assert stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        self.lines.append(Line())
        factory.buildProtocol(None).makeConnection(self.lines[-1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short name: the path of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="tc-") as name:
        yield Path(name)


@pytest.fixture
def reactor() -> Adopting:
    """A reactor that does not run."""
    return Adopting()


@pytest.fixture
def make(stage: Stage, reactor: Adopting, folder: Path) -> Iterator[Callable[[], Control]]:
    """Makes a control socket in the folder."""
    made: list[Control] = []

    def make() -> Control:
        made.append(Control(reactor, str(folder / "x.sock"), Reception(stage).clerk))
        return made[-1]

    yield make
    for each in made:
        each.close()


def connected(path: Path) -> socket.socket:
    """A client's socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


class TestFile:
    @pytest.mark.parametrize("umask", [0, 0o022, 0o077])
    def test_it_is_nobody_else_s(self, folder: Path, umask: int) -> None:
        """Mode 0600 from bind(2) on, whatever the umask is, and that is not touched."""
        before = os.umask(umask)
        try:
            claim(str(folder / "x.sock")).close()
        finally:
            assert os.umask(before) == umask
        assert stat.S_IMODE((folder / "x.sock").stat().st_mode) == 0o600

    def test_a_dead_server_s(self, folder: Path) -> None:
        """It is replaced."""
        path = folder / "x.sock"
        claim(str(path)).close()
        assert path.is_socket()
        with claim(str(path)):
            connected(path).close()

    def test_a_live_server_s(self, folder: Path) -> None:
        """It is left alone, and its pid is told."""
        path = str(folder / "x.sock")
        with claim(path) as first:
            with pytest.raises(OperationError, match=rf"running server \(pid {os.getpid()}\); set another --control"):
                claim(path)
            connected(folder / "x.sock").close()
            # The first one is still listened to: the question whether it lives, and a client.
            for _ in range(2):
                first.accept()[0].close()

    def test_a_busy_server_s(self, folder: Path) -> None:
        """One whose backlog is full lives, too."""
        path = folder / "x.sock"
        with claim(str(path)) as first, connected(path), connected(path):
            first.listen(0)
            with pytest.raises(OperationError, match="which is busy"):
                claim(str(path))

    def test_something_else(self, folder: Path) -> None:
        """A file is not removed."""
        path = folder / "x.sock"
        path.write_text("precious")
        with pytest.raises(OperationError, match="not a socket"):
            claim(str(path))
        assert path.read_text() == "precious"

    @pytest.mark.parametrize(
        ("path", "why"),
        [("missing/x.sock", "No such file"), ("x" * (MAX_PATH + 1), f"at most {MAX_PATH} bytes")],
    )
    def test_it_cannot_be(self, folder: Path, path: str, why: str) -> None:
        """It is said why."""
        with pytest.raises(OperationError, match=why):
            claim(str(folder / path))

    def test_two_at_once(self, folder: Path) -> None:
        """Of several servers that find a dead one's socket, one gets the place."""
        path = str(folder / "x.sock")
        claim(path).close()
        got: list[socket.socket] = []
        refused: list[OperationError] = []

        def start() -> None:
            try:
                got.append(claim(path))
            except OperationError as problem:
                refused.append(problem)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 7)
        got[0].close()

    def test_it_goes_with_the_server(self, make: Callable[[], Control], folder: Path) -> None:
        """But not when another one has the place by now."""
        make().close()
        assert list(folder.iterdir()) == []

        first = make()
        (folder / "x.sock").unlink()
        second = make()
        first.close()
        assert (folder / "x.sock").is_socket()
        second.close()
        assert list(folder.iterdir()) == []


class TestPlace:
    def test_the_first_directory_that_is_there(self, folder: Path) -> None:
        """The session's, if it can be written."""
        assert place({"XDG_RUNTIME_DIR": str(folder)}, 0) == f"{folder}/twistcorn.sock"
        assert place({"XDG_RUNTIME_DIR": f"{folder}/missing"}, 0) != f"{folder}/missing/twistcorn.sock"

    def test_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are named."""
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(OperationError, match="among /run/user/7, /run; set"):
            place({}, 7)


class TestClients:
    def test_one_of_ours(self, make: Callable[[], Control], reactor: Adopting, folder: Path) -> None:
        """It is heard."""
        made = make()
        with connected(folder / "x.sock"):
            reactor.turn()
        made.close()
        assert len(reactor.lines) == 1
        assert reactor.lines[0].disconnecting

    @pytest.mark.parametrize(("uid", "heard"), [(0, True), (1000, True), (1001, False), (65534, False)])
    def test_who_is_heard(
        self, make: Callable[[], Control], reactor: Adopting, folder: Path, monkeypatch: pytest.MonkeyPatch,
        uid: int, heard: bool,
    ) -> None:  # fmt: skip
        """Root and the user of the server, whatever the permissions; another one is told in the log."""
        make()
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(control, "peer_of", lambda sock: Peer(77, uid))
        with connected(folder / "x.sock") as client, capturedLogs() as logged:
            reactor.turn()
            if not heard:
                assert client.recv(1) == b""
        assert len(reactor.lines) == heard
        assert texts(logged) == ([] if heard else [f"control socket: refused user {uid} (pid 77)"])

    def test_too_many(self, make: Callable[[], Control], reactor: Adopting, folder: Path) -> None:
        """One more than there may be is told so; when one has gone there is room again."""
        make()
        for _ in range(MAX_CLIENTS + 1):
            connected(folder / "x.sock").close()
            reactor.turn()
        assert [line.disconnecting for line in reactor.lines] == [False] * MAX_CLIENTS + [True]
        assert reactor.lines[-1].answer["error"] == f"too many clients: at most {MAX_CLIENTS}"

    def test_no_descriptor_is_left(
        self, make: Callable[[], Control], reactor: Adopting, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Accepting pauses, and goes on."""
        made = make()
        with monkeypatch.context() as patch, connected(folder / "x.sock"):
            patch.setattr(made, "_sock", Exhausted(made._sock))
            reactor.turn()
            assert made not in reactor.readers
        reactor.advance(ACCEPT_RETRY_SECONDS)
        reactor.turn()
        assert len(reactor.lines) == 1

    def test_who_waits_for_the_end(self, make: Callable[[], Control], reactor: Adopting, folder: Path) -> None:
        """That connection is left to the end of the process; others end with the socket."""
        made = make()
        for _ in range(2):
            connected(folder / "x.sock").close()
            reactor.turn()
        stopping, other = made._sessions
        stopping.stops = True
        made.close()
        assert [bool(session._out.disconnecting) for session in (stopping, other)] == [False, True]


class Exhausted:
    """A socket that has no descriptor for whoever connects."""

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno
        self.close = sock.close

    def accept(self) -> None:
        raise OSError(24, "Too many open files")


def test_without(stage: Stage, reactor: Adopting, folder: Path) -> None:
    """A socket that cannot be made is one warning, and none."""

    def nowhere() -> str:
        raise OperationError("there is no directory")

    clerk = Reception(stage).clerk
    with capturedLogs() as logged:
        assert open_control(reactor, lambda: f"{folder}/missing/x.sock", clerk) is None
        assert open_control(reactor, nowhere, clerk) is None
    assert texts(logged) == [
        f"no control socket at {folder}/missing/x.sock: No such file or directory",
        "no control socket: there is no directory",
    ]
