"""The console script `twistcorn`.

Law: parses and hands on: `run` is here, the commands for a server that runs are in `console`. Twisted is imported
inside `run` only, and the table of settings where `run` is asked for, so that the others start at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .console.parser import add_commands, add_control
from .errors import EXIT_USAGE, SettingsError

if TYPE_CHECKING:
    from .origins import Sourced
    from .settings import Settings


class Parser(argparse.ArgumentParser):
    """argparse, with the exit code of sysexits(3) for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def make_parser(words: Sequence[str]) -> Parser:
    """The parser of the whole command.

    :param words: the command line: the options of `run` are there when it names that.
    """
    parser = Parser(
        prog="twistcorn", description="A WSGI container on Twisted with a pool of worker processes.",
        epilog="twistcorn COMMAND --help says more; docs/control.md says all.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"twistcorn {__version__}")
    add_control(parser)
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    run = subcommands.add_parser("run", help="serve a WSGI application", allow_abbrev=False)
    if "run" in words:
        _add_settings(run)
    add_commands(subcommands)
    return parser


def _add_settings(run: Parser) -> None:
    from .settings import OPTIONS, flag

    run.add_argument("target", nargs="?", metavar="APP", help="the same as --app")
    for field in OPTIONS:
        meta = field.metadata
        names = [f"-{meta['short']}"] if meta["short"] else []
        names += [f"--{flag(field)}"] + ([f"--{meta['alias']}"] if meta["alias"] else [])
        # `--control` before the command is there already; a default would hide it.
        run.add_argument(
            *names, dest=field.name, action="append", metavar=meta["metavar"], default=argparse.SUPPRESS,
            help=meta["help"].replace("%", "%%"),
        )  # fmt: skip
    run.add_argument("--log-file", metavar="FILE", help="the server's log instead of standard error; USR1 reopens it")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    :return: the exit code: 0 after an orderly stop, 1 for an address in use or a command that was refused, 3 when the
        app cannot boot, 64 for usage, 69 for a command that finds no server.
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = make_parser(words).parse_args(words)
    if arguments.command == "run":
        return _run(arguments)
    from .console import subcommands

    return subcommands.run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    _open_standard_streams()
    from .settings import OPTIONS
    from .sources import read_sourced

    given = {field.name: getattr(arguments, field.name) for field in OPTIONS if hasattr(arguments, field.name)}
    if isinstance(given.get("control"), str):
        given["control"] = [given["control"]]
    if arguments.target is not None:
        given.setdefault("app", []).append(arguments.target)
    try:
        sourced = read_sourced(given)
    except SettingsError as error:
        print(f"twistcorn: {error}", file=sys.stderr)
        return EXIT_USAGE
    return run(sourced.settings, arguments.log_file, lambda: read_sourced(given), sourced.origins)


def _open_standard_streams() -> None:
    """Where one of 0, 1, 2 is closed nobody reads it; but the next file gets its number, and what workers print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def run(
    settings: Settings, log_file: str | None, reread: Callable[[], Sourced], origins: Mapping[str, str]
) -> int:
    """Serve until told to stop.

    :param reread: the settings as they are at a reload.
    :param origins: where the settings come from.
    """
    from .steady_reactor import install

    install()
    from twisted.internet import reactor

    from .logs.server import ServerLog
    from .standalone import StandaloneService

    try:
        log = ServerLog(log_file or "")
    except OSError as problem:
        print(f"twistcorn: --log-file {log_file}: {problem.strerror}", file=sys.stderr)
        return EXIT_USAGE
    log.set_level(settings.log_level)
    log.set_form(settings.log_format)
    log.begin()
    service = StandaloneService(reactor=reactor, reopen=log.reopen, reread=reread, origins=origins, **vars(settings))
    running: Any = reactor
    try:
        service.startService()
    except SystemExit as end:
        log.flush()
        return int(end.code or 0)
    running.addSystemEventTrigger("before", "shutdown", service.stopService)
    running.run()
    log.flush()
    return service.exit_code


if __name__ == "__main__":
    sys.exit(main())
