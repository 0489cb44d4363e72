"""The pid file: written at its path and nowhere else, removed only by the process that wrote it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from twistcorn.pidfile import PidFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


def test_the_file_holds_the_pid_and_goes_with_the_server(path: Path) -> None:
    """Also where an earlier server has left one behind."""
    path.write_text("12345678\n")
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists()


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """A user with write access to the directory cannot have another file overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    file = PidFile(str(path))
    with pytest.raises(OSError) as raised:  # noqa: PT011
        file.write()
    assert raised.value.errno == errno.ELOOP
    file.remove()
    assert victim.read_text() == "precious"
    assert path.is_symlink()


@pytest.mark.parametrize("replaced", [True, False])
def test_the_file_of_another_server_stays(path: Path, tmp_path: Path, replaced: bool) -> None:
    """Another process replaced or overwrote ours."""
    file = PidFile(str(path))
    file.write()
    if replaced:
        other = tmp_path / "other"
        other.write_text(f"{os.getpid()}\n")
        other.replace(path)
    else:
        path.write_text("12345678\n")
    file.remove()
    assert path.exists()


def test_nothing_is_removed_that_was_not_written(path: Path) -> None:
    """A server that did not write the file leaves it alone."""
    path.write_text("12345678\n")
    PidFile(str(path)).remove()
    assert path.exists()
