"""The claims of twistcorn.unknown, foreign and suggestions: what an operator hears about a name that does not exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

from twistcorn import cli
from twistcorn.console.parser import COMMANDS
from twistcorn.errors import EXIT_USAGE
from twistcorn.foreign import FOREIGN
from twistcorn.settings import OPTIONS, flag
from twistcorn.suggestions import did_you_mean, nearest
from twistcorn.unknown import unknown_option, unknown_variables

FLAGS = [f"--{flag(field)}" for field in OPTIONS]
#: Every spelling of an option of `twistcorn run`.
SPELLINGS = {
    *FLAGS, "--log-file", "--help", "-h",
    *(f"--{field.metadata['alias']}" for field in OPTIONS if field.metadata["alias"]),
    *(f"-{field.metadata['short']}" for field in OPTIONS if field.metadata["short"]),
}  # fmt: skip
EVERY_FOREIGN = pytest.mark.parametrize("name", FOREIGN)


def slips(name: str) -> list[str]:
    """The name with one letter left out, one doubled, and two swapped, in the middle."""
    at = len(name) // 2
    before, letter, after = name[:at], name[at], name[at + 1 :]
    return [before + after, before + letter * 2 + after, before + after[:1] + letter + after[1:]]


class TestSuggestions:
    @pytest.mark.parametrize("option", [each for each in FLAGS if len(each) > 7])
    def test_a_slip_of_the_finger(self, option: str) -> None:
        """One letter too few or too many, or two swapped: the option itself is suggested."""
        for slip in slips(option):
            if slip != option:
                assert nearest(slip, FLAGS) == option, slip

    @pytest.mark.parametrize("word", ["--colour", "--x", "--", "--interactive", "--zzzzzzz"])
    def test_a_stranger(self, word: str) -> None:
        """A name that resembles none gets no suggestion."""
        assert did_you_mean(word, FLAGS) == ""

    def test_a_beginning(self) -> None:
        """The start of exactly one name is that name."""
        assert nearest("--admin-act", FLAGS) == "--admin-action-token"

    @pytest.mark.parametrize("name", ["keep_alive", "KEEP_ALIVE", "keep-alive"])
    def test_another_spelling(self, name: str) -> None:
        """Underscores and capitals are no difference."""
        assert nearest(name, ["keep-alive", "threads"]) == "keep-alive"


class TestForeign:
    @EVERY_FOREIGN
    def test_is_not_ours(self, name: str) -> None:
        """A name that serves here has no entry, which would never be read."""
        assert name not in SPELLINGS

    @EVERY_FOREIGN
    def test_the_answer_exists(self, name: str) -> None:
        """Every option and every command in an answer is one of ours."""
        answer = FOREIGN[name].answer

        commands = {"run", "--version", *(command.name for command in COMMANDS)}
        assert set(re.findall(r"`twistcorn ([\w-]+)", answer)) <= commands
        assert set(re.findall(r"(?<![\w-])(?<!`twistcorn )--[a-z][a-z-]*[a-z]", answer)) <= SPELLINGS

    @EVERY_FOREIGN
    def test_the_answer_is_one_of_three(self, name: str) -> None:
        """It says what to use, that nothing is needed, or that there is nothing."""
        allowed = r"use |run |have |not needed; |not supported|there (is|are) |the log goes "
        assert re.match(allowed, FOREIGN[name].answer)

    @EVERY_FOREIGN
    def test_is_answered(self, name: str) -> None:
        """By its own answer, however its value is given."""
        for word in (name, f"{name}=value" if name.startswith("--") else f"{name}7"):
            assert unknown_option(word, FLAGS).startswith(f"unknown option {name} (")
            assert unknown_option(word, FLAGS).endswith(FOREIGN[name].answer)

    @pytest.mark.parametrize(
        "name", ["--timeout", "--reload", "-k", "-t", "-D", "--certfile", "--user", "--http", "--processes", "--host"]
    )
    def test_the_command_answers(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """`twistcorn run` with it, in each way of giving a value, is a usage error of two lines."""
        for words in ([name, "value"], [f"{name}=value"] if name.startswith("--") else [f"{name}7"]):
            with pytest.raises(SystemExit) as end:
                cli.main(["run", *words])
            said = capsys.readouterr().err.splitlines()
            assert end.value.code == EXIT_USAGE
            assert len(said) == 2
            assert said[0].startswith(f"twistcorn run: unknown option {name} (")
            assert FOREIGN[name].answer in said[0]

    def test_several_at_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each of them gets its line: a whole command line of gunicorn is answered in one go."""
        with pytest.raises(SystemExit):
            cli.main(["run", "--timeout", "30", "-k", "gthread", "--preload", "app:app"])
        said = capsys.readouterr().err.splitlines()

        assert [re.findall(r"option (\S+)", line)[:1] for line in said] == [["--timeout"], ["-k"], ["--preload"], []]

    def test_a_slip_in_a_foreign_name(self) -> None:
        """It is found as well, with its answer."""
        said = unknown_option("--acces-logfile=-", FLAGS)

        assert said.startswith("unknown option --acces-logfile; did you mean --access-log")

    def test_other_commands(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Options of other servers are none of theirs; a misspelt one of their own is found."""
        for words, said in (
            (["status", "--timeout"], "twistcorn status: unknown option --timeout\n"),
            (["workers", "--jso"], "twistcorn workers: unknown option --jso; did you mean --json?\n"),
        ):
            with pytest.raises(SystemExit):
                cli.main(words)
            assert capsys.readouterr().err.startswith(said)


class TestVariables:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("TWISTCORN_THEADS", "; did you mean TWISTCORN_THREADS?"),
            ("TWISTCORN_KEEPALIVE", "; did you mean TWISTCORN_KEEP_ALIVE?"),
            ("TWISTCORN_BIND", "; did you mean TWISTCORN_LISTEN?"),
            ("TWISTCORN_LOG_FILE", "; use the option --log-file"),
            ("TWISTCORN_TIMEOUT", f" (gunicorn): {FOREIGN['--timeout'].answer}"),
            ("TWISTCORN_COLOUR", ""),
            ("TWISTCORN_threads", "; did you mean TWISTCORN_THREADS?"),
            ("TWISTCORN_", ""),
        ],
    )
    def test_is_unknown(self, name: str, said: str) -> None:
        """It is one line, with the variable that is meant, and not with its value."""
        assert unknown_variables({name: "s3cret"}) == [f"unknown environment variable {name} ignored{said}"]

    def test_others(self) -> None:
        """Known ones, empty ones and those of others are no matter."""
        environ: dict[str, Any] = {f"TWISTCORN_{field.name.upper()}": "1" for field in OPTIONS}

        assert unknown_variables({**environ, "TWISTCORN_NOTHING": "", "TWISTCORNER": "1", "PATH": "/bin"}) == []
