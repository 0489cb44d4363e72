"""The command line of the commands for a running server, in one table.

Law: declares; `subcommands` acts. Each command has a help line and an example that works.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from ..errors import EXIT_UNAVAILABLE

_EXIT = f"exit code: 0 done, 1 refused or failed, 64 usage error, {EXIT_UNAVAILABLE} no server at the control socket"


class Words(NamedTuple):
    """One argument or option: its names, and the keyword arguments for argparse."""

    names: tuple[str, ...]
    more: dict[str, Any]


class Command(NamedTuple):
    """One command.

    :ivar help: one line.
    :ivar more: further help.
    :ivar example: a command line that works.
    """

    name: str
    help: str
    more: str
    example: str
    words: tuple[Words, ...] = ()


def _words(*names: str, **more: Any) -> Words:
    return Words(names, more)


_JSON = _words("--json", action="store_true", help="print one line of JSON")
_WORKER = _words("worker", metavar="WORKER", type=int, help="number of the worker, from `twistcorn workers`")

COMMANDS = (
    Command(
        "status", "summary of the server", "", "twistcorn status --json | jq .workers.ready", (_JSON,)
    ),
    Command(
        "top", "live view of the server",
        "The last line of the screen lists the keys. Without a terminal, or with TERM=dumb, it prints once and exits.",
        "twistcorn top --control /run/shop.sock",
    ),
    Command("workers", "list workers, and what each is doing", "", "twistcorn workers", (_JSON,)),
    Command("connections", "list connections, oldest first", "", "twistcorn connections --json", (_JSON,)),
    Command(
        "reload", "reload settings and app, and wait until it is done",
        "If it fails, it prints why, and the old workers keep serving. Settings that need a restart are listed.",
        "twistcorn reload && echo the new code serves",
    ),
    Command(
        "scale", "set the number of workers", "", "twistcorn scale 4",
        (_words("workers", metavar="N", type=int, help="number of workers"),),
    ),
    Command(
        "drain", "stop a worker now: it returns its connections and is replaced", "", "twistcorn drain 3", (_WORKER,)
    ),
    Command(
        "recycle", "replace a worker: the old one stops when the new one is ready", "", "twistcorn recycle 3",
        (_WORKER,),
    ),
    Command(
        "stack", "print the stack of each thread of a worker",
        "If the worker does not answer within 2 s, only the requests that run in it are listed; the exit code is 1.",
        "twistcorn stack 3", (_WORKER,),
    ),
    Command(
        "set", "change a setting of the running server", "An invalid value changes nothing.",
        "twistcorn set request-timeout 10s",
        (_words("name", metavar="NAME", help="name of the option, without the dashes"),
         _words("value", metavar="VALUE", help="value of the option")),
    ),
    Command(
        "get", "print the settings in effect, and the source of each", "", "twistcorn get threads",
        (_words("name", metavar="NAME", nargs="?", default="", help="print only this one"), _JSON),
    ),
    Command(
        "logs", "print the latest lines of the server log",
        "The server keeps the last 1000. Workers log to standard error: their lines are not included.",
        "twistcorn logs -n 20 --follow",
        (_words("-n", dest="count", metavar="N", type=int, default=100, help="number of lines; default: 100"),
         _words("-f", "--follow", action="store_true", help="keep printing new lines"), _JSON),
    ),
    Command(
        "stop", "stop the server, and wait until it has exited",
        "Like SIGTERM: requests in flight are completed, within --graceful-timeout.", "twistcorn stop",
        (_words("--quick", action="store_true", help="stop at once, like SIGINT"),),
    ),
)  # fmt: skip


def add_commands(commands: Any) -> None:
    """Add all commands to the subparsers of argparse."""
    for command in COMMANDS:
        parser = commands.add_parser(
            command.name, help=command.help, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description="\n".join(filter(None, [f"{command.help[0].upper()}{command.help[1:]}.", command.more])),
            epilog=f"example: {command.example}\n{_EXIT}",
        )  # fmt: skip
        for words in command.words:
            parser.add_argument(*words.names, **words.more)
        add_control(parser)


def add_control(parser: argparse.ArgumentParser) -> None:
    """The option of every command, before or after its name."""
    parser.add_argument(
        "--control", metavar="PATH", default=argparse.SUPPRESS,
        help="control socket; default: TWISTCORN_CONTROL, or twistcorn.sock in $XDG_RUNTIME_DIR or /run",
    )  # fmt: skip
