"""The claims of twistcorn.logs.sink: lines stay in order, no caller waits, drops are reported, files are rotated."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from twistcorn import pristine
from twistcorn.logs import sink
from twistcorn.logs.sink import Sink


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one page without a reader."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def read_to(descriptor: int, end: bytes) -> bytes:
    """Read up to a line with this in it."""
    data = b""
    while end not in data:
        piece = os.read(descriptor, 65536)
        assert piece, data[-200:]
        data += piece
    return data


def read_all(descriptor: int, total: int) -> list[bytes]:
    """The lines that arrive, once the fate of all of them is known; the drops may be reported in parts."""
    data = b""
    lines: list[bytes] = []
    dropped = 0
    while len(lines) + dropped < total:
        data += os.read(descriptor, 65536)
        *whole, data = data.split(b"\n")
        for line in whole:
            if line.endswith(b" lines dropped: log reader too slow"):
                dropped += int(line.split()[0])
            else:
                lines.append(line)
    assert len(lines) + dropped == total
    return lines


class TestFile:
    def test_order_to_reopen_overtakes_nothing(self, tmp_path: Path) -> None:
        """Lines queued before the order go to the old file, later ones to the new file."""
        path, old = tmp_path / "log", tmp_path / "old"
        log = Sink(str(path))
        # Its thread looks only when all three have happened.
        with log._lock:
            log.write(b"before\n")
            path.rename(old)
            log.reopen()
            log.write(b"after\n")
        log.close()

        assert (old.read_text(), path.read_text()) == ("before\n", "after\n")

    def test_lines_come_in_order(self, tmp_path: Path) -> None:
        """All of them, after the file's previous contents."""
        path = tmp_path / "log"
        path.write_text("yesterday\n")
        log = Sink(str(path))
        for number in range(1000):
            log.write(b"%d\n" % number)
        log.close()

        assert path.read_text().splitlines() == ["yesterday", *map(str, range(1000))]

    def test_it_is_rotated(self, tmp_path: Path) -> None:
        """Lines written before the reopen are in the old file, later ones in the new file."""
        path = tmp_path / "log"
        log = Sink(str(path))
        log.write(b"before\n")
        assert log.flush()
        path.rename(tmp_path / "log.1")
        log.write(b"in between\n")
        assert log.flush()
        log.reopen()
        log.write(b"after\n")
        log.close()

        assert (tmp_path / "log.1").read_text() == "before\nin between\n"
        assert path.read_text() == "after\n"

    def test_folder_is_gone(self, tmp_path: Path) -> None:
        """The old file stays in use, and a line in it says so: no log is lost."""
        folder = tmp_path / "logs"
        folder.mkdir()
        log = Sink(str(folder / "log"))
        folder.rename(tmp_path / "moved")
        log.reopen()
        log.write(b"after\n")
        log.close()

        first, last = (tmp_path / "moved" / "log").read_text().splitlines()
        assert first.startswith("cannot reopen ")
        assert last == "after"

    def test_it_cannot_be_opened(self, tmp_path: Path) -> None:
        """The caller reports it."""
        with pytest.raises(FileNotFoundError):
            Sink(str(tmp_path / "missing" / "log"))


class TestNamedPipe:
    def test_no_reader_yet(self, tmp_path: Path) -> None:
        """It is opened at once, and a later reader gets everything; lines stay whole next to other writers."""
        path = tmp_path / "fifo"
        os.mkfifo(path)
        log = Sink(str(path))
        log.write(b"early\n")
        assert log.flush()
        reader = os.open(path, os.O_RDONLY)
        assert os.read(reader, 100) == b"early\n"
        assert log._together
        log.close()
        os.close(reader)


