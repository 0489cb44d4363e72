"""What `--help` prints, made from the table of settings and its groups.

Law: pure, and adds no fact about an option: texts, defaults and allowed values are the table's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from .groups import GROUPS
from .origins import as_text
from .settings import FIELDS, Settings, flag
from .syntax import allowed_range

#: Columns of the whole, and the one in which texts begin.
WIDTH, TEXT_COLUMN = 108, 29

_INTRO = """\
Serves a WSGI app from a pool of worker processes. APP is the same as --app; without it, the first of
manage.py, wsgi.py, app.py and main.py is served. In brackets: allowed numbers; default; environment
variable. TIME is 30s, 5m, 250ms or plain seconds. SIZE is 64k, 512MB, 1GiB or plain bytes."""

_EXAMPLES = """\
Examples:
  {command} shop.wsgi:app
  {command} --listen :8000 --workers auto --threads 16 --access-log - shop.wsgi:app
  {command} --listen unix:/run/shop.sock --admin :9000 --config /etc/twistcorn.conf
docs/settings.md says more about each option."""


class HelpRow(NamedTuple):
    """One option as it is shown.

    :ivar invocation: how it is written.
    :ivar text: what it means.
    :ivar facts: allowed numbers, default and variables, in brackets.
    """

    invocation: str
    text: str
    facts: str = ""


#: Options of `twistcorn run` that are no settings, and the group of each.
COMMAND_ROWS = {
    "Logs": (HelpRow("--log-file FILE", "server log; default: standard error"),),
    "Application": (HelpRow("-h, --help", "print this help"),),
}
#: And of `twist twistcorn`.
PLUGIN_ROWS = {
    "Application": (HelpRow("--help", "print this help"), HelpRow("--version", "print the version of Twisted"))
}


def help_text(command: str) -> str:
    """All that `twistcorn run --help` prints.

    :param command: what is typed before the options.
    """
    return f"usage: {command} [OPTIONS] [APP]\n\n{_body(command, FIELDS, COMMAND_ROWS)}"


def plugin_help(command: str) -> str:
    """What `twist twistcorn --help` prints below its synopsis: `twist` has the options for the log itself."""
    known = {name for name, field in FIELDS.items() if not field.metadata["run_only"]}
    return f"\n{_body(command, known, PLUGIN_ROWS)}"


def _body(command: str, known: Container[str], more: Mapping[str, Sequence[HelpRow]]) -> str:
    parts = [_INTRO]
    for title, names in GROUPS:
        rows = [*(option_row(FIELDS[name]) for name in names if name in known), *more.get(title, ())]
        parts += ["", f"{title}:", *(line for row in rows for line in lines(row))]
    return "\n".join([*parts, "", _EXAMPLES.format(command=command), ""])


def option_row(field: dataclasses.Field[Any]) -> HelpRow:
    """One setting as a row."""
    meta = field.metadata
    names = [f"-{meta['short']}"] if meta["short"] else []
    names += [f"--{meta['alias']}"] if meta["alias"] else []
    names += [f"--{flag(field)}"]
    facts = (allowed_range(meta["parse"]), shown_default(field), " or ".join(variables(field)))
    return HelpRow(f"{', '.join(names)} {meta['metavar']}", meta["help"], f"[{'; '.join(filter(None, facts))}]")


def shown_default(field: dataclasses.Field[Any]) -> str:
    """The default as an operator writes it; empty where there is none."""
    # The default address in the short spelling, which says the same.
    return "127.0.0.1:8000" if field.name == "listen" else as_text(Settings(), field.name)


def variables(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """The environment variables of a setting, the strongest first."""
    return (f"TWISTCORN_{field.name.upper()}", *field.metadata["env"], *("PORT",) * (field.name == "listen"))


def lines(row: HelpRow) -> list[str]:
    """A row as lines; facts that do not fit behind the text have a line of their own."""
    # A long invocation pushes its text to the right: a line of its own would cost too many.
    line = f"{f'  {row.invocation}  '.ljust(TEXT_COLUMN)}{row.text}"
    if len(line) + 1 + len(row.facts) <= WIDTH:
        return [f"{line} {row.facts}".rstrip()]
    return [line, " " * TEXT_COLUMN + row.facts]
