"""The claims of twistcorn.cli: the command line, its exit codes, and the log file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from twistcorn import __version__, cli
from twistcorn.errors import EXIT_USAGE
from twistcorn.settings import OPTIONS, Settings, flag

if TYPE_CHECKING:
    from pathlib import Path


class Run(NamedTuple):
    """With what `run` was called."""

    settings: Settings
    log_file: str | None


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """What the command would have run, in an environment that says nothing."""
    called: list[Run] = []

    def run(*arguments: Any) -> int:
        called.append(Run(*arguments[:2]))
        return 42

    monkeypatch.setattr(cli, "run", run)
    for variable in list(os.environ):
        if variable.startswith("TWISTCORN_") or variable in ("PORT", "WEB_CONCURRENCY", "SCRIPT_NAME"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("COLUMNS", "200")
    return called


def text_for(option: str) -> str:
    """A text that an option allows, and that is not its default."""
    texts = {
        "workers": "3", "app": "x:y", "listen": "tcp:1", "admin": "tcp:1", "header_map": "refuse", "script_name": "/x",
        "forwarded_allow_ips": "10.0.0.1", "turns": "pool", "reload_strategy": "single", "config": os.devnull,
        "replay": "off", "expect": "early", "app_output": "plain", "log_level": "warn", "log_format": "json",
    }  # fmt: skip
    return texts.get(option, "77")


def exit_code(*argv: str) -> int:
    """The exit code, also of what argparse ends by itself."""
    try:
        return cli.main(argv)
    except SystemExit as end:
        return int(end.code or 0)


class TestRun:
    def test_app_is_given(self, runs: list[Run]) -> None:
        """`twistcorn run app:app` serves with the defaults, and its exit code is the command's."""
        assert exit_code("run", "app:app") == 42
        assert runs == [Run(Settings(app="app:app"), None)]

    def test_nothing_is_given(self, runs: list[Run]) -> None:
        """The application is looked for."""
        exit_code("run")

        assert runs[0].settings == Settings()

    @pytest.mark.parametrize("field", OPTIONS, ids=[field.name for field in OPTIONS])
    def test_every_option_is_there(self, runs: list[Run], field: Any) -> None:
        """Its long form, its short one and its alias mean the same."""
        text = text_for(field.name)
        meta = field.metadata
        forms = [f"--{flag(field)}"] + [f"--{meta['alias']}"] * bool(meta["alias"])
        for form in forms:
            exit_code("run", form, text)
            exit_code("run", f"{form}={text}")
        if meta["short"]:
            exit_code("run", f"-{meta['short']}", text)
            exit_code("run", f"-{meta['short']}{text}")

        values = {getattr(run.settings, field.name) for run in runs}
        assert len(values) == 1
        assert values != {getattr(Settings(), field.name)}

    def test_several_addresses(self, runs: list[Run]) -> None:
        """In the order in which they were given, however they were called."""
        exit_code("run", "--bind", ":1", "-b", ":2", "--listen", ":3")

        assert runs[0].settings.listen == ("tcp:1", "tcp:2", "tcp:3")

    def test_environment(self, runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
        """It counts where the command line says nothing."""
        monkeypatch.setenv("TWISTCORN_WORKERS", "3")
        monkeypatch.setenv("TWISTCORN_THREADS", "3")
        exit_code("run", "--threads", "5")

        assert (runs[0].settings.workers, runs[0].settings.threads) == (3, 5)

    def test_log_options(self, runs: list[Run]) -> None:
        """They are the command's own: `twist` has others."""
        exit_code("run", "--log-file", "x.log", "--log-level", "debug", "--log-format", "json")

        assert runs[0] == Run(Settings(log_level="debug", log_format="json"), "x.log")


class TestUsage:
    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            ([], "COMMAND"),
            (["serve"], "unknown command 'serve'; did you mean run?"),
            (["relaod"], "unknown command 'relaod'; did you mean reload?"),
            (["app:app"], "unknown command 'app:app'; to serve an app: twistcorn run app:app"),
            (["--control", "/x", "sacle", "2"], "unknown command 'sacle'; did you mean scale?"),
            (["run", "--theads", "2"], "unknown option --theads; did you mean --threads?"),
            (["run", "--thread", "2"], "unknown option --thread; did you mean --threads?"),
            (["run", "--threads"], "expected one argument"),
            (["run", "app:app", "app:app"], "unexpected argument 'app:app'"),
            (["run", "--log-level", "loud"], "invalid value 'loud' for --log-level: expected debug, info,"),
            (["run", "--access-log-format", "%(z)s"], "unknown atom %(z)s"),
            (["run", "--threads", "0"], "invalid value '0' for --threads: expected a whole number from 1 to 1024"),
            (["run", "-w", "0"], "invalid value '0' for --workers: expected auto or a whole"),
            (["run", "--bind", "8000"], "invalid value '8000' for --listen: expected HOST:PORT"),
        ],
    )
    def test_it_is_wrong(
        self, runs: list[Run], capsys: pytest.CaptureFixture[str], argv: list[str], said: str
    ) -> None:
        """The exit code is 64 of sysexits(3), and standard error says what is wrong, with no traceback."""
        assert exit_code(*argv) == EXIT_USAGE == 64
        assert runs == []

        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert "Traceback" not in err

    def test_variable_is_wrong(
        self, runs: list[Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is named."""
        monkeypatch.setenv("WEB_CONCURRENCY", "lots")

        assert exit_code("run") == EXIT_USAGE
        assert capsys.readouterr().err.startswith("twistcorn: invalid value 'lots' for WEB_CONCURRENCY: expected ")

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line, on standard output."""
        assert exit_code("--version") == 0
        assert capsys.readouterr().out == f"twistcorn {__version__}\n"

    def test_help(self, runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
        """Every option is there with its meaning."""
        assert exit_code("run", "--help") == 0

        shown = " ".join(capsys.readouterr().out.split())
        for field in OPTIONS:
            # Python 3.13 names the value once, behind all spellings of an option.
            assert re.search(rf"--{flag(field)}(, --\w+)? {re.escape(field.metadata['metavar'])}[, ]", shown)
            assert field.metadata["help"] in shown
        assert runs == []

    def test_help_of_the_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It names the commands."""
        assert exit_code("--help") == 0
        assert "serve a WSGI app" in capsys.readouterr().out


class TestLogFile:
    def test_it_cannot_be_opened(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """That is a usage error, told before anything starts."""
        path = tmp_path / "missing" / "server.log"

        assert exit_code("run", "--log-file", str(path)) == EXIT_USAGE
        assert capsys.readouterr().err == f"twistcorn: --log-file {path}: No such file or directory\n"
