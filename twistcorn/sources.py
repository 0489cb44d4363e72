"""The sources of a program's settings: command line, environment, settings file.

Law: decides which source wins, and records it for each value; only `read_sourced` touches the process's environment
and files. Used by `cli` and `tap`, at the start and at each reload.
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


def read_sourced(given: Mapping[str, Iterable[str]]) -> Sourced:
    """The settings as they are now, with their sources.

    :param given: the options of the command line, texts by field name.
    :raises SettingsError: a value is invalid, the file cannot be read, or this Python is not supported.
    """
    require_lock()
    return trace(given, os.environ, lambda path: Path(path).read_text(encoding="utf-8"))


def from_environment(environ: Mapping[str, str], given: Iterable[str] = ()) -> dict[str, Any]:
    """The settings in the environment: TWISTCORN_* for each option, and the variables that other servers read as well.

    :param given: names of the fields that the command line sets; their variables are not read.
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
    """Like `trace`, without the sources."""
    return trace(given, environ, read).settings


def trace(
    given: Mapping[str, Iterable[str]], environ: Mapping[str, str], read: Callable[[str], str] | None = None
) -> Sourced:
    """Resolve settings: the command line (texts by field name) overrides the environment, that the file, that the
    defaults.

    :param read: returns the text of a file; None: no file is read.
    :raises SettingsError: a value is invalid, or the file cannot be read.
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
    """The settings in a file: lines of `name = value`, with the names of the long options; `#` starts a comment line.

    A repeatable option can have several lines.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        key = name.replace("-", "_")
        if not equals:
            # Not the whole line, which can hold a secret.
            first = name.split()[0]
            raise SettingsError(f"{path}, line {number}: expected `name = value`, found no = after {first!r}")
        if key not in FIELDS or key == "config":
            raise SettingsError(f"{path}, line {number}: {unknown_setting(name)}")
        found.setdefault(key, []).append(value)
    return {key: _parse_many(FIELDS[key], texts, f"{flag(FIELDS[key])} in {path}") for key, texts in found.items()}


def _parse_many(field: dataclasses.Field[Any], texts: Iterable[str], origin: str) -> Any:
    parsed = [parse_value(field, text, origin) for text in texts]
    return tuple(parsed) if field.metadata["many"] else parsed[-1]
