"""The console script `twistcorn`.

Law: parses and dispatches: `run` is here, the commands for a running server are in `console`. Twisted is imported
inside `run` only, and the table of settings only for `run`, so that the other commands start fast.
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


#: Words that people try, and the command that they mean.
_MEANT = {"serve": "run", "start": "run", "restart": "reload", "shutdown": "stop"}


class Parser(argparse.ArgumentParser):
    """argparse, with short usage errors and the exit code of sysexits(3) for them.

    :param help_maker: makes the help; None: argparse does.
    :ivar options: every spelling of every option.
    :ivar commands: the parsers of its commands, by name.
    """

    def __init__(self, *words: Any, help_maker: Callable[[], str] | None = None, **more: Any) -> None:
        self.options: list[str] = []
        self.commands: Mapping[str, Parser] = {}
        self._help_maker = help_maker
        super().__init__(*words, **more)

    def add_argument(self, *names: Any, **more: Any) -> argparse.Action:
        """As argparse does, and note the names of options."""
        self.options += [name for name in names if name.startswith("-")]
        return super().add_argument(*names, **more)

    def format_help(self) -> str:
        return super().format_help() if self._help_maker is None else self._help_maker()

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n{self.format_usage()}")

    def refuse(self, extras: Sequence[str]) -> NoReturn:
        """Exit with the reason why these arguments are refused."""
        options = [word for word in extras if word.startswith("-") and word != "-"]
        if not options:
            self.error(f"unexpected argument {extras[0]!r}")
        from .foreign import FOREIGN
        from .unknown import unknown_option

        foreign = FOREIGN if self._help_maker is not None else {}
        self.error(f"\n{self.prog}: ".join(unknown_option(word, self.options, foreign) for word in options))


def make_parser(words: Sequence[str]) -> Parser:
    """The parser of the whole command.

    :param words: the command line; the options of `run` are added only if it names `run`.
    """
    parser = Parser(
        prog="twistcorn", description="A WSGI container on Twisted with a pool of worker processes.",
        epilog="`twistcorn COMMAND --help` describes a command; docs/control.md has all of them.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"twistcorn {__version__}")
    add_control(parser)
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )
    run = commands.add_parser(
        "run", help="serve a WSGI app", allow_abbrev=False, help_maker=_help_of_run,
        usage="twistcorn run [OPTIONS] [APP]   (`twistcorn run --help` lists the options)",
    )  # fmt: skip
    if "run" in words:
        _add_settings(run)
    add_commands(commands)
    parser.commands = commands.choices
    return parser


def _help_of_run() -> str:
    from .helptext import help_text

    return help_text("twistcorn run")


def _add_settings(run: Parser) -> None:
    from .settings import OPTIONS, flag

    run.add_argument("target", nargs="?", metavar="APP")
    for field in OPTIONS:
        meta = field.metadata
        names = [f"-{meta['short']}"] if meta["short"] else []
        names += [f"--{flag(field)}"] + ([f"--{meta['alias']}"] if meta["alias"] else [])
        # `--control` before the command is there already; a default would hide it.
        run.add_argument(*names, dest=field.name, action="append", default=argparse.SUPPRESS)
    run.add_argument("--log-file")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    :return: the exit code: 0 after an orderly stop, 1 for an address in use or a command that was refused, 3 when the
        app cannot boot, 64 for usage, 69 for a command that finds no server.
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = _parse(make_parser(words), words)
    if arguments.command == "run":
        return _run(arguments)
    from .console import subcommands

    return subcommands.run(arguments)


def _parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; a usage error ends the process."""
    if not words:
        parser.error("no command; `twistcorn run APP` serves an app, `twistcorn --help` lists the commands")
    command = _command(words)
    if command and command not in parser.commands:
        from .suggestions import did_you_mean

        if ":" in command:
            parser.error(f"unknown command {command!r}; to serve an app: twistcorn run {command}")
        meant = _MEANT.get(command, command)
        parser.error(f"unknown command {command!r}{did_you_mean(meant, parser.commands)}")
    arguments, extras = parser.parse_known_args(words)
    if extras:
        parser.commands[arguments.command].refuse(extras)
    return arguments


def _command(words: Sequence[str]) -> str:
    """The word that names the command; empty when an option of the program itself comes first."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        if rest[0] != "--control" and not rest[0].startswith("--control="):
            return ""
        del rest[: 2 if rest[0] == "--control" else 1]
    return rest[0] if rest else ""


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
    """Open 0, 1 and 2 where they are closed: the next file would get the number, and with it what workers print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def run(
    settings: Settings, log_file: str | None, reread: Callable[[], Sourced], origins: Mapping[str, str]
) -> int:
    """Serve until a stop is asked for.

    :param reread: reads the settings again, for a reload.
    :param origins: the sources of the settings.
    """
    from .steady_reactor import install

    install()
    from twisted.internet import reactor

    from .logs.server import ServerLog
    from .standalone import StandaloneService
    from .unknown import warn_of_variables

    try:
        log = ServerLog(log_file or "")
    except OSError as problem:
        print(f"twistcorn: --log-file {log_file}: {problem.strerror}", file=sys.stderr)
        return EXIT_USAGE
    log.set_level(settings.log_level)
    log.set_form(settings.log_format)
    log.begin()
    warn_of_variables(os.environ)
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
