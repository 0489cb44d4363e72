"""The claims of twistcorn.tap: the options of `twist twistcorn`, made from the table of settings."""

from __future__ import annotations

import os
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage

from tests.test_cli import text_for
from twistcorn.settings import OPTIONS, Settings, flag
from twistcorn.tap import Options


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of twistcorn."""
    for variable in list(os.environ):
        if variable.startswith("TWISTCORN_") or variable in ("PORT", "WEB_CONCURRENCY", "SCRIPT_NAME"):
            monkeypatch.delenv(variable)
    return monkeypatch


#: The options that are not those of `twistcorn run` alone, where `twist` has its own.
OURS = [field for field in OPTIONS if not field.metadata["run_only"]]


def resolved(*argv: str) -> Settings:
    """The settings that a command line gives."""
    options = Options()
    options.parseOptions(argv)
    return options.resolved


class TestOptions:
    @pytest.mark.parametrize("field", OURS, ids=[field.name for field in OURS])
    def test_every_option_is_there(self, field: Any) -> None:
        """Its long form, its short one and its alias mean the same."""
        text, meta = text_for(field.name), field.metadata
        lines = [[f"--{flag(field)}", text], [f"--{flag(field)}={text}"]]
        lines += [[f"--{meta['alias']}", text]] * bool(meta["alias"])
        lines += [[f"-{meta['short']}", text]] * bool(meta["short"])
        values = {getattr(resolved(*line), field.name) for line in lines}

        assert len(values) == 1
        assert values != {getattr(Settings(), field.name)}

    def test_nothing_is_given(self) -> None:
        """The defaults."""
        assert resolved() == Settings()

    def test_app_comes_last(self) -> None:
        """It may be given without --app, as with the console script."""
        assert resolved("--workers", "2", "shop:app") == Settings(app="shop:app", workers=2)

    def test_several_addresses(self) -> None:
        """In the order in which they were given, however they were called."""
        assert resolved("--bind", ":1", "-b", ":2", "--listen", ":3").listen == ("tcp:1", "tcp:2", "tcp:3")

    def test_environment(self, environment: pytest.MonkeyPatch) -> None:
        """It counts where the command line says nothing."""
        environment.setenv("WEB_CONCURRENCY", "3")
        environment.setenv("TWISTCORN_THREADS", "3")
        made = resolved("--threads", "5")

        assert (made.workers, made.threads) == (3, 5)

    def test_two_are_parsed(self) -> None:
        """One command line leaves nothing behind for the next."""
        resolved("--bind", ":1")

        assert resolved() == Settings()


class TestUsage:
    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (["--threads", "0"], r"invalid value '0' for --threads: expected a whole number from 1 to 1024"),
            (["--bind", "8000"], r"invalid value '8000' for --listen: expected HOST:PORT"),
            (["--theads", "2"], "unknown option --theads; did you mean --threads?"),
            (["--threads"], "--threads requires argument"),
            (["app:app", "app:app"], "unexpected argument 'app:app'"),
        ],
    )
    def test_it_is_wrong(self, argv: list[str], said: str) -> None:
        """It is a usage error, which `twist` ends with its own exit code."""
        with pytest.raises(usage.UsageError) as raised:
            resolved(*argv)

        assert said in str(raised.value)

    def test_variable_is_wrong(self, environment: pytest.MonkeyPatch) -> None:
        """It is named."""
        environment.setenv("WEB_CONCURRENCY", "lots")

        with pytest.raises(usage.UsageError, match=r"^invalid value 'lots' for WEB_CONCURRENCY: expected "):
            resolved()

    @pytest.mark.parametrize("option", ["reactor", "log-level", "log-file", "log-format"])
    def test_option_of_twist_comes_too_late(self, option: str) -> None:
        """The message has the right line: options of `twist` go before the plugin's name."""
        with pytest.raises(usage.UsageError) as raised:
            resolved(f"--{option}=epoll")

        assert str(raised.value) == f"--{option} is an option of twist: twist --{option}=... twistcorn ..."

    def test_help(self) -> None:
        """Every option is there with its meaning, its short form and its alias; what `twist` has itself is not."""
        shown = " ".join(str(Options()).split())

        for field in OURS:
            meta = field.metadata
            assert f"--{flag(field)} {meta['metavar']}" in shown
            assert meta["help"] in shown
            assert f"-{meta['short']}, --" in shown or not meta["short"]
            assert f"--{meta['alias']}, --{flag(field)}" in shown or not meta["alias"]
        assert not any(f"--{flag(field)} " in shown for field in OPTIONS if field.metadata["run_only"])

    def test_usage_after_an_error(self) -> None:
        """`twistd` prints the options with every usage error: two lines then, and not all of them."""
        options = Options()
        with pytest.raises(usage.UsageError):
            options.parseOptions(["--theads", "2"])

        assert len(str(options).splitlines()) == 2

    def test_foreign_option(self) -> None:
        """An option of another server is answered as by `twistcorn run`."""
        with pytest.raises(usage.UsageError, match=r"^unknown option --timeout \(gunicorn\): use --request-timeout"):
            resolved("--timeout=30")

    def test_synopsis(self) -> None:
        """The application has its place in it."""
        assert "[options] [APP]" in str(Options())


class TestPlugin:
    def test_twist_looks_for_it(self) -> None:
        """`twist` finds the plugin by its name, with these options and a service to make."""
        (maker,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "twistcorn"]

        assert maker.options is Options
        assert callable(maker.makeService)
        assert maker.description
