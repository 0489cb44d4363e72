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
from .suggestions import did_you_mean
from .syntax import (
    UNBOUNDED,
    Count,
    OneOf,
    Span,
    Spanned,
    admin_endpoint,
    duration,
    duration_text,
    endpoint,
    field_name,
    metavar_of,
    networks,
    positive_duration,
    replay,
    script_name,
    size,
    statsd_address,
    text_value,
    words,
    workers,
)

#: When a change takes effect: at once, in all processes; in workers that start later, so at the next reload; at the
#: next start of the server.
LIVE, RELOAD, RESTART = "live", "reload", "restart"


def _option(
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    more: str = "",
    change: str = LIVE,
    short: str = "",
    alias: str = "",
    env: tuple[str, ...] = (),
    metavar: str = "",
    many: bool = False,
    secret: bool = False,
    run_only: bool = False,
) -> Any:
    """A field of `Settings`.

    :param help: its line in `--help`, a phrase.
    :param more: what the documentation says besides, in sentences.
    """
    metavar = metavar or metavar_of(parse)
    meta = {
        "parse": parse, "help": help, "more": more, "short": short, "alias": alias, "env": env, "metavar": metavar,
        "many": many, "change": change, "secret": secret, "run_only": run_only,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True)
class Settings:
    """Every setting of a running twistcorn. Durations are seconds, sizes are bytes, addresses endpoint strings."""

    app: str = _option(
        "", text_value, "WSGI app: module:name, module:factory() or module:obj.attr", metavar="APP", change=RELOAD,
        more="Without it, the first of manage.py, wsgi.py, app.py and main.py in the directory is served.",
    )
    listen: tuple[str, ...] = _option(
        ("tcp:8000:interface=127.0.0.1",), endpoint, "listening address; repeatable", short="b", alias="bind",
        metavar="ADDRESS", many=True, change=RESTART, more="`PORT` in the environment means :PORT.",
    )
    workers: int = _option(
        1, workers, "worker processes: 4; 2:8 follows the load; auto: one per CPU", short="w",
        env=("WEB_CONCURRENCY",), metavar="N|N:M|auto",
        more="auto counts the CPUs of the affinity mask and the cgroup's quota.",
    )
    threads: int = _option(8, Spanned(1, 1024, 2), "app threads per worker: 8; 4:32 follows the load")
    stand_ins: int = _option(
        96, Count(0, 1024), "spare threads per worker, used while slow clients block others",
        more="Each can open its own database connection.",
    )
    scale_down_after: float = _option(
        60.0, positive_duration, "time with spare capacity before scaling down",
        more="It applies to `--workers` and `--threads` with bounds.",
    )
    turns: str = _option(
        "adaptive", OneOf("adaptive", "inline", "pool"), "calls to run on the event loop: non-blocking, all, none",
        change=RELOAD, more="adaptive measures how long the calls of each route block.",
    )
    chdir: str = _option(
        "", text_value, "directory of the app", metavar="DIR", change=RELOAD,
        more="It is resolved again for each new worker, so it can be a symbolic link to the current release.",
    )
    pythonpath: tuple[str, ...] = _option(
        (), words, "comma-separated directories for sys.path", metavar="DIRS", change=RELOAD,
    )
    backlog: int = _option(2048, Count(1, 65535), "listen(2) queue length", change=RESTART)
    max_connections: int = _option(
        0, Count(0, 1_000_000), "open connections; 0: from ulimit -n", change=RESTART,
        more="The limit on open files gives 65536 at most.",
    )
    keep_alive: float = _option(
        75.0, duration, "idle time before a connection is closed",
        more="The default is longer than the usual 60 s of load balancers, so that they close first.",
    )
    header_timeout: float = _option(10.0, positive_duration, "time to receive a request head")
    body_timeout: float = _option(30.0, positive_duration, "longest pause within a request body")
    write_timeout: float = _option(60.0, positive_duration, "longest time a client reads nothing")
    boot_timeout: float = _option(60.0, duration, "time to import the app; 0: no limit")
    graceful_timeout: float = _option(
        30.0, duration, "time to finish requests at a stop", more="It applies to the server and to each worker.",
    )
    drain_delay: float = _option(
        0.0, duration, "time /readyz returns 503 before a stop",
        more="It gives load balancers time to send requests elsewhere.",
    )
    request_timeout: float = _option(
        120.0, duration, "silence of the app before 504; 0: no limit",
        more="The clock restarts with each piece of the response, so a long download is fine. A response that has begun"
        " is cut off. The worker is replaced.",
    )
    heartbeat_timeout: float = _option(
        5.0, duration, "kill if unresponsive for this long; 0: never",
        more="It watches each worker, and starts a replacement first.",
    )
    max_requests: int = _option(0, Count(0, UNBOUNDED), "requests per worker; 0: no limit")
    max_requests_jitter: int = _option(
        0, Count(0, UNBOUNDED), "random extra requests, to stagger restarts"
    )
    max_rss: int = _option(0, size, "maximum memory of a worker; 0: no limit")
    max_age: float = _option(0.0, duration, "maximum age of a worker; 0: no limit")
    reload_strategy: str = _option(
        "rolling", OneOf("rolling", "single", "together", "stop-first"), "how a reload replaces the workers",
        more="When the first new worker is ready, rolling replaces a quarter at a time; single, one at a time; together"
        " starts a full set, then switches over. stop-first stops the old workers, then starts new ones: for an app"
        " that locks a file.",
    )
    quarantine_after: int = _option(
        0, Count(0, 1000), "worker deaths that block a route; 0: only logged",
        more="Deaths within a minute by the same method and path block that route with 503 for five minutes.",
    )
    park_after: float = _option(
        10.0, duration, "idle time before a connection is parked in the master; 0: never",
        more="Idle connections then cost a worker nothing, and outlive it.",
    )
    queue_size: int = _option(
        1024, Count(1, 1_000_000), "requests waiting for a thread", more="The number is for all workers. More: 503.",
    )
    queue_timeout: float = _option(30.0, positive_duration, "time to wait for a thread, then 503")
    replay: str = _option(
        "safe", replay, "requests to rerun if a worker dies", metavar="{safe,idempotent,off}",
        more="safe: GET, HEAD, OPTIONS and TRACE; idempotent: PUT and DELETE as well. Others get 502.",
    )
    limit_request_line: int = _option(8190, Count(64, 32768), "maximum bytes; more: 414")
    limit_request_fields: int = _option(100, Count(1, 32768), "maximum number of headers; more: 431")
    limit_request_field_size: int = _option(8190, Count(64, 32768), "maximum bytes of a header; more: 431")
    limit_request_trailers: int = _option(
        8190, Count(0, 32768), "maximum bytes; more: 431",
        more="Trailers follow a chunked body, and are discarded.",
    )
    limit_request_body: int = _option(1 << 30, size, "maximum bytes; more: 413; 0: no limit")
    spool_size: int = _option(
        4 << 30, size, "maximum bytes of all bodies together; more: 503; 0: no limit",
        more="It counts memory and files in TMPDIR, in all workers.",
    )
    expect: str = _option(
        "read", OneOf("read", "early"), "send 100 Continue when the app reads, or before that",
        more="early: before the app is called.",
    )
    forwarded_allow_ips: tuple[str, ...] = _option(
        ("127.0.0.1", "::1"), networks, "trusted proxies: comma-separated addresses and networks; *: all",
        env=("FORWARDED_ALLOW_IPS",), metavar="ADDRESSES", change=RELOAD, more="Peers on a UNIX socket are trusted.",
    )
    header_map: str = _option(
        "drop", OneOf("drop", "refuse", "dangerous"), "header names with underscores", change=RELOAD,
        more="In WSGI `X_Real_IP` passes for `X-Real-IP`. drop removes the header; refuse responds with 400; dangerous"
        " keeps it.",
    )
    script_name: str = _option(
        "", script_name, "path prefix of the app", env=("SCRIPT_NAME",), metavar="PATH", change=RELOAD,
    )
    script_name_header: str = _option(
        "", field_name, "header with SCRIPT_NAME, from trusted proxies", metavar="NAME", change=RELOAD,
        more="For example X-Script-Name. Empty: none.",
    )
    access_log: str = _option("", text_value, "access log; - for standard output", metavar="FILE", more="Empty: none.")
    access_log_format: str = _option(
        "combined", access_format, "combined, extended, json or atoms", metavar="FORMAT",
        more="The atoms are Apache's, listed in docs/logging.md.",
    )
    slow: float = _option(
        30.0, duration, "log a request silent for this long, with its stack; 0: never",
    )
    app_output: str = _option(
        "prefix", OneOf("prefix", "plain"), "app output: with the worker's number, or as is", change=RELOAD,
    )
    log_level: str = _option(
        "info", OneOf("debug", "info", "warn", "error", "critical"), "minimum log level", run_only=True,
    )
    log_format: str = _option(
        "auto", OneOf("text", "json", "auto"), "format of the server log; auto: text on a terminal, else JSON",
        change=RESTART, run_only=True,
    )
    control: str = _option(
        "", text_value, "control socket; off: none", metavar="PATH", change=RESTART,
        more="The default is twistcorn.sock in $XDG_RUNTIME_DIR or /run. Commands such as `twistcorn status` use it.",
    )
    admin: str = _option(
        "", admin_endpoint, "address of metrics, health checks and admin page", metavar="ADDRESS", change=RESTART,
        more="For example :9000, which is 127.0.0.1:9000, or unix:/path. Empty: none.",
    )
    admin_token: str = _option(
        "", text_value, "token to read --admin; required off loopback", metavar="TOKEN", change=RESTART, secret=True,
    )
    admin_action_token: str = _option(
        "", text_value, "token to reload, scale and recycle", metavar="TOKEN", change=RESTART, secret=True,
        more="Without it, the admin page is read-only.",
    )
    statsd: str = _option(
        "", statsd_address, "StatsD server to send metrics to, over UDP", metavar="HOST:PORT", change=RESTART,
        more="Empty: none.",
    )
    config: str = _option(
        "", text_value, "settings file: lines of name = value", short="c", metavar="FILE", change=RESTART,
        more="Each reload reads it again.",
    )
    pidfile: str = _option("", text_value, "file for the master's pid", short="p", metavar="FILE", change=RESTART)
    #: No options: the ranges given for `workers` and `threads`, which are numbers within them. None: a fixed number.
    workers_bounds: Span | None = None
    threads_bounds: Span | None = None


