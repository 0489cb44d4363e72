"""The claims of twistcorn.sources: command line over environment over file, and a file that is read each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from twistcorn.errors import SettingsError
from twistcorn.settings import Settings
from twistcorn.sources import read_sourced


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of twistcorn."""
    for variable in list(os.environ):
        if variable.startswith("TWISTCORN_") or variable in ("PORT", "WEB_CONCURRENCY", "SCRIPT_NAME"):
            monkeypatch.delenv(variable)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], dict[str, list[str]]]:
    """Writes a file of settings; returns what the command line gives to have it read."""

    def write_file(text: str) -> dict[str, list[str]]:
        path = tmp_path / "twistcorn.conf"
        path.write_text(text, encoding="utf-8")
        return {"config": [str(path)]}

    return write_file


Write = Callable[[str], dict[str, list[str]]]


def test_nothing_is_said() -> None:
    """The defaults, and no file is read."""
    assert read_sourced({}).settings == Settings()


def test_file(write: Write) -> None:
    """One setting in a line, as the long options are called; comments and empty lines say nothing."""
    settings = read_sourced(write("# ours\n\nthreads = 9\n  keep-alive=5m\nlisten = :1\nlisten = :2\n")).settings

    assert (settings.threads, settings.keep_alive, settings.listen) == (9, 300.0, ("tcp:1", "tcp:2"))


def test_value_has_an_equals_sign(write: Write) -> None:
    """Only the first one ends the name."""
    assert read_sourced(write("app = shop:make(mode='x')\n")).settings.app == "shop:make(mode='x')"


def test_who_goes_first(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, then the environment, then the file."""
    monkeypatch.setenv("TWISTCORN_THREADS", "2")
    monkeypatch.setenv("TWISTCORN_WORKERS", "2")
    settings = read_sourced({"workers": ["3"], **write("workers = 1\nthreads = 1\nbacklog = 1\n")}).settings

    assert (settings.workers, settings.threads, settings.backlog) == (3, 2, 1)


def test_environment_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command line can."""
    (path,) = write("threads = 9\n")["config"]
    monkeypatch.setenv("TWISTCORN_CONFIG", path)

    assert read_sourced({}).settings.threads == 9


def test_file_changes(write: Write) -> None:
    """What is read is what it says then: a reload sees it."""
    given = write("threads = 9\n")
    before = read_sourced(given).settings
    write("threads = 10\n")

    assert (before.threads, read_sourced(given).settings.threads) == (9, 10)


#: situation: the file -> what the error says
WRONG = [
    ("a wrong value", "replay = x\n", "invalid value 'x' for replay in {path}: expected safe, idempotent or off"),
    ("a name that is none", "ok = 1\n", "{path}, line 1: unknown setting 'ok'"),
    ("no value", "threads = 2\nthreads\n", "{path}, line 2: expected `name = value`, found no = after 'threads'"),
    ("a secret", "admin-token s3cret\n", "{path}, line 1: expected `name = value`, found no = after 'admin-token'"),
    ("another file", "config = b.conf\n", "{path}, line 1: a settings file cannot name another one"),
    ("a misspelt name", "theads = 1\n", "{path}, line 1: unknown setting 'theads'; did you mean threads?"),
    ("an alias", "bind = :1\n", "{path}, line 1: unknown setting 'bind'; did you mean listen?"),
    ("a name of uWSGI's", "processes = 4\n", "{path}, line 1: unknown setting 'processes' (uWSGI): use --workers"),
]


@pytest.mark.parametrize(("situation", "text", "message"), WRONG, ids=[row[0] for row in WRONG])
def test_file_is_wrong(situation: str, text: str, message: str, write: Write) -> None:
    """The error names the file, the place in it, and what is allowed."""
    given = write(text)
    with pytest.raises(SettingsError) as raised:
        read_sourced(given)

    assert str(raised.value) == message.format(path=given["config"][0])


def test_there_is_no_file(tmp_path: Path) -> None:
    """The error names it, and is a usage error as any other."""
    path = str(tmp_path / "none.conf")
    with pytest.raises(SettingsError, match="No such file or directory") as raised:
        read_sourced({"config": [path]})

    assert str(raised.value).startswith(f"--config {path}: ")


def test_file_is_no_text(tmp_path: Path) -> None:
    """The same: nothing else escapes to whoever reloads."""
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(SettingsError, match="utf-8"):
        read_sourced({"config": [str(path)]})


def test_name_of_the_file_is_none() -> None:
    """Not even what no system takes as a path."""
    with pytest.raises(SettingsError):
        read_sourced({"config": ["a\x00b"]})
