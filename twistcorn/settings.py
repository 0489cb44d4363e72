"""The options of twistcorn: ONE table, from which the command lines, the environment and the docs are made.

Law: every option is a field of `Settings` and nowhere else; its meaning, syntax and default stand there. This
module reads no file, opens no socket and knows no process; where values come from is `sources`'.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .atoms import access_format
from .errors import SettingsError
from .syntax import (
    Span,
    admin_endpoint,
    count,
    duration,
    duration_text,
    endpoint,
    field_name,
    networks,
    one_of,
    positive_duration,
    replay,
    script_name,
    size,
    spanned,
    statsd_address,
    text_value,
    words,
    workers,
)

#: When a changed value counts: at once, told to all processes; in workers that start later, so from the next reload
#: on; when the server starts.
LIVE, RELOAD, RESTART = "live", "reload", "restart"


def _option(
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    change: str = LIVE,
    short: str = "",
    alias: str = "",
    env: tuple[str, ...] = (),
    metavar: str = "N",
    many: bool = False,
    secret: bool = False,
    run_only: bool = False,
) -> Any:
    meta = {
        "parse": parse, "help": help, "short": short, "alias": alias, "env": env, "metavar": metavar, "many": many,
        "change": change, "secret": secret, "run_only": run_only,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True)
class Settings:
    """Every setting of a running twistcorn. Durations are seconds, sizes are bytes, addresses endpoint strings."""

    app: str = _option(
        "", text_value, "the WSGI application: module:name, module:factory() or module:obj.attr;"
        " without it manage.py, wsgi.py or app.py is looked for", metavar="APP", change=RELOAD,
    )
    listen: tuple[str, ...] = _option(
        ("tcp:8000:interface=127.0.0.1",), endpoint, "where to listen; may be given several times",
        short="b", alias="bind", metavar="ADDRESS", many=True, change=RESTART,
    )
    workers: int = _option(
        1, workers, "worker processes; bounds such as 2:8: as many as the load asks for; auto: from CPU affinity and"
        " cgroup quota", short="w", env=("WEB_CONCURRENCY",), metavar="N|N:M|auto",
    )
    threads: int = _option(
        8, spanned(1, 1024, 2), "app threads of each worker; bounds such as 4:32: more where the application waits",
        metavar="N|N:M",
    )
    stand_ins: int = _option(
        96, count(0, 1024), "more threads of each worker, that take the places of those whose clients read slowly; each"
        " may open its own connection to a database",
    )
    scale_down_after: float = _option(
        60.0, positive_duration,
        "how long fewer workers, or threads, must have been enough before some of them go; for bounds", metavar="TIME",
    )
    turns: str = _option(
        "adaptive", one_of("adaptive", "inline", "pool"),
        "where the application runs: on the reactor's thread while its calls do not wait, whenever it can, or never",
        metavar="MODE", change=RELOAD,
    )
    chdir: str = _option(
        "", text_value, "directory of the application, resolved anew at each spawn", metavar="DIR", change=RELOAD
    )
    pythonpath: tuple[str, ...] = _option(
        (), words, "directories to put on the application's import path, separated by commas", metavar="DIRS",
        change=RELOAD,
    )
    backlog: int = _option(
        2048, count(1, 65535), "connections that the kernel queues for each listener", change=RESTART
    )
    max_connections: int = _option(
        0, count(0, 1_000_000), "connections open at once; 0: as many as the limit of open files allows, up to 65536",
        change=RESTART,
    )
    keep_alive: float = _option(
        75.0, duration, "how long an idle connection is kept: longer than the usual 60 s of load balancers",
        metavar="TIME",
    )
    header_timeout: float = _option(
        10.0, positive_duration, "time for a request's head, from its first byte", metavar="TIME"
    )
    body_timeout: float = _option(30.0, positive_duration, "time without a byte of a request's body", metavar="TIME")
    write_timeout: float = _option(
        60.0, positive_duration, "time without the client taking a byte of the response", metavar="TIME"
    )
    boot_timeout: float = _option(
        60.0, duration, "time for a worker to load the application; 0: no limit", metavar="TIME"
    )
    graceful_timeout: float = _option(
        30.0, duration, "time for requests in flight when a worker or the server stops", metavar="TIME"
    )
    drain_delay: float = _option(
        0.0, duration, "how long /readyz says 503 before a graceful stop begins, so that load balancers look elsewhere",
        metavar="TIME",
    )
    request_timeout: float = _option(
        120.0, duration, "time for the application to begin its answer, and from each piece to the next, however long"
        " all of it takes: 504, or the answer is cut, and the worker is replaced; 0: no limit", metavar="TIME",
    )
    heartbeat_timeout: float = _option(
        5.0, duration, "a worker that shows no life for so long is replaced and killed; 0: never", metavar="TIME"
    )
    max_requests: int = _option(0, count(0, 999_999_999), "requests after which a worker is replaced; 0: no limit")
    max_requests_jitter: int = _option(
        0, count(0, 999_999_999), "up to so many more, at random, so that workers are not replaced together"
    )
    max_rss: int = _option(0, size, "memory above which a worker is replaced; 0: no limit", metavar="SIZE")
    max_age: float = _option(0.0, duration, "age at which a worker is replaced; 0: no limit", metavar="TIME")
    reload_strategy: str = _option(
        "rolling", one_of("rolling", "single", "together", "stop-first"),
        "after the first new worker: replace a quarter at a time, one at a time, or boot a whole new generation, which"
        " then takes over at once; stop-first: end the old workers, then boot, for an application that locks a file for"
        " itself", metavar="STRATEGY",
    )
    quarantine_after: int = _option(
        0, count(0, 1000), "deaths of workers within a minute by one method and path, after which it gets 503 for five"
        " minutes; 0: it is only told",
    )
    park_after: float = _option(
        10.0, duration, "idle time after which the master parks a connection; 0: never", metavar="TIME"
    )
    queue_size: int = _option(
        1024, count(1, 1_000_000), "requests that may wait for an app thread, in all workers together; more: 503"
    )
    queue_timeout: float = _option(
        30.0, positive_duration, "how long a request may wait for an app thread; longer: 503", metavar="TIME"
    )
    replay: str = _option(
        "safe", replay, "which requests run again when their worker died in the middle: safe (GET, HEAD, OPTIONS,"
        " TRACE), idempotent (PUT and DELETE as well), or none; the others get 502", metavar="safe|idempotent|off",
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
    spool_size: int = _option(
        4 << 30, size, "what all request bodies together may take, in memory and in files in TMPDIR; more: 503; 0: no"
        " limit", metavar="SIZE",
    )
    expect: str = _option(
        "read", one_of("read", "early"), "when a client that expects 100 Continue is told to send its body: when the"
        " application reads it, or before it is called", metavar="read|early",
    )
    forwarded_allow_ips: tuple[str, ...] = _option(
        ("127.0.0.1", "::1"), networks, "addresses and networks of proxies whose forwarding headers are believed,"
        " or *; peers on a UNIX socket always are", env=("FORWARDED_ALLOW_IPS",), metavar="ADDRESSES", change=RELOAD,
    )
    header_map: str = _option(
        "drop", one_of("drop", "refuse", "dangerous"), "header names with an underscore, which can pass for others:"
        " leave out, refuse with 400, or keep", metavar="MODE", change=RELOAD,
    )
    script_name: str = _option(
        "", script_name, "path prefix under which the application is mounted", env=("SCRIPT_NAME",), metavar="PATH",
        change=RELOAD,
    )
    script_name_header: str = _option(
        "", field_name, "header field, such as X-Script-Name, by which trusted proxies tell SCRIPT_NAME; empty: none",
        metavar="NAME", change=RELOAD,
    )
    access_log: str = _option(
        "", text_value, "file for the access log, - for standard output; empty: none", metavar="FILE",
    )
    access_log_format: str = _option(
        "combined", access_format, "combined, extended, json, or a format of Apache's atoms (docs/logging.md)",
        metavar="FORMAT",
    )
    slow: float = _option(
        30.0, duration, "log requests that send nothing for so long, with the stack of their thread; 0: none",
        metavar="TIME",
    )
    app_output: str = _option(
        "prefix", one_of("prefix", "plain"), "lines that the application prints: with the number of their worker, or as"
        " they are", metavar="MODE", change=RELOAD,
    )
    log_level: str = _option(
        "info", one_of("debug", "info", "warn", "error", "critical"), "the least level that is logged", metavar="LEVEL",
        run_only=True,
    )
    log_format: str = _option(
        "auto", one_of("text", "json", "auto"), "how the server's log looks; auto: text on a terminal, else JSON",
        metavar="FORM", change=RESTART, run_only=True,
    )
    control: str = _option(
        "", text_value, "UNIX socket for the command twistcorn; by default twistcorn.sock in $XDG_RUNTIME_DIR, or in"
        " /run; off: none", metavar="PATH", change=RESTART,
    )
    admin: str = _option(
        "", admin_endpoint, "where to serve metrics, health and the admin page, such as :9000 or unix:/path; a host is"
        " loopback unless it is named; empty: nowhere", metavar="ADDRESS", change=RESTART,
    )
    admin_token: str = _option(
        "", text_value, "what opens the admin address for reading; must be there when that is not loopback",
        metavar="TOKEN", change=RESTART, secret=True,
    )
    admin_action_token: str = _option(
        "", text_value, "what opens the admin page for actions: reload, scale, recycle; empty: it is read-only",
        metavar="TOKEN", change=RESTART, secret=True,
    )
    statsd: str = _option(
        "", statsd_address, "HOST:PORT of a StatsD server that is sent metrics over UDP; empty: none",
        metavar="HOST:PORT", change=RESTART,
    )
    config: str = _option(
        "", text_value, "file of further settings, lines of `name = value`; read again at each reload", short="c",
        metavar="FILE", change=RESTART,
    )
    pidfile: str = _option(
        "", text_value, "file that holds the master's pid", short="p", metavar="FILE", change=RESTART
    )
    #: No options: the bounds that those gave; `workers` and `threads` are the numbers within them. None: no bounds.
    workers_bounds: Span | None = None
    threads_bounds: Span | None = None


#: The table: one entry per option, in the order of the documentation.
OPTIONS: tuple[dataclasses.Field[Any], ...] = tuple(f for f in dataclasses.fields(Settings) if f.metadata)
#: Options that take bounds, and the fields for these.
BOUNDS = {"workers": "workers_bounds", "threads": "threads_bounds"}
FIELDS = {field.name: field for field in OPTIONS}
#: What workers are not told, and find in no variable of their environment.
SECRETS = tuple(field for field in OPTIONS if field.metadata["secret"])


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


def unfolded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Settings` that some options make, from their values by name."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        fields[name] = value.least if isinstance(value, Span) else value
        if name in BOUNDS:
            fields[BOUNDS[name]] = value if isinstance(value, Span) else None
    return fields


def from_values(**values: Any) -> Settings:
    """The settings from values by field name, as a caller in Python gives them; texts are parsed as options are.

    :raises SettingsError: for an unknown name or a value that is not allowed.
    """
    resolved: dict[str, Any] = {}
    bounds = {name: values.pop(name) for name in BOUNDS.values() if values.get(name) is not None}
    for name, value in values.items():
        if name in BOUNDS.values():
            continue
        field = FIELDS.get(name)
        if field is None:
            raise SettingsError(f"{name} is not a setting: allowed are {', '.join(FIELDS)}")
        resolved[name] = _from_python(field, value)
    return Settings(**{**unfolded(resolved), **bounds})


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
    return parse_value(field, duration_text(value) if isinstance(value, float) else str(value), field.name)


#: What was bound or filed when the server started.
FIXED = tuple(field.name for field in OPTIONS if field.metadata["change"] == RESTART)


def keep_fixed(present: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """The settings after a reload, and the long options whose change has to wait for a restart."""
    changed = [name for name in FIXED if getattr(present, name) != getattr(wanted, name)]
    kept: dict[str, Any] = {name: getattr(present, name) for name in changed}
    return dataclasses.replace(wanted, **kept), [flag(FIELDS[name]) for name in changed]


def to_json(settings: Settings) -> bytes:
    """The settings as they travel to a worker, without those that are none of the application's business."""
    blank: dict[str, Any] = {field.name: field.default for field in SECRETS}
    kept = dataclasses.replace(settings, **blank)
    return json.dumps(dataclasses.asdict(kept)).encode()


def from_json(data: bytes) -> Settings:
    """The settings that `to_json` wrote."""
    values: dict[str, Any] = json.loads(data)
    fixed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    bounds = {name: Span(*fixed[name]) for name in BOUNDS.values() if fixed.get(name)}
    return Settings(**{**fixed, **bounds})
