"""Which processes are copies of this one: forked, without exec, and no daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from twistcorn import copies
from twistcorn.copies import copies_of, image_of


@contextmanager
def forked(*before: Callable[[], object]) -> Iterator[int]:
    """A child that did this, and then waits; ended at the end."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for each in before:
                each()
            os.write(write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ours() -> list[int]:
    return copies_of(image_of(os.getpid()), os.getpid())


@pytest.fixture(autouse=True)
def _alone() -> None:
    assert ours() == []


@pytest.mark.parametrize("before", [[], [os.setpgrp]], ids=["plain", "of its own group"])
def test_fork(before: list[Callable[[], object]]) -> None:
    """A child is a copy."""
    with forked(*before) as pid:
        assert ours() == [pid]


def test_child_of_a_child() -> None:
    """So is its child, which comes behind it."""
    def fork_again() -> None:
        if not os.fork():
            signal.pause()

    with forked(fork_again) as pid:
        first, second = ours()
        os.kill(second, signal.SIGKILL)
        assert first == pid
        assert second in copies._children(pid)


def test_child_of_a_child_that_is_exiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, though the memory of the one between is gone, and it is not yet a child of ours."""
    def fork_again() -> None:
        if not os.fork():
            signal.pause()

    with forked(fork_again) as pid:
        image = image_of(pid)
        monkeypatch.setattr(copies, "image_of", lambda each: b"" if each == pid else image_of(each))
        (second,) = copies_of(image, os.getpid())
        os.kill(second, signal.SIGKILL)
        assert second in copies._children(pid)


def test_own_session() -> None:
    """A daemon is none."""
    with forked(os.setsid):
        assert ours() == []


def test_program() -> None:
    """A program is none, also not the same interpreter."""
    code = "import sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert image_of(program.pid) not in (b"", image_of(os.getpid()))
        assert ours() == []
        program.communicate()


def test_of_something_else() -> None:
    """A copy of this process is none of another one."""
    with forked():
        assert copies_of(b"of something else", os.getpid()) == []


def test_one_that_has_ended() -> None:
    """A zombie is no copy."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ours() == []
    os.waitpid(pid, 0)


def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be read there are no copies, and no error."""
    def nothing(*arguments: object) -> None:
        raise FileNotFoundError

    image = image_of(os.getpid())
    with forked():
        monkeypatch.setattr(copies, "open_file", nothing)
        assert image_of(os.getpid()) == b""
        assert copies_of(image, os.getpid()) == []
        assert copies_of(b"", os.getpid()) == []


def test_process_that_is_gone() -> None:
    """It has neither image nor copies."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert image_of(pid) == b""
    assert copies_of(image_of(os.getpid()), pid) == []
