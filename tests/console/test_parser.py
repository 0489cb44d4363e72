"""The claims of twistcorn.console.parser and commands: the command line of everything but `run`."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

import pytest

from twistcorn import cli
from twistcorn.console import subcommands
from twistcorn.console.parser import COMMANDS
from twistcorn.errors import OperationError, UnreachableError
from twistcorn.settings import Settings

EVERY = pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])


class Answering:
    """In the place of a client: notes what is asked, and answers with what it has."""

    pid = 77

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.answers: dict[str, Any] = {}
        self.controls: list[str] = []

    def connect(self, control: str, environ: object, uid: int) -> Answering:
        self.controls.append(control)
        if isinstance(self.answers.get("connect"), Exception):
            raise self.answers["connect"]
        return self

    def ask(self, command: str, *, time: float | None = 0, **arguments: object) -> Any:
        self.asked.append((command, arguments))
        answer = self.answers.get(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self, quick: bool) -> None:
        self.ask("stop", quick=quick)

    def close(self) -> None:
        self.asked.append(("close", {}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """What commands talk to."""
    answering = Answering()
    monkeypatch.setattr(subcommands, "connect", answering.connect)
    monkeypatch.delenv("TWISTCORN_CONTROL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return answering


def parsed(*words: str) -> argparse.Namespace:
    """What a command line means."""
    return cli.make_parser(words).parse_args(words)


def exit_code(*words: str) -> int:
    """The exit code, also of what argparse ends by itself."""
    try:
        return cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)


class TestLine:
    @EVERY
    def test_help(self, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
        """It says what the command means, shows an example, and the exit codes."""
        assert exit_code(command.name, "--help") == 0
        shown = capsys.readouterr().out
        exits = "69 no server at the control socket"
        for text in (command.help[1:], command.more, command.example, exits, "--control PATH"):
            assert text in shown

    @EVERY
    def test_the_example(self, command: Any) -> None:
        """It is a line that works."""
        words = shlex.split(command.example)
        end = next((n for n, word in enumerate(words) if word in ("|", "&&")), len(words))
        assert parsed(*words[1:end]).command == command.name

    @EVERY
    def test_control_anywhere(self, command: Any) -> None:
        """In front of the command, behind it, and behind its arguments."""
        given = [word for word in shlex.split(command.example)[2:] if not word.startswith(("-", "|", "/"))]
        given = given[: sum(not words.names[0].startswith("-") for words in command.words)]
        for line in (
            ["--control", "/x", command.name, *given],
            [command.name, "--control", "/x", *given],
            [command.name, *given, "--control=/x"],
        ):
            assert parsed(*line).control == "/x"
        assert not hasattr(parsed(command.name, *given), "control")

    @pytest.mark.parametrize(
        "line", ["scale", "scale many", "drain", "stack a", "set threads", "status more", "workers --jso", "logs -n x"]
    )
    def test_wrong_usage(self, line: str, server: Answering, capsys: pytest.CaptureFixture[str]) -> None:
        """64, and nobody is asked."""
        assert exit_code(*line.split()) == 64
        assert (server.asked, server.controls) == ([], [])
        assert "Traceback" not in capsys.readouterr().err

    def test_run_takes_it_in_front_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the server's own socket is to be."""
        runs: list[str] = []

        def run(settings: Settings, *more: object) -> int:
            runs.append(settings.control)
            return 0

        monkeypatch.setattr(cli, "run", run)
        for line in ("--control /x run", "run --control /x", "--control /y run --control /x", "run"):
            exit_code(*line.split())
        assert runs == ["/x", "/x", "/x", ""]