#: The table, in the order of the documentation.
OPTIONS: tuple[dataclasses.Field[Any], ...] = tuple(f for f in dataclasses.fields(Settings) if f.metadata)
#: Options that take a range, and the field of each for it.
BOUNDS = {"workers": "workers_bounds", "threads": "threads_bounds"}
FIELDS = {field.name: field for field in OPTIONS}
#: Never sent to workers, and removed from their environment.
SECRETS = tuple(field for field in OPTIONS if field.metadata["secret"])


def flag(field: dataclasses.Field[Any]) -> str:
    """The long option of a field: `limit_request_line` is `limit-request-line`."""
    return field.name.replace("_", "-")


def parse_value(field: dataclasses.Field[Any], text: str, origin: str) -> Any:
    """The value of one option from text.

    :param origin: the source as the operator knows it (`--threads`, `WEB_CONCURRENCY`), for the message.
    :raises SettingsError: naming the origin, the value and what is expected.
    """
    try:
        return field.metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(f"invalid value {text!r} for {origin}: expected {error}") from None


def unfolded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Settings` for option values by name: a range fills two fields."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        fields[name] = value.least if isinstance(value, Span) else value
        if name in BOUNDS:
            fields[BOUNDS[name]] = value if isinstance(value, Span) else None
    return fields


def from_values(**values: Any) -> Settings:
    """The settings from values by field name, as a caller in Python passes them; texts are parsed like options.

    :raises SettingsError: for an unknown name or an invalid value.
    """
    resolved: dict[str, Any] = {}
    bounds = {name: values.pop(name) for name in BOUNDS.values() if values.get(name) is not None}
    for name, value in values.items():
        if name in BOUNDS.values():
            continue
        field = FIELDS.get(name)
        if field is None:
            raise SettingsError(f"unknown setting {name!r}{did_you_mean(name, FIELDS)}")
        resolved[name] = _from_python(field, value)
    return Settings(**{**unfolded(resolved), **bounds})


def _from_python(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value, checked like the text of an option."""
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else None
    if texts is not None and all(isinstance(text, str) for text in texts):
        if field.metadata["many"]:
            return tuple(parse_value(field, text, field.name) for text in texts)
        return parse_value(field, ",".join(texts), field.name)
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(field.default, str | tuple):
        raise SettingsError(f"invalid value {value!r} for {field.name}: expected what --{flag(field)} accepts")
    if field.name == "workers" and value == 0:
        return 0
    return parse_value(field, duration_text(value) if isinstance(value, float) else str(value), field.name)


#: Bound or opened at the start of the server.
FIXED = tuple(field.name for field in OPTIONS if field.metadata["change"] == RESTART)


def keep_fixed(present: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """The settings after a reload, and the long options whose change needs a restart."""
    changed = [name for name in FIXED if getattr(present, name) != getattr(wanted, name)]
    kept: dict[str, Any] = {name: getattr(present, name) for name in changed}
    return dataclasses.replace(wanted, **kept), [flag(FIELDS[name]) for name in changed]


def to_json(settings: Settings) -> bytes:
    """The settings as they are sent to a worker, without secrets."""
    blank: dict[str, Any] = {field.name: field.default for field in SECRETS}
    kept = dataclasses.replace(settings, **blank)
    return json.dumps(dataclasses.asdict(kept)).encode()


def from_json(data: bytes) -> Settings:
    """The settings that `to_json` wrote."""
    values: dict[str, Any] = json.loads(data)
    fixed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    bounds = {name: Span(*fixed[name]) for name in BOUNDS.values() if fixed.get(name)}
    return Settings(**{**fixed, **bounds})
