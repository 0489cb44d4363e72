"""The options of twistcorn: ONE table, from which the command lines, the environment and the docs are made.

Law: every option is a field of `Settings` and nowhere else; its meaning, syntax and default stand there. This
module reads no file, opens no socket and knows no process; the environment comes in as a mapping.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SettingsError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_DURATION_UNITS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

#: A second spelling of an address: the host part is an IPv4 address, a name, an IPv6 address in brackets, or empty.
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._*-]*):(?P<port>\d{1,5})")


#: Names of endpoints that are not served, which would pass for hosts.
_OTHER_ENDPOINTS = ("ssl", "tls", "haproxy", "fd", "stdio")


def duration(text: str) -> float:
    """Seconds from `30s`, `5m`, `1h`, `250ms` or plain seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("a duration such as 30, 30s, 5m or 250ms")
    return float(found[1]) * _DURATION_UNITS[found[2]]


def some_time(text: str) -> float:
    """A duration longer than nothing."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a duration longer than 0, such as 10 or 250ms")
    return seconds


def size(text: str) -> int:
    """Bytes from `512MB`, `64k`, `1GiB` or a plain number; the units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("a size in bytes such as 8190, 64k or 512MB")
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def count(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        allowed = f"a whole number from {least} to {most}"
        if not re.fullmatch(r"\d{1,9}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(allowed)
        return int(text)

    return parse


def workers(text: str) -> int:
    """A number of workers; `auto` is 0, which the master resolves from processors and cgroup."""
    if text.strip().lower() == "auto":
        return 0
    try:
        return count(1, MAX_WORKERS)(text)
    except ValueError:
        raise ValueError(f"auto or a whole number from 1 to {MAX_WORKERS}") from None


def endpoint(text: str) -> str:
    """A Twisted server endpoint string from itself or from sugar (`:8000`, `127.0.0.1:8000`, `unix:/path`).

    UNIX sockets get `lockfile=0`: a lock that names a pid means nothing in a container; twistcorn probes instead.
    """
    text = text.strip()
    kind = text.split(":", 1)[0]
    if kind == "unix" and "lockfile=" not in text and len(text) > len("unix:"):
        return f"{text}:lockfile=0"
    if kind in ("tcp", "tcp6", "unix", "systemd") and len(text) > len(kind) + 1:
        return text
    found = _HOST_PORT.fullmatch(text) if kind not in _OTHER_ENDPOINTS else None
    if found is not None and int(found["port"]) < 1 << 16:
        host = found["host"].strip("[]")
        if found["host"].startswith("["):
            return f"tcp6:{found['port']}:interface={host.replace(':', chr(92) + ':')}"
        return f"tcp:{found['port']}" + (f":interface={host}" if host not in ("", "*") else "")
    raise ValueError("an endpoint (tcp:8000, tcp6:8000, unix:/path, systemd:domain=INET:index=0), HOST:PORT or :PORT")


def text_value(text: str) -> str:
    return text


def script_name(text: str) -> str:
    """A path prefix: empty, or starting with a slash and not ending in one."""
    if text and (not text.startswith("/") or text.endswith("/")):
        raise ValueError("a path that starts with / and does not end with it, such as /shop")
    return text


def words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def networks(text: str) -> tuple[str, ...]:
    """Addresses and networks (CIDR), or `*`."""
    found = words(text)
    for word in found:
        try:
            ipaddress.ip_network(word if word != "*" else "0.0.0.0/0", strict=False)
        except ValueError:
            raise ValueError("addresses and networks such as 10.0.0.0/8, separated by commas, or *") from None
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return parse


#: Far more than a machine has processors; a slip of the finger should not start a thousand interpreters.
MAX_WORKERS = 256


def _option(
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    short: str = "",
    alias: str = "",
    env: tuple[str, ...] = (),
    metavar: str = "N",
    many: bool = False,
) -> Any:
    meta = {"parse": parse, "help": help, "short": short, "alias": alias, "env": env, "metavar": metavar, "many": many}
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True)
class Settings:
    """Every setting of a running twistcorn. Durations are seconds, sizes are bytes, addresses endpoint strings."""

    app: str = _option(
        "", text_value, "the WSGI application: module:name, module:factory() or module:obj.attr;"
        " without it manage.py, wsgi.py or app.py is looked for", metavar="APP",
    )
    listen: tuple[str, ...] = _option(
        ("tcp:8000:interface=127.0.0.1",), endpoint, "where to listen; may be given several times",
        short="b", alias="bind", metavar="ADDRESS", many=True,
    )
    workers: int = _option(
        1, workers, "worker processes, or auto: from CPU affinity and cgroup quota",
        short="w", env=("WEB_CONCURRENCY",), metavar="N|auto",
    )
    threads: int = _option(8, count(1, 1024), "app threads of each worker")
    chdir: str = _option("", text_value, "directory of the application, resolved anew at each spawn", metavar="DIR")
    pythonpath: tuple[str, ...] = _option(
        (), words, "directories to put on the application's import path, separated by commas", metavar="DIRS"
    )
    backlog: int = _option(2048, count(1, 65535), "connections that the kernel queues for each listener")
    max_connections: int = _option(
        0, count(0, 1_000_000), "connections open at once; 0: as many as the limit of open files allows, up to 65536"
    )
    keep_alive: float = _option(
        75.0, duration, "how long an idle connection is kept: longer than the usual 60 s of load balancers",
        metavar="TIME",
    )
    header_timeout: float = _option(10.0, some_time, "time for a request's head, from its first byte", metavar="TIME")
    body_timeout: float = _option(30.0, some_time, "time without a byte of a request's body", metavar="TIME")
    write_timeout: float = _option(
        60.0, some_time, "time without the client taking a byte of the response", metavar="TIME"
    )
    boot_timeout: float = _option(
        60.0, duration, "time for a worker to load the application; 0: no limit", metavar="TIME"
    )
    graceful_timeout: float = _option(
        30.0, duration, "time for requests in flight when a worker or the server stops", metavar="TIME"
    )
    park_after: float = _option(
        10.0, duration, "idle time after which the master parks a connection; 0: never", metavar="TIME"
    )
    queue_size: int = _option(
        1024, count(1, 1_000_000), "requests that may wait for an app thread, in all workers together; more: 503"
    )
    queue_timeout: float = _option(
        30.0, some_time, "how long a request may wait for an app thread; longer: 503", metavar="TIME"
    )
    replay: str = _option(
        "on", one_of("on", "off"), "run an idempotent request again when its worker died; off: 502", metavar="on|off"
    )
    limit_request_line: int = _option(8190, count(64, 32768), "longest request line, in bytes; longer: 414")
    limit_request_fields: int = _option(100, count(1, 32768), "most header fields of a request; more: 431")
    limit_request_field_size: int = _option(8190, count(64, 32768), "longest header field, in bytes; longer: 431")
    limit_request_trailers: int = _option(
        8190, count(0, 32768), "most bytes of trailer fields behind a chunked body, which are dropped; more: 431"
    )
    limit_request_body: int = _option(
        1 << 30, size, "largest request body; larger: 413; 0: no limit", metavar="SIZE"
    )
    forwarded_allow_ips: tuple[str, ...] = _option(
        ("127.0.0.1", "::1"), networks, "addresses and networks of proxies whose forwarding headers are believed,"
        " or *; peers on a UNIX socket always are", env=("FORWARDED_ALLOW_IPS",), metavar="ADDRESSES",
    )
    header_map: str = _option(
        "drop", one_of("drop", "refuse", "dangerous"), "header names with an underscore, which can pass for others:"
        " leave out, refuse with 400, or keep", metavar="MODE",
    )
    script_name: str = _option(
        "", script_name, "path prefix under which the application is mounted", env=("SCRIPT_NAME",), metavar="PATH"
    )
    pidfile: str = _option("", text_value, "file that holds the master's pid", short="p", metavar="FILE")


#: The table: one entry per option, in the order of the documentation.
OPTIONS: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(Settings)


def flag(field: dataclasses.Field[Any]) -> str:
    """The long option of a field: `limit_request_line` is `limit-request-line`."""
    return field.name.replace("_", "-")


def parse_value(field: dataclasses.Field[Any], text: str, origin: str) -> Any:
    """The value of one option from text.

    :param origin: how the operator gave it (`--threads`, `WEB_CONCURRENCY`), for the message.
    :raises SettingsError: naming the origin, the value and what is allowed.
    """
    try:
        return field.metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(f"{origin} {text!r}: allowed is {error}") from None


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
        values["listen"] = _parse_many(_FIELDS["listen"], [":" + environ["PORT"]], "PORT")
    return values


def resolve(given: Mapping[str, Iterable[str]], environ: Mapping[str, str]) -> Settings:
    """The settings from what the command line gave (texts by field name) over the environment over the defaults.

    :raises SettingsError: when a value is not allowed.
    """
    values = from_environment(environ, given)
    for name, texts in given.items():
        field = _FIELDS[name]
        values[name] = _parse_many(field, texts, "--" + flag(field))
    return Settings(**values)


def from_values(**values: Any) -> Settings:
    """The settings from values by field name, as a caller in Python gives them; texts are parsed as options are.

    :raises SettingsError: for an unknown name or a value that is not allowed.
    """
    resolved: dict[str, Any] = {}
    for name, value in values.items():
        field = _FIELDS.get(name)
        if field is None:
            raise SettingsError(f"{name} is not a setting: allowed are {', '.join(_FIELDS)}")
        resolved[name] = _from_python(field, value)
    return Settings(**resolved)


def _from_python(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value is checked as its text would be."""
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else None
    if texts is not None and all(isinstance(text, str) for text in texts):
        if field.metadata["many"]:
            return tuple(parse_value(field, text, field.name) for text in texts)
        return parse_value(field, ",".join(texts), field.name)
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(field.default, str | tuple):
        raise SettingsError(f"{field.name} {value!r}: allowed is what the option --{flag(field)} takes")
    if field.name == "workers" and value == 0:
        return 0
    return parse_value(field, f"{value:g}" if isinstance(value, float) else str(value), field.name)


def _parse_many(field: dataclasses.Field[Any], texts: Iterable[str], origin: str) -> Any:
    parsed = [parse_value(field, text, origin) for text in texts]
    return tuple(parsed) if field.metadata["many"] else parsed[-1]


_FIELDS = {field.name: field for field in OPTIONS}


def to_json(settings: Settings) -> bytes:
    """The settings as they travel to a worker."""
    return json.dumps(dataclasses.asdict(settings)).encode()


def from_json(data: bytes) -> Settings:
    """The settings that `to_json` wrote."""
    values: dict[str, Any] = json.loads(data)
    fixed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Settings(**fixed)


def reference() -> str:
    """The options as the table of `docs/settings.md` (Markdown)."""
    lines = ["| option | default | environment | meaning |", "| --- | --- | --- | --- |"]
    for field in OPTIONS:
        meta = field.metadata
        names = [f"`--{flag(field)} {meta['metavar']}`".replace("|", "\\|")]
        names += [f"`--{meta['alias']}`"] if meta["alias"] else []
        names += [f"`-{meta['short']}`"] if meta["short"] else []
        variables = ", ".join(f"`{name}`" for name in (f"TWISTCORN_{field.name.upper()}", *meta["env"]))
        lines.append(f"| {', '.join(names)} | {_shown(field.default)} | {variables} | {meta['help']} |")
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default in ("", ()):
        return ""
    return f"`{', '.join(default)}`" if isinstance(default, tuple) else f"`{default:g}`" if isinstance(
        default, float) else f"`{default}`"


if __name__ == "__main__":
    print(reference(), end="")
