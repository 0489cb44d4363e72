"""The claims of twistcorn.worker.output: whole lines with the worker's number, and a stream like any other."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from twistcorn.worker.output import MAX_LINE_CHARS, LineStream


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LineStream]:
    """A stream to a file named `out`."""
    file = open(tmp_path / "out", "w", encoding="utf-8")
    made = LineStream(file, lambda line: f"[worker 3] {line}\n")
    yield made
    made.write_remainder()
    file.close()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What it has written."""
    return tmp_path / "out"


def test_every_line_has_the_number(stream: LineStream, written: Path) -> None:
    """Also several at once, and empty ones; at once when it is whole."""
    print("one", file=stream)
    print("two\nthree\n", file=stream)

    assert written.read_text() == "[worker 3] one\n[worker 3] two\n[worker 3] three\n[worker 3] \n"


def test_line_in_pieces_is_one(stream: LineStream, written: Path) -> None:
    """However it is printed, and flushed in between."""
    print("a", "b", sep="-", end="", file=stream, flush=True)
    stream.writelines(["c", "d"])
    assert written.read_text() == ""
    stream.write("e\nf")
    assert written.read_text() == "[worker 3] a-bcde\n"
    stream.write_remainder()
    assert written.read_text() == "[worker 3] a-bcde\n[worker 3] f\n"


def test_threads_do_not_tear_lines(stream: LineStream, written: Path) -> None:
    """Each has its own line, whatever the others print meanwhile."""
    together = threading.Barrier(8)

    def work(name: str) -> None:
        together.wait()
        for _ in range(200):
            print(name, name, name, file=stream)

    threads = [threading.Thread(target=work, args=(letter * 50,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = written.read_text().splitlines()
    assert sorted(set(lines)) == [f"[worker 3] {' '.join([letter * 50] * 3)}" for letter in "abcdefgh"]
    assert len(lines) == 1600


def test_endless_line_gets_an_end(stream: LineStream, written: Path) -> None:
    """A line without an end must not fill the memory."""
    for _ in range(MAX_LINE_CHARS // 1000 + 1):
        stream.write("." * 1000)

    assert written.read_text().startswith("[worker 3] ....")


def test_long_line_is_one(stream: LineStream, written: Path) -> None:
    """`print` writes the line end separately: it must not become an empty line; an intended one stays."""
    print("." * (MAX_LINE_CHARS + 1), file=stream)
    print("\nnext", file=stream)

    assert written.read_text() == f"[worker 3] {'.' * (MAX_LINE_CHARS + 1)}\n[worker 3] \n[worker 3] next\n"


def test_it_is_a_stream_like_the_one_before(stream: LineStream, written: Path) -> None:
    """Its descriptor, buffer, encoding and terminal are those of the one whose place it took."""
    assert os.path.samestat(os.fstat(stream.fileno()), os.stat(written))
    assert not stream.isatty()
    assert isinstance(stream, io.TextIOWrapper)
    assert (stream.encoding, stream.errors, stream.mode) == ("utf-8", "strict", "w")
    stream.buffer.write(b"raw\n")
    stream.flush()
    assert written.read_text() == "raw\n"
    with pytest.raises(TypeError, match="must be str, not bytes"):
        stream.write(b"x")  # type: ignore[arg-type]


def test_logging_of_the_application(stream: LineStream, written: Path) -> None:
    """A handler on the stream writes lines like any other, tracebacks too."""
    handler = logging.StreamHandler(stream)
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    try:
        raise LookupError("on purpose")
    except LookupError:
        logger.exception("failed")

    lines = written.read_text().splitlines()
    assert lines[:2] == ["[worker 3] failed", "[worker 3] Traceback (most recent call last):"]
    assert all(line.startswith("[worker 3] ") for line in lines)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_prints_whatever_the_parent_did(stream: LineStream, written: Path) -> None:
    """A printing thread of the parent cannot release the lock in the child; its piece is not the child's."""
    stream.write("parent's ")
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with stream._lock:
            inside.set()
            assert go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    child = os.fork()
    if child == 0:
        try:
            print("child", file=stream)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    go.set()
    thread.join()

    assert written.read_text() == "[worker 3] child\n"
