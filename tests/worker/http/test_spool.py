"""Storage of request bodies: in memory or in files, within the limits of a worker and of the server."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from tests.http.cases import DEFAULTS
from twistcorn import pristine
from twistcorn.errors import HTTPError
from twistcorn.wire.scoreboard import WORKER_WORDS
from twistcorn.worker.http.spool import MAX_BODY_MEMORY_BYTES, MAX_MEMORY_BYTES, Spool, Store, find_directory

Made = Callable[[int], Store]
MIB = 1 << 20


def kept(store: Store) -> bytes:
    return store.close_body().file.read()


def refusal(store: Store, data: bytes) -> int:
    """The status that refuses these bytes; the body is then dropped, as its connection ends."""
    with pytest.raises(HTTPError) as caught:
        store.append(data)
    store.drop()
    return caught.value.status


def is_in_memory(store: Store) -> bool:
    return isinstance(store.close_body().file, io.BytesIO)


def on_board(spool: Spool) -> int:
    """The stored bytes that the worker shows on the scoreboard."""
    return spool._words[spool._word]


class TestStore:
    @pytest.mark.parametrize("pieces", [[MAX_BODY_MEMORY_BYTES], [MAX_BODY_MEMORY_BYTES - 1, 1], [1] * 10, []])
    def test_body_of_up_to_a_mebibyte(self, store: Made, pieces: list[int]) -> None:
        """It stays in memory."""
        made = store(0)
        for size in pieces:
            made.append(b"x" * size)

        assert is_in_memory(made)
        assert kept(made) == b"x" * sum(pieces)

    @pytest.mark.parametrize(
        "pieces", [[MAX_BODY_MEMORY_BYTES + 1], [MAX_BODY_MEMORY_BYTES, 1], [MAX_BODY_MEMORY_BYTES, 1, 100_000, 5]]
    )
    def test_larger_body(self, store: Made, tmp_path: Path, pieces: list[int]) -> None:
        """It is in a file that has no name, so that nothing has to remove it."""
        made = store(0)
        for number, size in enumerate(pieces):
            made.append(b"%d" % number * size)

        assert os.fstat(made.close_body().file.fileno()).st_nlink == 0
        assert list(tmp_path.iterdir()) == []
        assert kept(made) == b"".join(b"%d" % number * size for number, size in enumerate(pieces))

    @pytest.mark.parametrize("kind", [errno.EOPNOTSUPP, errno.EISDIR])
    def test_file_system_without_nameless_files(
        self, store: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int
    ) -> None:
        """The file has a name only for a short time."""
        opened = os.open

        def refuses(path: str, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(kind, os.strerror(kind))
            return opened(path, flags, mode)

        monkeypatch.setattr(pristine.os, "open", refuses)
        made = store(0)
        made.append(b"x" * (MAX_BODY_MEMORY_BYTES + 1))

        assert os.fstat(made.close_body().file.fileno()).st_nlink == 0
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("pieces", [[10], [4, 6], [10, 0]])
    def test_body_at_the_limit(self, store: Made, pieces: list[int]) -> None:
        """The limit is what is allowed."""
        made = store(10)
        for size in pieces:
            made.append(b"x" * size)

        assert made.size == 10

    @pytest.mark.parametrize("pieces", [[11], [10, 1], [5, 5, 5]])
    def test_body_above_the_limit(self, store: Made, pieces: list[int]) -> None:
        """It is refused with 413, and the bytes above are not kept."""
        made = store(10)
        for size in pieces[:-1]:
            made.append(b"x" * size)
        with pytest.raises(HTTPError) as caught:
            made.append(b"x" * pieces[-1])

        assert caught.value.status == 413
        assert len(kept(made)) <= 10

    @pytest.mark.parametrize("whole", [True, False])
    def test_unwanted_body(self, store: Made, spool: Spool, whole: bool) -> None:
        """It leaves no descriptor behind, and its room is free, however often it is dropped."""
        made = store(0)
        before = len(os.listdir("/proc/self/fd"))
        made.append(b"x" * (MAX_BODY_MEMORY_BYTES + 1))
        if whole:
            made.close_body()
        made.drop()
        made.drop()

        assert len(os.listdir("/proc/self/fd")) == before
        assert (on_board(spool), spool._held) == (0, 0)


class TestMemory:
    def test_many_bodies(self, store: Made, spool: Spool) -> None:
        """However many arrive at the same pace, they never exceed their memory; nothing is lost."""
        made = [store(0) for _ in range(150)]
        for _ in range(10):
            for each in made:
                each.append(b"x" * 100_000)
                assert spool._held <= MAX_MEMORY_BYTES

        assert on_board(spool) == 150_000_000
        assert all(len(kept(each)) == 1_000_000 for each in made)

    def test_room_comes_back(self, store: Made) -> None:
        """When the bodies are gone, the next one is in memory again."""
        made = [store(0) for _ in range(100)]
        for each in made:
            each.append(b"x" * MIB)
        assert not is_in_memory(made[-1])
        for each in made:
            each.drop()
        last = store(0)
        last.append(b"x" * MIB)

        assert is_in_memory(last)


class TestLimit:
    @pytest.fixture(autouse=True)
    def _limit(self, spool: Spool) -> None:
        spool.configure(replace(DEFAULTS, spool_size=3 * MIB))

    def test_others_have_the_room(self, store: Made, spool: Spool) -> None:
        """503, for one that would fit alone; when the others are gone it does."""
        first = store(0)
        first.append(b"x" * 2 * MIB)
        assert refusal(store(0), b"x" * 2 * MIB) == 503
        assert on_board(spool) == 2 * MIB
        first.drop()
        store(0).append(b"x" * 2 * MIB)

    def test_another_worker_has_the_room(self, store: Made, spool: Spool) -> None:
        """The limit is the whole server's."""
        other = spool._word + WORKER_WORDS
        spool._words[other] = 3 * MIB
        assert refusal(store(0), b"x") == 503
        spool._words[other] = 0
        store(0).append(b"x")

    def test_larger_than_all(self, store: Made) -> None:
        """413: it would never fit."""
        made = store(0)
        made.append(b"x" * 2 * MIB)
        assert refusal(made, b"x" * 2 * MIB) == 413

    @pytest.mark.parametrize(("length", "status"), [(3 * MIB, 503), (2 * MIB + 1, 503), (3 * MIB + 1, 413)])
    def test_announced_length(self, store: Made, spool: Spool, length: int, status: int) -> None:
        """A body without room is refused before it comes; announcing uses no room."""
        store(0).append(b"x" * MIB)
        with pytest.raises(HTTPError) as caught:
            spool.check(length)
        spool.check(2 * MIB)

        assert caught.value.status == status
        assert on_board(spool) == MIB

    def test_other_limit(self, store: Made, spool: Spool) -> None:
        """It counts at once; with 0 there is none."""
        assert refusal(store(0), b"x" * 4 * MIB) == 413
        spool.configure(replace(DEFAULTS, spool_size=0))
        store(0).append(b"x" * 4 * MIB)
        spool.check(1 << 60)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of this process take 2 MiB (RLIMIT_FSIZE): what a full disk or a quota does, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


