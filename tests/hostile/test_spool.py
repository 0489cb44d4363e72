"""Request bodies that take more room than there is: on the disk, in memory, and in all workers together."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.conftest import COUNTS, Serve
from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.harness import Server, wait_until

#: The worker's files take 2 MiB: what a full disk, or a quota, does in the middle of a write.
SMALL_FILES = (
    """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
"""
    + COUNTS
)
#: It may open some ten descriptors more, and each file of a body takes one.
FEW_DESCRIPTORS = (
    """
import os, resource
number = max(map(int, os.listdir("/proc/self/fd"))) + 30
resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
"""
    + COUNTS
)
MB = 1_000_000


def head(size: int, more: str = "") -> bytes:
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n{more}\r\n".encode()


def upload(server: Server, size: int) -> tuple[int, bytes]:
    """The answer to a body of this size, which its client goes on to send whatever answer comes meanwhile."""
    with server.connect() as client:
        client.send(head(size))
        for left in range(size, 0, -MB):
            client.send(b"x" * min(left, MB))
        answer = client.response()
        return answer.status, answer.body


def is_refused(server: Server, size: int) -> bool:
    """Whether there is no room for so much; a length alone takes none from what comes meanwhile."""
    with server.connect() as client:
        client.send(head(size))
        client.sock.settimeout(0.05)
        try:
            answer = client.response()
        except TimeoutError:
            return False
        return (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "5", "close")


def in_files(pid: int, folder: Path) -> int:
    """Bytes in the files that a process has in a folder, without names."""
    total = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(descriptor).startswith(str(folder)):
                total += descriptor.stat().st_size
        except OSError:
            continue
    return total


Broken = Callable[[Path], Path]


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def no_folder(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def read_only(folder: Path) -> Path:
    # Nobody writes there, root neither.
    return Path("/proc/self/fdinfo")


@pytest.mark.parametrize("broken", [missing, no_folder, read_only])
@pytest.mark.parametrize("small_files", [False, True])
def test_no_file_can_be_written(
    start: Start, folder: Path, tmp_path: Path, broken: Broken, small_files: bool
) -> None:
    """Each upload gets an answer: from memory as far as that goes, then 507; and the log says once what to do."""
    (folder / "app.py").write_text(SMALL_FILES if small_files else COUNTS)
    directory = tmp_path if small_files else broken(tmp_path)
    server = start("app:app", env={"TMPDIR": str(directory)}).ready()

    for size in (1000, 900_000, 5 * MB, 30 * MB):
        assert upload(server, size) == (200, str(size).encode())
    assert upload(server, 80 * MB)[0] == 507
    assert upload(server, 5 * MB) == (200, b"5000000")
    server.wait_for("refused request from 127.0.0.1: 507 no space")
    told = server.seen(rf"cannot write request bodies to {re.escape(str(directory))}: .*TMPDIR")
    assert len(told) == 1
    assert len(server.seen("refused request from 127.0.0.1: 507 no space")) == 1


def test_folder_goes_away_in_the_middle(start: Start, folder: Path, tmp_path: Path) -> None:
    """A body that is on its way is whole; the next is in memory; when the folder is back it is used again."""
    (folder / "app.py").write_text(COUNTS)
    spool = tmp_path / "spool"
    spool.mkdir()
    server = start("app:app", env={"TMPDIR": str(spool)}).ready()
    (pid,) = server.worker_pids
    with server.connect() as client:
        client.send(head(3 * MB) + b"x" * 2 * MB)
        wait_until(lambda: in_files(pid, spool) > MB, "the body is in a file")
        assert list(spool.iterdir()) == []
        spool.rmdir()
        assert upload(server, 2 * MB) == (200, b"2000000")
        client.send(b"x" * MB)
        assert client.response().body == b"3000000"
    spool.mkdir()
    with server.connect() as client:
        client.send(head(3 * MB) + b"x" * 2 * MB)
        wait_until(lambda: in_files(pid, spool) > MB, "the body is in a file")


def test_no_descriptor_is_left(serve: Serve) -> None:
    """Bodies that no file can be had for are kept in memory; none of their clients is closed without an answer."""
    server = serve(FEW_DESCRIPTORS).ready()
    clients = [server.connect() for _ in range(16)]
    for client in clients:
        client.send(head(2 * MB) + b"x" * (2 * MB - 1))
    for client in clients:
        client.send(b"x")
        assert client.response().status in (200, 507)
    assert [client.get("/").body for client in clients[:1]] == [b"0"]


@pytest.mark.parametrize("workers", [1, 2])
def test_room_is_the_whole_servers(serve: Serve, workers: int) -> None:
    """503 with Retry-After for a body that has no room next to the others; there is room when these are gone."""
    server = serve(COUNTS, "--spool-size", "10M", "--workers", str(workers), "--turns", "pool").ready(workers)
    held = [server.connect() for _ in range(4)]
    for client in held:
        client.send(head(2_500_000) + b"x" * 2_400_000)

    wait_until(lambda: is_refused(server, 9 * MB), "the others have come")
    assert upload(server, 8 * MB)[0] == 503
    assert upload(server, 11 * MB)[0] == 413
    assert upload(server, 30_000) == (200, b"30000")
    for client in held:
        client.send(b"x" * 100_000)
        assert client.response().body == b"2500000"
    wait_until(lambda: upload(server, 9 * MB) == (200, b"9000000"), "their room is free")


def test_a_dead_worker_gives_its_room_back(serve: Serve) -> None:
    """What it kept is gone with it, and its clients are answered."""
    server = serve(COUNTS, "--spool-size", "10M").ready()
    mark, (pid,) = server.mark(), server.worker_pids
    with server.connect() as client:
        client.send(head(9 * MB) + b"x" * 8 * MB)
        wait_until(lambda: is_refused(server, 3 * MB), "the body has come")
        os.kill(pid, signal.SIGKILL)
        # It goes on to send, and reads its answer behind that.
        client.send(b"x" * MB)
        assert client.response().status == 502
    server.wait_for(r"worker \d+ \(pid \d+\) is ready", since=mark)
    assert upload(server, 9 * MB) == (200, b"9000000")


def test_upload_whose_worker_dies(start: Start, folder: Path, tmp_path: Path) -> None:
    """502 is the master's, and reaches a client that first sends all of its 40 MB."""
    (folder / "app.py").write_text(COUNTS)
    server = start("app:app", env={"TMPDIR": str(tmp_path)}).ready()
    (pid,) = server.worker_pids
    with server.connect() as client:
        client.send(head(40 * MB) + b"x" * 2 * MB)
        wait_until(lambda: in_files(pid, tmp_path) > MB, "the body is in a file")
        os.kill(pid, signal.SIGKILL)
        for _ in range(38):
            client.send(b"x" * MB)
        assert client.response().status == 502
        assert client.ended()


@pytest.mark.slow
def test_many_slow_bodies(start: Start, folder: Path, tmp_path: Path) -> None:
    """400 bodies of 1 MB that come at the same pace take no 400 MB of memory; all of them are whole in the end."""
    (folder / "app.py").write_text(COUNTS)
    server = start("app:app", env={"TMPDIR": str(tmp_path)}).ready()
    (pid,) = server.worker_pids

    def memory() -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    before = memory()
    clients = [server.connect() for _ in range(400)]
    for client in clients:
        client.send(head(MB))
    most = 0
    for step in range(10):
        for client in clients:
            client.send(b"x" * (100_000 - (step == 9)))
        most = max(most, memory())
    wait_until(lambda: in_files(pid, tmp_path) > 300 * MB, "the bodies have come")
    assert max(most, memory()) - before < 120 * MB

    def finish(some: list[Client]) -> None:
        for client in some:
            client.send(b"x")

    sender = threading.Thread(target=finish, args=(clients,))
    sender.start()
    assert {client.response().body for client in clients} == {b"1000000"}
    sender.join()
    wait_until(lambda: in_files(pid, tmp_path) == 0, "nothing is kept any more")
