"""`wsgi.file_wrapper`: files that the kernel sends, and what only looks like one."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.http.cases import head
from tests.http.served import Answer, Client, Served
from tests.worker.apps import Headers, Start

pytestmark = pytest.mark.usefixtures("mode")

DATA = bytes(range(256)) * 400
LARGE = DATA * 80

Serve = Callable[..., tuple[Served, Client]]
Open = Callable[[], Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a worker with a client, whose application sends what `opens` opens."""
    made: list[Served] = []

    def make(opens: Open, headers: Headers | None = None, status: str = "200 OK") -> tuple[Served, Client]:
        def sends(environ: dict[str, Any], start_response: Start) -> Any:
            start_response(status, headers or [])
            return environ["wsgi.file_wrapper"](opens(), 10_000)

        made.append(Served(sends))
        return made[-1], made[-1].connect()

    yield make
    for served in made:
        served.close()


class Opened:
    """Opens a file, and keeps it for inspection."""

    def __init__(self, path: Path, data: bytes = DATA, position: int = 0) -> None:
        self._path = path
        self._position = position
        path.write_bytes(data)
        self.files: list[io.BufferedReader] = []

    def __call__(self) -> io.BufferedReader:
        self.files.append(self._path.open("rb"))
        self.files[-1].seek(self._position)
        return self.files[-1]

    @property
    def closed(self) -> bool:
        return all(file.closed for file in self.files)


def ask(served: Served, client: Client, line: bytes = b"GET / HTTP/1.1") -> Answer:
    served.send(client, head(b"Connection: keep-alive", line=line))
    (answer,) = client.answers(line[:4].decode())
    return answer


class TestRegularFiles:
    @pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET / HTTP/1.0"])
    @pytest.mark.parametrize("position", [0, 1, len(DATA)])
    def test_file_from_a_position(self, serve: Serve, tmp_path: Path, line: bytes, position: int) -> None:
        """Its remainder is the body, with its length; the connection stays open and the file is closed."""
        opened = Opened(tmp_path / "a", position=position)
        served, client = serve(opened)
        answer = ask(served, client, line)

        assert (answer.body, answer["Content-Length"]) == (DATA[position:], [str(len(DATA) - position)])
        assert answer["Transfer-Encoding"] == []
        assert (opened.closed, client.closed) == (True, False)

    def test_length_is_less(self, serve: Serve, tmp_path: Path) -> None:
        """That number of bytes is sent: a part of a file (RFC 9110 section 14)."""
        served, client = serve(
            Opened(tmp_path / "a", position=10), [("Content-Length", "100")], "206 Partial Content"
        )

        assert ask(served, client).body == DATA[10:110]
        assert not client.closed

    def test_length_is_more(self, serve: Serve, tmp_path: Path) -> None:
        """The connection ends where the file does."""
        opened = Opened(tmp_path / "a")
        served, client = serve(opened, [("Content-Length", str(len(DATA) + 1))])
        with capturedLogs() as events:
            served.send(client, head())

        assert client.read().endswith(DATA)
        assert (client.closed, opened.closed, len(events)) == (True, True, 1)

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            (b"HEAD / HTTP/1.1", "200 OK"),
            (b"GET / HTTP/1.1", "304 Not Modified"),
            (b"GET / HTTP/1.1", "204 No Content"),
        ],
    )
    def test_no_body_is_due(self, serve: Serve, tmp_path: Path, line: bytes, status: str) -> None:
        """Nothing of it is sent, and it is closed all the same."""
        opened = Opened(tmp_path / "a")
        served, client = serve(opened, status=status)
        answer = ask(served, client, line)

        assert client.received.endswith(b"\r\n\r\n")
        assert answer["Content-Length"] == ([str(len(DATA))] if status == "200 OK" else [])
        assert (opened.closed, client.closed) == (True, False)

    @pytest.mark.parametrize(
        "make", [tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile]
    )
    def test_temporary_file(self, serve: Serve, make: Callable[[], Any]) -> None:
        """What was just written to it is sent."""

        def opens() -> Any:
            file = make()
            file.write(DATA)
            file.seek(1)
            return file

        served, client = serve(opens)
        assert ask(served, client).body == DATA[1:]

    def test_client_is_slow(self, serve: Serve, tmp_path: Path) -> None:
        """The file waits for the client at each place where there is no room."""
        served, client = serve(Opened(tmp_path / "a", LARGE))
        waits: list[bytes] = []
        served.turns.aside = lambda: waits.append(client.read())

        assert ask(served, client).body == LARGE
        assert len(waits) > 1
        assert not client.closed

    def test_client_leaves(self, serve: Serve, tmp_path: Path) -> None:
        """The file is closed, and nothing is logged."""
        opened = Opened(tmp_path / "a", LARGE)
        served, client = serve(opened)
        served.turns.aside = client.sock.close
        with capturedLogs() as events:
            served.send(client, head())

        assert (opened.closed, events) == (True, [])


