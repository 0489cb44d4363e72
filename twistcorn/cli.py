"""The console script `twistcorn`.

Law: parses and hands on. Twisted is imported inside `run` only, so that other commands start at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import __version__
from .errors import EXIT_USAGE, SettingsError
from .settings import OPTIONS, Settings, flag
from .sources import read_settings


class Parser(argparse.ArgumentParser):
    """argparse, with the exit code of sysexits(3) for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def make_parser() -> Parser:
    """The parser of the whole command."""
    parser = Parser(prog="twistcorn", description="A WSGI container on Twisted with a pool of worker processes.")
    parser.add_argument("--version", action="version", version=f"twistcorn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    run = commands.add_parser("run", help="serve a WSGI application", allow_abbrev=False)
    run.add_argument("target", nargs="?", metavar="APP", help="the same as --app")
    for field in OPTIONS:
        meta = field.metadata
        names = [f"-{meta['short']}"] if meta["short"] else []
        names += [f"--{flag(field)}"] + ([f"--{meta['alias']}"] if meta["alias"] else [])
        run.add_argument(
            *names, dest=field.name, action="append", metavar=meta["metavar"], help=meta["help"].replace("%", "%%")
        )
    run.add_argument("--log-file", metavar="FILE", help="the server's log instead of standard error; USR1 reopens it")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    :return: the exit code: 0 after an orderly stop, 1 for an address in use, 3 when the app cannot boot, 64 for usage.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    given = {f.name: getattr(arguments, f.name) for f in OPTIONS if getattr(arguments, f.name) is not None}
    if arguments.target is not None:
        given.setdefault("app", []).append(arguments.target)
    try:
        settings = read_settings(given)
    except SettingsError as error:
        print(f"twistcorn: {error}", file=sys.stderr)
        return EXIT_USAGE
    return run(settings, arguments.log_file, lambda: read_settings(given))


def run(settings: Settings, log_file: str | None, reread: Callable[[], Settings]) -> int:
    """Serve until told to stop.

    :param reread: the settings as they are at a reload.
    """
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
    service = StandaloneService(reactor=reactor, reopen=log.reopen, reread=reread, **vars(settings))
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
