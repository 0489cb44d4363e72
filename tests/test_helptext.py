"""The claims of twistcorn.groups and helptext: what `twistcorn run --help` and `twist twistcorn --help` print."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import Any

import pytest

from twistcorn import cli
from twistcorn.console.parser import COMMANDS
from twistcorn.groups import GROUPS
from twistcorn.helptext import WIDTH, help_text, option_row, plugin_help, shown_default
from twistcorn.settings import FIELDS, OPTIONS, flag
from twistcorn.sources import resolve
from twistcorn.syntax import OneOf

HELP = help_text("twistcorn run")
NAMES = [field.name for field in OPTIONS]
#: A longer help is not read.
MOST_LINES = 100
#: Words that no operator uses.
STRANGE = r"\b(so (many|long)|is told|are told|of late|the least|who never|anew|whoever|nobody|somebody|allowed is)\b"


def test_every_option_is_in_one_group() -> None:
    """No option is left out, and none is shown twice."""
    shown = [name for _, names in GROUPS for name in names]

    assert sorted(shown) == sorted(NAMES)


@pytest.mark.parametrize("text", [HELP, plugin_help("twist twistcorn")], ids=["run", "twist"])
def test_it_is_short(text: str) -> None:
    """It is less than 100 lines, and no line is wider than the page."""
    lines = text.splitlines()

    assert len(lines) < MOST_LINES
    assert max(map(len, lines)) <= WIDTH


def test_groups_in_order() -> None:
    """Each group has a title, in the order of the table."""
    titles = re.findall(r"^(\w[\w -]*):$", HELP, re.MULTILINE)

    assert titles == [*(title for title, _ in GROUPS), "Examples"]


@pytest.mark.parametrize("name", NAMES)
def test_a_line_has_the_facts(name: str) -> None:
    """An option shows its spelling, meaning, default, variables and allowed values."""
    field = FIELDS[name]
    row = option_row(field)

    assert f"{row.invocation} " in HELP
    assert row.text in HELP
    assert row.facts in HELP
    assert f"--{flag(field)} {field.metadata['metavar']}" in row.invocation
    for variable in (f"TWISTCORN_{name.upper()}", *field.metadata["env"]):
        assert variable in row.facts
    if isinstance(field.metadata["parse"], OneOf):
        assert all(choice in row.invocation for choice in field.metadata["parse"].choices)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_can_be_typed(name: str) -> None:
    """The default that is shown is a value of the option, and means the default."""
    text = shown_default(FIELDS[name])

    assert getattr(resolve({name: [text]} if text else {}, {}), name) == FIELDS[name].default


@pytest.mark.parametrize("field", OPTIONS, ids=NAMES)
def test_a_text_is_plain(field: dataclasses.Field[Any]) -> None:
    """A help is a phrase, what the documentation says besides is in sentences, and both are in current English."""
    text, more = field.metadata["help"], field.metadata["more"]

    assert not text.endswith(".")
    assert "  " not in text + more
    assert more == "" or more.endswith(".")
    assert not re.search(STRANGE, f"{text} {more}")


def test_commands_are_plain() -> None:
    """So are the texts of the other commands."""
    for command in COMMANDS:
        texts = [command.help, command.more, *(str(words.more.get("help")) for words in command.words)]
        assert not re.search(STRANGE, " ".join(texts)), command.name


def test_the_examples_are_command_lines() -> None:
    """There are three, and each one parses."""
    found = re.findall(r"^  (twistcorn run .*)$", HELP.partition("Examples:")[2], re.MULTILINE)

    assert len(found) == 3
    for line in found:
        words = shlex.split(line)[1:]
        arguments = cli.make_parser(words).parse_args(words)
        given = {name: getattr(arguments, name) for name in NAMES if hasattr(arguments, name)}
        assert resolve({name: texts for name, texts in given.items() if name != "app"}, {})