class TestOtherFiles:
    @pytest.mark.parametrize("opens", [lambda: io.BytesIO(DATA), lambda: io.BufferedReader(io.BytesIO(DATA))])
    def test_file_in_memory(self, serve: Serve, opens: Open) -> None:
        """It is read, block by block."""
        served, client = serve(opens)
        answer = ask(served, client)

        assert (answer.body, answer["Transfer-Encoding"]) == (DATA, ["chunked"])

    def test_pipe(self, serve: Serve) -> None:
        """It has no size, so it is read to its end."""

        def opens() -> Any:
            read, write = os.pipe()
            with os.fdopen(write, "wb") as file:
                file.write(DATA[:1000])
            return os.fdopen(read, "rb")

        served, client = serve(opens)
        assert ask(served, client).body == DATA[:1000]

    def test_file_that_changes_its_bytes(self, serve: Serve, tmp_path: Path) -> None:
        """It has a descriptor, but what is read from it is something else."""
        with gzip.open(tmp_path / "a", "wb") as file:
            file.write(DATA)

        served, client = serve(lambda: gzip.open(tmp_path / "a", "rb"))
        assert ask(served, client).body == DATA

    @pytest.mark.parametrize("path", ["/proc/self/status", "/proc/cpuinfo", "/sys/class/net/lo/mtu"])
    def test_file_whose_size_is_not_its_size(self, serve: Serve, path: str) -> None:
        """Files of the kernel say 0 or 4096 bytes; what reading gives is sent."""
        if not os.path.exists(path):
            pytest.skip(f"there is no {path}")
        with open(path, "rb") as file:
            begin = file.read()[:20]
        served, client = serve(lambda: open(path, "rb"))
        answer = ask(served, client)

        assert answer.body.startswith(begin)
        assert (answer["Transfer-Encoding"], client.closed) == (["chunked"], False)

    @pytest.mark.parametrize("overridden", ["own", "around", "instance", "raw"])
    def test_read_is_another(self, serve: Serve, tmp_path: Path, overridden: str) -> None:
        """Its output is sent, whatever file is below: a subclass, behind `file`, or overriding the file's own."""
        (tmp_path / "a").write_bytes(DATA)

        class Own(io.FileIO):
            def read(self, size: int | None = -1) -> bytes:
                return (super().read(size) or b"").swapcase()

            def readinto(self, buffer: Any) -> int:
                data = self.read(len(buffer))
                buffer[: len(data)] = data
                return len(data)

        class Around:
            def __init__(self, file: Any) -> None:
                self.file = file
                self.fileno, self.close = file.fileno, file.close

            def read(self, size: int) -> bytes:
                data: bytes = self.file.read(size)
                return data.swapcase()

        def opens() -> Any:
            if overridden == "own":
                return Own(tmp_path / "a")
            if overridden == "raw":
                return io.BufferedReader(Own(tmp_path / "a"))
            file: Any = (tmp_path / "a").open("rb")
            if overridden == "around":
                return Around(file)
            plain = file.read
            file.read = lambda size: plain(size).swapcase()
            return file

        served, client = serve(opens)
        assert ask(served, client).body == DATA.swapcase()

    def test_member_of_an_archive(self, serve: Serve, tmp_path: Path) -> None:
        """It has a file below, and gives what is in it."""
        with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("b", DATA)
        served, client = serve(lambda: zipfile.ZipFile(tmp_path / "a").open("b"))

        assert ask(served, client).body == DATA

    def test_kernel_cannot_send_it(self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not every file system supports it: then the file is read, with the declared length."""

        def refuse(*arguments: object) -> int:
            raise OSError(errno.EINVAL, "not here")

        served, client = serve(Opened(tmp_path / "a"))
        monkeypatch.setattr("twistcorn.pristine.os.sendfile", refuse)
        answer = ask(served, client)

        assert (answer.body, answer["Content-Length"]) == (DATA, [str(len(DATA))])
        assert not client.closed

    def test_disk_fails(self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is logged, and the response is cut: it does not count as a lost client."""

        def refuse(*arguments: object) -> int:
            raise OSError(errno.EIO, "broken disk")

        opened = Opened(tmp_path / "a")
        served, client = serve(opened)
        monkeypatch.setattr("twistcorn.pristine.os.sendfile", refuse)
        pread = os.pread
        monkeypatch.setattr(
            "twistcorn.pristine.os.pread", lambda fd, size, at: pread(fd, size, at) if size <= 64 else refuse()
        )
        with capturedLogs() as events:
            served.send(client, head())
        monkeypatch.undo()

        assert (client.read()[-4:], client.closed, opened.closed, len(events)) == (b"\r\n\r\n", True, True, 1)

    def test_file_is_not_readable(self, serve: Serve, tmp_path: Path) -> None:
        """That is the application's error, and 500."""
        (tmp_path / "a").write_bytes(DATA)
        served, client = serve(lambda: (tmp_path / "a").open("ab", 0))
        with capturedLogs():
            assert ask(served, client).status == 500

    def test_position_is_past_the_end(self, serve: Serve, tmp_path: Path) -> None:
        """Nothing is left, and that is an answer."""
        served, client = serve(Opened(tmp_path / "a", position=len(DATA) + 5))
        answer = ask(served, client)

        assert (answer.status, answer.body, client.closed) == (200, b"", False)

    def test_text_file(self, serve: Serve, tmp_path: Path) -> None:
        """It has no bytes: that is the application's error."""
        (tmp_path / "a").write_bytes(b"hello")
        served, client = serve(lambda: (tmp_path / "a").open("r", encoding="ascii"))
        with capturedLogs():
            assert ask(served, client).status == 500

    def test_object_that_reads(self, serve: Serve) -> None:
        """`read` is all that PEP 3333 asks for."""

        class Reads:
            def __init__(self) -> None:
                self._file = io.BytesIO(DATA)

            def read(self, size: int) -> bytes:
                return self._file.read(size)

        served, client = serve(Reads)
        assert ask(served, client).body == DATA


class TestApplications:
    def test_middleware_iterates(self, tmp_path: Path) -> None:
        """A wrapper that is read by another iterable works as one."""
        opened = Opened(tmp_path / "a")

        def sends(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
            start_response("200 OK", [])
            wrapper = environ["wsgi.file_wrapper"](opened())
            yield from wrapper
            wrapper.close()

        served = Served(sends)
        assert ask(served, served.connect()).body == DATA
        served.close()
        assert opened.closed

    def test_something_is_written_before(self, tmp_path: Path) -> None:
        """The file follows it."""
        opened = Opened(tmp_path / "a")

        def sends(environ: dict[str, Any], start_response: Start) -> Any:
            start_response("200 OK", [])(b"first")
            return environ["wsgi.file_wrapper"](opened())

        served = Served(sends)
        assert ask(served, served.connect()).body == b"first" + DATA
        served.close()
        assert opened.closed

    def test_no_head(self, tmp_path: Path) -> None:
        """500, and the file is closed."""
        opened = Opened(tmp_path / "a")
        served = Served(lambda environ, start_response: environ["wsgi.file_wrapper"](opened()))
        with capturedLogs():
            assert ask(served, served.connect()).status == 500
        served.close()
        assert opened.closed
