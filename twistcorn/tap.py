"""`twist twistcorn` and `twistd twistcorn`: the options from the table, and the service from the options.

Law: no decision here; an import of the reactor only inside `makeService`, because `twist --reactor` comes first.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from .errors import SettingsError
from .settings import OPTIONS, Settings, flag, resolve

#: Options that belong to `twist` and go before the name of the plugin.
_OF_TWIST = ("reactor", "log-level", "log-file", "log-format")


class Options(usage.Options):
    """The command line of `twist twistcorn`, made from the table of settings."""

    synopsis = "[options] [APP]"
    longdesc = "Serve a WSGI application from a pool of worker processes."

    def __init__(self) -> None:
        self.given: dict[str, list[str]] = {}
        self.resolved = Settings()
        super().__init__()

    def parseArgs(self, app: str | None = None) -> None:
        """The application may be given without --app."""
        if app is not None:
            self.given.setdefault("app", []).append(app)

    def parseOptions(self, options: Any = None) -> None:
        """Parse; an option of `twist` itself in the wrong place gets the right line."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            for name in _OF_TWIST:
                if f"--{name} not recognized" in str(error):
                    raise usage.UsageError(
                        f"--{name} belongs to twist: twist --{name}=... twistcorn ..."
                    ) from None
            raise

    def postOptions(self) -> None:
        """Resolve command line, environment and defaults."""
        try:
            self.resolved = resolve(self.given, os.environ)
        except SettingsError as error:
            raise usage.UsageError(str(error)) from None


def _add_option(field: dataclasses.Field[Any]) -> None:
    def take(self: Options, value: str) -> None:
        self.given.setdefault(field.name, []).append(value)

    take.__doc__ = f"{field.metadata['help']} [{flag(field)}]"
    for name in (field.name, field.metadata["short"], field.metadata["alias"]):
        if name:
            setattr(Options, f"opt_{name}", take)


for _field in OPTIONS:
    _add_option(_field)


def makeService(options: Options) -> IService:
    """The service that `twist` and `twistd` run."""
    from twisted.internet import reactor

    from .standalone import StandaloneService

    service = StandaloneService(reactor=reactor, **vars(options.resolved))

    def leave() -> None:
        # twist has no way to end with a code of the service's own (Twisted issue 4762).
        if service.exit_code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(service.exit_code)

    atexit.register(leave)
    return service
