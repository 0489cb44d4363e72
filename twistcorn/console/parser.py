"""The command line of the commands for a server that runs, in one table.

Law: declares; `commands` does. Each command says what it means, and shows one line that works.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from ..errors import EXIT_UNAVAILABLE

_EXIT = f"exit code: 0 done, 1 refused or failed, 64 wrong usage, {EXIT_UNAVAILABLE} nothing listens there"


class Words(NamedTuple):
    """One argument or option: its names, and what argparse is told of it."""

    names: tuple[str, ...]
    more: dict[str, Any]


class Command(NamedTuple):
    """One command.

    :ivar help: what it does, in one line.
    :ivar more: what else is to be known.
    :ivar example: a line that works.
    """

    name: str
    help: str
    more: str
    example: str
    words: tuple[Words, ...] = ()


def _words(*names: str, **more: Any) -> Words:
    return Words(names, more)


_JSON = _words("--json", action="store_true", help="one line of JSON, for programs")
_WORKER = _words("worker", metavar="WORKER", type=int, help="the number of a worker, as `twistcorn workers` shows it")

COMMANDS = (
    Command(
        "status", "what the server does, as a whole", "", "twistcorn status --json | jq .workers.ready", (_JSON,)
    ),
    Command(
        "top", "the server, live in this terminal",
        "Keys are told at the bottom of the screen. Without a terminal, or with TERM=dumb: how it is now.",
        "twistcorn top --control /run/shop.sock",
    ),
    Command("workers", "every worker, and what it is doing right now", "", "twistcorn workers", (_JSON,)),
    Command("connections", "every connection, the oldest first", "", "twistcorn connections --json", (_JSON,)),
    Command(
        "reload", "load settings and application anew, and wait until that is over",
        "Fails when the reload is off, and says why; the old workers serve then.",
        "twistcorn reload && echo the new code serves",
    ),
    Command(
        "scale", "set how many workers there are", "", "twistcorn scale 4",
        (_words("workers", metavar="N", type=int, help="how many"),),
    ),
    Command(
        "drain", "have a worker hand everything back and go now; it is replaced", "", "twistcorn drain 3", (_WORKER,)
    ),
    Command(
        "recycle", "have a worker replaced: it goes when the new one is ready", "", "twistcorn recycle 3", (_WORKER,)
    ),
    Command(
        "stack", "where every thread of a worker is",
        "A worker that does not answer within two seconds is said to be so, with the requests that run in it.",
        "twistcorn stack 3", (_WORKER,),
    ),
    Command(
        "set", "change a setting while the server runs", "A value that is not allowed changes nothing.",
        "twistcorn set request-timeout 10s",
        (_words("name", metavar="NAME", help="as the option, without the dashes in front"),
         _words("value", metavar="VALUE", help="as the option takes it")),
    ),
    Command(
        "get", "the settings that count, and where each comes from", "", "twistcorn get threads",
        (_words("name", metavar="NAME", nargs="?", default="", help="only this one"), _JSON),
    ),
    Command(
        "logs", "the latest events of the server's log", "The server remembers the last thousand of its own.",
        "twistcorn logs -n 20 --follow",
        (_words("-n", dest="count", metavar="N", type=int, default=100, help="how many; 100"),
         _words("-f", "--follow", action="store_true", help="go on with those that come"), _JSON),
    ),
    Command(
        "stop", "stop the server, and wait until it is gone",
        "As SIGTERM: what was accepted is answered, within --graceful-timeout.", "twistcorn stop",
        (_words("--quick", action="store_true", help="now, whatever runs; as SIGINT"),),
    ),
)  # fmt: skip


def add_commands(commands: Any) -> None:
    """Add all of them to the subparsers of argparse."""
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
    """The option that all of them have, before the command and behind it."""
    parser.add_argument(
        "--control", metavar="PATH", default=argparse.SUPPRESS,
        help="the server's control socket; else TWISTCORN_CONTROL, else twistcorn.sock in $XDG_RUNTIME_DIR or /run",
    )  # fmt: skip
