"""Where a program's settings come from: its command line, its environment, the file that these name.

Law: says which one wins, and what every value came from; only `read_sourced` touches the process's environment and
files. Used by `cli` and `tap`, at the start and at each reload.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .interpreter import require_lock
from .origins import COMMAND_LINE, ENVIRONMENT, FILE, Sourced
from .settings import FIELDS, OPTIONS, Settings, flag, parse_value, unfolded
from .unknown import unknown_setting


def read_settings(given: Mapping[str, Iterable[str]]) -> Settings:
    """As `read_sourced`, without where they come from."""
    return read_sourced(given).settings


def read_sourced(given: Mapping[str, Iterable[str]]) -> Sourced:
    """The settings as they are now, and where each comes from.

    :param given: what the command line gave, texts by field name.
    :raises SettingsError: when a value is not allowed, the file cannot be read, or this Python cannot be used.
    """
    require_lock()
    return trace(given, os.environ, lambda path: Path(path).read_text(encoding="utf-8"))


def from_environment(environ: Mapping[str, str], given: Iterable[str] = ()) -> dict[str, Any]:
    """The settings that the environment gives: TWISTCORN_* for each option, and the field's customary variables.

    :param given: names of the fields that the command line gives; for them the environment is not looked at.
    """
    values: dict[str, Any] = {}
    known = set(given)
    for field in OPTIONS:
        if field.name in known:
            continue
        for variable in (f"TWISTCORN_{field.name.upper()}", *field.metadata["env"]):
            text = environ.get(variable, "")
            if text and field.name not in values:
                values[field.name] = _parse_many(field, [text], variable)
    if "listen" not in values and "listen" not in known and environ.get("PORT"):
        values["listen"] = _parse_many(FIELDS["listen"], [":" + environ["PORT"]], "PORT")
    return values


def resolve(
    given: Mapping[str, Iterable[str]], environ: Mapping[str, str], read: Callable[[str], str] | None = None
) -> Settings:
    """As `trace`, without where they come from."""
    return trace(given, environ, read).settings


def trace(
    given: Mapping[str, Iterable[str]], environ: Mapping[str, str], read: Callable[[str], str] | None = None
) -> Sourced:
    """The settings from what the command line gave (texts by field name) over the environment over the file over the
    defaults.

    :param read: the text of a file; None: no file is read.
    :raises SettingsError: when a value is not allowed, or the file cannot be read.
    """
    values = from_environment(environ, given)
    origins = dict.fromkeys(values, ENVIRONMENT)
    for name, texts in given.items():
        field = FIELDS[name]
        values[name] = _parse_many(field, texts, "--" + flag(field))
        origins[name] = COMMAND_LINE
    if read is not None and (path := values.get("config")):
        try:
            text = read(path)
        except (OSError, ValueError) as problem:
            raise SettingsError(f"--config {path}: {getattr(problem, 'strerror', None) or problem}") from None
        written = from_file(text, path)
        values = {**written, **values}
        origins = {**dict.fromkeys(written, FILE), **origins}
    return Sourced(Settings(**unfolded(values)), origins)


def from_file(text: str, path: str) -> dict[str, Any]:
    """The settings in a file: `name = value`, one in a line, names as in the long options; `#` begins a comment line.

    An option that may be given several times may stand in several lines.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        key = name.replace("-", "_")
        if not equals:
            raise SettingsError(f"{path}, line {number}: expected `name = value`, found {name!r}")
        if key not in FIELDS or key == "config":
            raise SettingsError(f"{path}, line {number}: {unknown_setting(name)}")
        found.setdefault(key, []).append(value)
    return {key: _parse_many(FIELDS[key], texts, f"{flag(FIELDS[key])} in {path}") for key, texts in found.items()}


def _parse_many(field: dataclasses.Field[Any], texts: Iterable[str], origin: str) -> Any:
    parsed = [parse_value(field, text, origin) for text in texts]
    return tuple(parsed) if field.metadata["many"] else parsed[-1]