class TestFullDisk:
    def test_all_drops_are_reported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Even if the report itself found no room at first."""
        real, path = os.write, tmp_path / "log"
        answers = iter([True, True, True])

        def write(descriptor: int, data: bytes) -> int:
            if next(answers, False):
                raise OSError(errno.ENOSPC, "full")
            return real(descriptor, data)

        log = Sink(str(path))
        monkeypatch.setattr("twistcorn.logs.sink.os.write", write)
        monkeypatch.setattr(sink, "RETRY_SECONDS", 0.0)
        log.write(b"one\ntwo\n", 2)
        assert log.flush()
        log.close()
        assert path.read_text() == "2 lines dropped: log reader too slow\n"


class TestBlockedReader:
    def test_no_caller_waits_and_drops_are_reported(self, pipe: tuple[int, int]) -> None:
        """A stopped reader costs lines, not time; when it continues, it gets their number."""
        log = Sink(descriptor=pipe[1], most_lines=100)
        line = b"x" * 99
        for _ in range(500):
            log.write(line + b"\n")
        assert not log.flush(timeout=0.01)

        lines = read_all(pipe[0], 500)
        assert set(lines) == {line}
        assert 100 <= len(lines) < 500
        assert log.flush()
        log.write(b"on\n")
        assert read_to(pipe[0], b"\n") == b"on\n"
        log.close()

    def test_bytes_are_bounded_as_well(self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        """Few lines can be long."""
        monkeypatch.setattr(sink, "MAX_WAITING_BYTES", 20_000)
        log = Sink(descriptor=pipe[1])
        for _ in range(5):
            log.write(b"y" * 9999 + b"\n")

        assert len(read_all(pipe[0], 5)) == 2
        log.close()

    def test_pipe_that_does_not_block(self, pipe: tuple[int, int]) -> None:
        """A process that shares the pipe may have made it non-blocking: the thread still waits for room."""
        os.set_blocking(pipe[1], False)
        log = Sink(descriptor=pipe[1])
        log.write(b"z" * 100_000 + b"\n")

        assert len(read_to(pipe[0], b"\n")) == 100_001
        log.close()

    def test_reader_is_gone(self, pipe: tuple[int, int]) -> None:
        """Nothing waits for a reader that never returns."""
        log = Sink(descriptor=pipe[1])
        os.close(pipe[0])
        log.write(b"lost\n")

        assert log.flush()
        log.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_writes_by_itself(tmp_path: Path) -> None:
    """The parent's sink thread does not exist there: the child starts its own, and repeats no line of its parent."""
    log = Sink(str(tmp_path / "log"))
    log.write(b"parent\n")
    assert log.flush()
    child = os.fork()
    if child == 0:
        try:
            log.write(b"child\n")
            log.flush()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log.close()

    assert (tmp_path / "log").read_text() == "parent\nchild\n"


def test_lines_stay_whole_among_several_writers() -> None:
    """Pieces for a pipe are of whole lines, none larger than the kernel keeps together; a longer line goes alone."""
    data = b"".join(b"%d" % number * 100 + b"\n" for number in range(500)) + b"l" * 5000 + b"\nlast\n"
    pieces = list(sink._pieces(data))

    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert [len(piece) for piece in pieces if len(piece) > sink.ATOMIC_WRITE_BYTES] == [5001]


class TestNoThread:
    def test_it_cannot_be_started(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The caller writes its own lines; as soon as a thread can start it takes over, and nothing is lost."""
        path = tmp_path / "log"
        log = Sink(str(path))

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(pristine.threading.Thread, "start", refuse)
            log.write(b"one\n")
            log.write(b"two\n")
            assert path.read_text() == "one\ntwo\n"
        log.write(b"three\n")
        log.close()
        assert path.read_text() == "one\ntwo\nthree\n"

    def test_no_reader_meanwhile(self, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
        """No caller waits: lines without room stay queued for a thread."""
        log = Sink(descriptor=pipe[1])

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(pristine.threading.Thread, "start", refuse)
            for _ in range(100):
                log.write(b"x" * 999 + b"\n")
        log.write(b"end\n")
        assert read_to(pipe[0], b"end\n").count(b"\n") == 101
        log.close()

    def test_it_ends_out_of_order(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The next line starts another thread."""
        path = tmp_path / "log"
        log = Sink(str(path))
        monkeypatch.setattr(log, "_write_on", lambda: None)
        log.write(b"one\n")
        thread = log._thread
        if thread is not None:
            thread.join(10)
        monkeypatch.undo()
        log.write(b"two\n")
        log.close()
        assert path.read_text() == "one\ntwo\n"
