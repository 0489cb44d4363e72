"""The console script `twistcorn`.

Law: parses and hands on. Twisted is imported inside `run` only, so that other commands start at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NoReturn

from . import __version__
from .errors import EXIT_USAGE, SettingsError
from .origins import Sourced
from .settings import OPTIONS, Settings, flag
from .sources import read_sourced

LEVELS = ("debug", "info", "warn", "error", "critical")


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
    run.add_argument("--log-level", choices=LEVELS, default="info", help="the least level that is logged")
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
        sourced = read_sourced(given)
    except SettingsError as error:
        print(f"twistcorn: {error}", file=sys.stderr)
        return EXIT_USAGE
    return run(
        sourced.settings, arguments.log_file, arguments.log_level, lambda: read_sourced(given), sourced.origins
    )


def run(
    settings: Settings,
    log_file: str | None,
    log_level: str,
    reread: Callable[[], Sourced],
    origins: Mapping[str, str],
) -> int:
    """Serve until told to stop.

    :param reread: the settings as they are at a reload.
    :param origins: where the settings come from.
    """
    from twisted.internet import reactor

    from .standalone import StandaloneService

    try:
        reopen = _begin_logging(log_file, log_level)
    except OSError as problem:
        print(f"twistcorn: --log-file {log_file}: {problem.strerror}", file=sys.stderr)
        return EXIT_USAGE
    service = StandaloneService(reactor=reactor, reopen=reopen, reread=reread, origins=origins, **vars(settings))
    running: Any = reactor
    try:
        service.startService()
    except SystemExit as end:
        return int(end.code or 0)
    running.addSystemEventTrigger("before", "shutdown", service.stopService)
    running.run()
    return service.exit_code


class LogFile:
    """A text file that can be opened again under its name, after something moved the old one away."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str] = open(path, "a", buffering=1)

    def write(self, text: str) -> int:
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def reopen(self) -> None:
        """Go on in a file under the name; on failure the old one stays."""
        try:
            fresh = open(self._path, "a", buffering=1)
        except OSError as problem:
            self._file.write(f"cannot reopen {self._path}: {problem.strerror}\n")
            return
        self._file, old = fresh, self._file
        old.close()


def _begin_logging(path: str | None, level: str) -> Callable[[], None] | None:
    from twisted import logger

    file = LogFile(path) if path else None
    out: Any = file or sys.stderr
    least = logger.LogLevelFilterPredicate(defaultLogLevel=logger.LogLevel.levelWithName(level))
    observer = logger.FilteringLogObserver(logger.textFileLogObserver(out), [least])
    logger.globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    return file.reopen if file is not None else None


if __name__ == "__main__":
    sys.exit(main())