class TestNoFiles:
    @pytest.fixture(params=["missing", "refused", "full"])
    def broken(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """No file can be created, or writing fails."""
        if request.param == "missing":
            shutil.rmtree(tmp_path)
            return "No such file or directory"
        number = errno.EROFS if request.param == "refused" else errno.ENOSPC

        def fail(*arguments: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(pristine.os, "open" if request.param == "refused" else "write", fail)
        return os.strerror(number)

    def test_memory_is_the_last_resort(self, store: Made, spool: Spool, broken: str) -> None:
        """A body that fits there is stored; the log says once which directory failed, why, and what to do."""
        with capturedLogs() as events:
            first, second = store(0), store(0)
            for _ in range(20):
                first.append(b"a" * MIB)
                second.append(b"b" * MIB)
        lines = [event["log_format"].format(**event) for event in events]

        assert kept(first) == b"a" * 20 * MIB
        assert kept(second) == b"b" * 20 * MIB
        assert len(lines) == 1
        assert lines[0].startswith(f"cannot write request bodies to {spool._directory}: {broken}. Each worker")
        assert "TMPDIR" in lines[0]

    @pytest.mark.usefixtures("broken")
    def test_memory_is_full(self, store: Made, spool: Spool) -> None:
        """507; the others keep their bytes, and small bodies still come in."""
        first, second = store(0), store(0)
        first.append(b"a" * (MAX_MEMORY_BYTES - MIB))
        second.append(b"b" * 2000)

        assert refusal(store(0), b"x" * 2 * MIB) == 507
        assert len(kept(first)) == MAX_MEMORY_BYTES - MIB
        assert kept(second) == b"b" * 2000
        first.drop()
        second.drop()
        assert (on_board(spool), spool._held) == (0, 0)

    @pytest.mark.usefixtures("small_files")
    def test_file_ends_in_the_middle(self, store: Made, spool: Spool) -> None:
        """Its contents return to memory, also those before a partial write."""
        made, pieces = store(0), [b"%d" % number * 700_000 for number in range(8)]
        for piece in pieces:
            made.append(piece)

        assert is_in_memory(made)
        assert kept(made) == b"".join(pieces)
        assert spool._held == made.size == 8 * 700_000

    @pytest.mark.usefixtures("small_files")
    def test_file_cannot_be_read_back(self, store: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        """507."""
        made = store(0)
        made.append(b"x" * (MAX_BODY_MEMORY_BYTES + 1))
        monkeypatch.setattr(pristine.os, "pread", lambda *arguments: b"")

        assert refusal(made, b"x" * 2 * MIB) == 507

    def test_files_are_available_again(self, store: Made, tmp_path: Path) -> None:
        """The next body is in one; what lies in the file of another is not touched by the directory's end."""
        before = store(0)
        before.append(b"x" * 2 * MIB)
        shutil.rmtree(tmp_path)
        before.append(b"x")
        store(0).append(b"x" * 2 * MIB)
        tmp_path.mkdir()
        after = store(0)
        after.append(b"x" * 2 * MIB)

        assert not is_in_memory(before)
        assert not is_in_memory(after)
        assert len(kept(before)) == 2 * MIB + 1


class TestAsked:
    @pytest.mark.parametrize(
        ("threads", "stand_ins", "most"), [(8, 96, 8), (8, 0, 4), (8, 2, 4), (8, 6, 6), (2, 96, 2), (1, 96, 0)]
    )
    def test_how_many(self, spool: Spool, threads: int, stand_ins: int, most: int) -> None:
        """As many may wait in threads as stand-ins can replace, or half of them; none with a single thread."""
        spool.configure(replace(DEFAULTS, expect="read", threads=threads, stand_ins=stand_ins))

        assert [spool.may_ask() for _ in range(most + 1)] == [True] * most + [False]
        if most:
            spool.has_come()
            assert spool.may_ask()

    def test_early(self, spool: Spool) -> None:
        """None at all."""
        spool.configure(replace(DEFAULTS, expect="early"))
        assert not spool.may_ask()


@pytest.mark.parametrize(
    ("named", "found"),
    [({}, "/tmp"), ({"TMPDIR": "/nowhere"}, "/nowhere"), ({"TMPDIR": "", "TEMP": "/a", "TMP": "/b"}, "/a")],
)
def test_directory(monkeypatch: pytest.MonkeyPatch, named: dict[str, str], found: str) -> None:
    """It is the named one, even if missing: another one would be a surprise."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
        if name in named:
            monkeypatch.setenv(name, named[name])
    assert find_directory() == found


@pytest.mark.parametrize(("tmpdir", "found"), [("tmp", "here/tmp"), (".", "here"), ("../b", "b"), ("/a", "/a")])
@pytest.mark.parametrize("pwd", [True, False])
def test_relative_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmpdir: str, found: str, pwd: bool
) -> None:
    """It begins in the working directory; once that is gone, where PWD says that it was; else it stays as named."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", tmpdir)
    monkeypatch.delenv("PWD", raising=False)
    assert find_directory() == str(tmp_path / found)

    here.rmdir()
    if pwd:
        monkeypatch.setenv("PWD", str(here))
    assert find_directory() == (str(tmp_path / found) if pwd else tmpdir)
