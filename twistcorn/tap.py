"""`twist twistcorn` and `twistd twistcorn`: the options from the table, and the service from the options.

Law: no decision here; an import of the reactor only inside `makeService`, because `twist --reactor` comes first.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from .errors import SettingsError
from .helptext import plugin_help
from .origins import Sourced
from .settings import OPTIONS, Settings, flag
from .sources import read_sourced
from .unknown import unknown_option, warn_of_variables

#: Options of `twist` itself, which go before the name of the plugin.
_OF_TWIST = ("reactor", "log-level", "log-file", "log-format")
_OURS = tuple(field for field in OPTIONS if not field.metadata["run_only"])


class Options(usage.Options):
    """The command line of `twist twistcorn`, made from the table of settings."""

    synopsis = "[options] [APP]"
    longdesc = "Serves a WSGI app from a pool of worker processes."

    def __init__(self) -> None:
        self.given: dict[str, list[str]] = {}
        self.resolved = Settings()
        self._refused = False
        super().__init__()

    def getUsage(self, width: int | None = None) -> str:
        """The options in their groups, like `twistcorn run --help`; after a usage error one line."""
        return "`twist twistcorn --help` lists the options.\n" if self._refused else plugin_help("twist twistcorn")

    def parseArgs(self, app: str | None = None, *more: str) -> None:
        """Take the app without --app."""
        if more:
            raise usage.UsageError(f"unexpected argument {more[0]!r}")
        if app is not None:
            self.given.setdefault("app", []).append(app)

    def parseOptions(self, options: Any = None) -> None:
        """Parse; an unknown option is answered with the one that is meant."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # `twistd` prints all of this object before the error.
            self._refused = True
            unknown = re.search(r"(--?\S+) not recognized", str(error))
            if unknown is None:
                raise
            name = unknown[1]
            if name.removeprefix("--") in _OF_TWIST:
                message = f"{name} is an option of twist: twist {name}=... twistcorn ..."
            else:
                message = unknown_option(name, [f"--{flag(field)}" for field in _OURS])
            raise usage.UsageError(message) from None

    def postOptions(self) -> None:
        """Resolve command line, environment and defaults."""
        try:
            sourced = read_sourced(self.given)
        except SettingsError as error:
            raise usage.UsageError(str(error)) from None
        self.resolved, self.origins = sourced.settings, sourced.origins


def _taker(field: dataclasses.Field[Any], help: str) -> Callable[[Options, str], None]:
    def take(self: Options, value: str) -> None:
        self.given.setdefault(field.name, []).append(value)

    take.__doc__ = help
    return take


for _field in _OURS:
    _take = _taker(_field, _field.metadata["help"])
    setattr(Options, f"opt_{_field.name}", _take)
    if _field.metadata["short"]:
        # Twisted knows a short option by its sharing the method of the long one.
        setattr(Options, f"opt_{_field.metadata['short']}", _take)
    if _field.metadata["alias"]:
        # And is confused by a second long one that does.
        setattr(Options, f"opt_{_field.metadata['alias']}", _taker(_field, f"alias of --{flag(_field)}"))


def makeService(options: Options) -> IService:
    """The service that `twist` and `twistd` run."""
    from twisted.internet import reactor

    from .standalone import StandaloneService

    warn_of_variables(os.environ)

    def settled(sourced: Sourced) -> Sourced:
        # The master logs to the log of `twist`; the lines of workers should look the same.
        return sourced.change(log_format="text")

    service = StandaloneService(
        reactor=reactor, reread=lambda: settled(read_sourced(options.given)),
        **vars(settled(Sourced(options.resolved, options.origins)).settings), origins=options.origins,
    )

    def leave() -> None:
        # twist has no way to end with a code of the service's own (Twisted issue 4762), and knows only the signals
        # that its reactor handles.
        sys.stdout.flush()
        sys.stderr.flush()
        if service.ended_by:
            signal.signal(service.ended_by, signal.SIG_DFL)
            os.kill(os.getpid(), service.ended_by)
        if service.exit_code:
            os._exit(service.exit_code)

    atexit.register(leave)
    return service
