"""The application that is disrupted."""

from __future__ import annotations

import io
import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.disrupt.stage import APP


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deployed application that boots at once."""
    shutil.copy(APP, tmp_path)
    (tmp_path / "boot").write_text("0")
    return tmp_path


def load(folder: Path) -> Callable[[str, str], bytes]:
    """Import it, as a new worker does; what asks it."""
    names = runpy.run_path(str(folder / APP.name))

    def ask(method: str, target: str) -> bytes:
        path, _, query = target.partition("?")
        environ: dict[str, object] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        environ |= {"CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"body")}
        return b"".join(names["app"](environ, lambda *ignored: None))

    return ask


def test_answer_tells_whose_it_is(folder: Path) -> None:
    """The request's own name, the worker, the version that is deployed."""
    (folder / "version").write_text("7")
    ask = load(folder)
    assert ask("GET", "/work?id=a-1&ms=0") == f"a-1 {os.getpid()} 7\n".encode()
    assert ask("GET", "/") == b"ready\n"


def test_each_run_of_a_post_is_noted(folder: Path) -> None:
    """Twice the same name is twice a line; a GET is none."""
    ask = load(folder)
    for method in ("POST", "GET", "POST"):
        ask(method, "/work?id=a-1&ms=0")
    assert (folder / "runs").read_text() == "a-1\na-1\n"


def test_worker_is_noted_once_it_has_the_application(folder: Path) -> None:
    """A broken deploy raises, and leaves no worker that is ready."""
    (folder / "broken").touch()
    with pytest.raises(RuntimeError, match="this deploy is broken"):
        load(folder)
    assert not (folder / "pids").exists()
    (folder / "broken").unlink()
    load(folder)
    assert (folder / "pids").read_text() == f"{os.getpid()}\n"