class TestDoing:
    def test_scale_beyond_the_range(self, server: Answering, capsys: pytest.CaptureFixture[str]) -> None:
        """The target is another one than was asked for: it is said why."""
        server.answers |= {"scale": {"workers": 8}, "get": [{"name": "workers", "value": "2:8"}]}
        assert exit_code("scale", "20") == 0
        assert capsys.readouterr().out == "worker target set to 8: 20 is outside --workers 2:8\n"

    @pytest.mark.parametrize(
        ("line", "asked", "answer", "said"),
        [
            ("scale 3", ("scale", {"workers": 3}), {"workers": 3}, "worker target set to 3"),
            ("scale 1", ("scale", {"workers": 1}), {"workers": 1}, "worker target set to 1"),
            ("drain 2", ("drain", {"worker": 2}), {"worker": 2}, "draining worker 2"),
            ("recycle 2", ("recycle", {"worker": 2}), {"worker": 2}, "replacing worker 2"),
            (
                "reload", ("reload", {}), {"generation": 4, "took": 1.23, "needs_restart": []},
                "reloaded in 1.2 s: generation 4 is serving",
            ),
            (
                "reload", ("reload", {}), {"generation": 4, "took": 1.23, "needs_restart": ["listen", "admin"]},
                "reloaded in 1.2 s: generation 4 is serving\n"
                "not applied, restart the server to change: --listen, --admin",
            ),
            ("stop", ("stop", {"quick": False}), None, "server stopped (pid 77)"),
            ("stop --quick", ("stop", {"quick": True}), None, "server stopped (pid 77)"),
            (
                "set threads 4", ("set", {"name": "threads", "value": "4"}),
                {"name": "threads", "value": 4, "origin": "set", "change": "live"}, "threads set to 4",
            ),
            ("get threads --json", ("get", {"name": "threads"}), [{"name": "threads"}], '[{"name": "threads"}]'),
            ("status --json", ("status", {}), {"pid": 7}, '{"pid": 7}'),
            ("workers --json", ("workers", {}), [], "[]"),
            ("connections --json", ("connections", {}), [], "[]"),
        ],
    )  # fmt: skip
    def test_done(
        self, server: Answering, capsys: pytest.CaptureFixture[str], line: str, asked: Any, answer: Any, said: str
    ) -> None:
        """The server is asked once, and it is said what was done."""
        server.answers[asked[0]] = answer
        assert exit_code(*line.split()) == 0
        assert server.asked == [asked, ("close", {})]
        assert capsys.readouterr() == (f"{said}\n", "")

    @pytest.mark.parametrize("line", ["status", "scale 3", "reload", "stop", "get x", "set x y", "drain 1"])
    def test_refused(self, server: Answering, capsys: pytest.CaptureFixture[str], line: str) -> None:
        """1, and why."""
        server.answers[line.split()[0]] = OperationError("the server is stopping")
        assert exit_code(*line.split()) == 1
        assert capsys.readouterr() == ("", "twistcorn: the server is stopping\n")

    def test_refused_in_detail(self, server: Answering, capsys: pytest.CaptureFixture[str]) -> None:
        """All of it, with nothing in it that a terminal would do."""
        server.answers["reload"] = OperationError("reload\x1b[2J is off", "line 1\n\x1bline 2")
        assert exit_code("reload") == 1
        assert capsys.readouterr() == ("", "twistcorn: reload?[2J is off\nline 1\n?line 2\n")

    @EVERY
    def test_nobody_listens(self, server: Answering, capsys: pytest.CaptureFixture[str], command: Any) -> None:
        """69, and where."""
        server.answers["connect"] = UnreachableError("no server at /x")
        words = {"scale": ["3"], "drain": ["1"], "recycle": ["1"], "stack": ["1"], "set": ["a", "b"]}
        assert exit_code(command.name, *words.get(command.name, [])) == 69
        assert capsys.readouterr() == ("", "twistcorn: no server at /x\n")

    def test_a_silent_worker(self, server: Answering, capsys: pytest.CaptureFixture[str]) -> None:
        """What runs in it is said, and that it does not answer; a failure."""
        doing = [{"request": "GET /hold", "age": 5.0, "slot": 1}]
        server.answers["stack"] = {"worker": 2, "pid": 9, "stack": None, "doing": doing}
        assert exit_code("stack", "2") == 1
        out, err = capsys.readouterr()
        assert "running: GET /hold for 5.0 s" in out
        assert err.startswith("twistcorn: worker 2 does not answer: ")

    def test_which_server(self, server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
        """The option, else the environment, else the default."""
        server.answers["workers"] = []
        exit_code("workers", "--json")
        monkeypatch.setenv("TWISTCORN_CONTROL", "/env")
        exit_code("workers", "--json")
        exit_code("workers", "--json", "--control", "/line")
        assert server.controls == ["", "/env", "/line"]

    def test_interrupted(self, server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
        """130, as in a shell, with no traceback."""

        def interrupt(*arguments: object, **more: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(server, "ask", interrupt)
        assert exit_code("reload") == 130
