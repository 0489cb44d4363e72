"""Settings that change while the server runs: by the operator's `set`, by a reload, by the scaling of threads.

Law: a refused value changes nothing. A value that was `set` overrides all others, across reloads, until the server
ends. Changes are sent from here: to the fleet, to the live workers, and to the callbacks in `on_configured`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import OperationError
from ...logs.logger import Logger
from ...origins import DEFAULT, SCALE, SET, Sourced
from ...policy.worker import SERVING, TIMERS, Worker, WorkerState
from ...settings import (
    BOUNDS,
    FIELDS,
    LIVE,
    RESTART,
    Settings,
    flag,
    keep_fixed,
    parse_value,
    to_json,
    unfolded,
)
from ...suggestions import did_you_mean
from ...wire import amp_commands
from .fleet import Fleet

#: In which a worker can hear.
_HEARS = (WorkerState.STARTING, *SERVING)


class Reread(NamedTuple):
    """What a reload read.

    :ivar settings: those that count when the reload succeeds.
    :ivar needs_restart: long options whose value has changed, and that keep their present value until a restart.
    """

    settings: Settings
    needs_restart: tuple[str, ...] = ()


class Tuning:
    """The settings of a running server.

    :param sourced: those that it starts with.
    :param resolve: makes of settings as they are given what they mean on this machine (`--workers auto`).
    :ivar on_configured: called in the master with the settings, whenever other ones count from then on.
    """

    log = Logger()

    def __init__(
        self, fleet: Fleet, sourced: Sourced, resolve: Callable[[Settings], Settings] = lambda settings: settings
    ) -> None:
        self._fleet = fleet
        self._resolve = resolve
        self._origins = dict(sourced.origins)
        self._read: Sourced | None = None
        #: What was set: options, and the fields that they make.
        self._names: set[str] = set()
        self._fields: dict[str, Any] = {}
        self.on_configured: list[Callable[[Settings], object]] = []

    def get(self, name: str = "") -> list[dict[str, str]]:
        """The settings in effect, one or all; secrets are not shown. `now` is the present number within a range.

        :raises OperationError: there is no such option.
        """
        origins = {**self._origins, **dict.fromkeys(self._names, SET)}
        sourced = Sourced(self._fleet.settings, origins)
        target = self._fleet.target
        if sourced.settings.workers_bounds is None and target != sourced.settings.workers:
            sourced = Sourced(sourced.settings, {**origins, "workers": SCALE}).change(workers=target)
        return [{**sourced.entry(known), **self._now(known)} for known in ([_known(name)] if name else FIELDS)]

    def _now(self, name: str) -> dict[str, str]:
        settings = self._fleet.settings
        if name not in BOUNDS or getattr(settings, BOUNDS[name]) is None:
            return {}
        return {"now": str(self._fleet.target if name == "workers" else settings.threads)}

    def set(self, name: str, text: str) -> dict[str, str]:
        """Change an option at once, in all processes, until the server ends.

        :raises OperationError: there is no such option, or it does not change like this.
        :raises SettingsError: the value is not allowed.
        """
        name = _known(name)
        field = FIELDS[name]
        if field.metadata["change"] != LIVE:
            raise OperationError(_instead(name))
        value = parse_value(field, text, flag(field))
        present = self._fleet.settings
        fields = unfolded({name: value})
        wanted = self._resolve(_scaled(present, Sourced(present).change(**fields).settings))
        if (wanted.threads == 1) is not (present.threads == 1):
            raise OperationError(
                "threads cannot change to or from 1 in a running worker: change it in the config file or the"
                " environment, and reload"
            )
        fields = {each: getattr(wanted, each) for each in fields}
        _check_file(fields.get("access_log", ""))
        self._names.add(name)
        self._fields.update(fields)
        self._change(fields)
        entry = self.get(name)[0]
        self.log.info("{name} set to {value} by an operator", name=entry["name"], value=entry["value"])
        return entry

    def set_threads(self, number: int) -> None:
        """Set the number of threads, as autoscaling decided within the bounds."""
        self._change({"threads": number})

    def reread(self, read: Sourced) -> Reread:
        """The settings for a reload, with what was `set`; logs the options that keep their value until a restart."""
        present = self._fleet.settings
        settings, fixed = keep_fixed(present, read.settings)
        for name in fixed:
            self.log.warn("--{name} changed: not applied, needs a restart", name=name)
        origins = {
            name: (self._origins if flag(FIELDS[name]) in fixed else read.origins).get(name, DEFAULT) for name in FIELDS
        }
        self._read = Sourced(settings, origins)
        return Reread(_scaled(present, self._read.change(**self._fields).settings), tuple(fixed))

    def committed(self) -> None:
        """The settings of the reload count."""
        if self._read is not None:
            self._origins, self._read = dict(self._read.origins), None
        self._notify()

    def _change(self, fields: dict[str, Any]) -> None:
        before = self._fleet.settings
        self._fleet.configure(fields)
        for worker in list(self._fleet.workers.values()):
            if worker.process is not None and worker.state in _HEARS:
                self._tell_worker(worker, before)
        self._notify()

    def _tell_worker(self, worker: Worker, before: Settings) -> None:
        now = self._fleet.settings
        worker.process.order(amp_commands.Configure, settings=to_json(self._fleet.settings_of(worker)))
        if now.heartbeat_timeout != before.heartbeat_timeout:
            # Its heartbeat interval follows the old time-out until it gets the order.
            worker.pulse = worker.pulse._replace(still=0.0)
        if (timer := TIMERS.get(worker.state)) in FIELDS:
            self._fleet.machine.retime(worker, getattr(now, timer) - getattr(before, timer))

    def _notify(self) -> None:
        for told in self.on_configured:
            try:
                told(self._fleet.settings)
            except Exception:
                # The other callbacks still run.
                self.log.failure("internal error while applying settings")


def _known(name: str) -> str:
    """The option that an operator means.

    :raises OperationError: there is none.
    """
    known = name.strip().replace("-", "_")
    if known not in FIELDS:
        raise OperationError(f"unknown setting {name!r}{did_you_mean(name, map(flag, FIELDS.values()))}")
    return known


def _check_file(path: str) -> None:
    """Check that the file can be opened: otherwise old workers would keep the old one, and new ones have none.

    :raises OperationError: it cannot be opened.
    """
    if path in ("", "-"):
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666))
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            # A FIFO without a reader; the access log never blocks on one.
            return
        raise OperationError(f"cannot open the access log {path}: {problem.strerror}") from None


def _instead(name: str) -> str:
    """What to do about an option that is not live."""
    option = flag(FIELDS[name])
    if FIELDS[name].metadata["change"] == RESTART:
        return f"{option} needs a restart: change it where it is set, and restart the server"
    return f"{option} needs a reload: change it in the config file or the environment, and reload"


def _scaled(present: Settings, wanted: Settings) -> Settings:
    """Within bounds threads are as many as there are now, if they may be."""
    if wanted.threads_bounds is None:
        return wanted
    return Sourced(wanted).change(threads=wanted.threads_bounds.clamp(present.threads)).settings
