"""How the values of options are written: durations, sizes, addresses, lists. One parser for each kind.

Law: pure: a text goes in, and a value comes out, or a ValueError that completes `expected ...`; `duration_text` and
`size_text` go the other way.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from .grammar import TOKEN

#: Far more than a machine has CPUs; a typo should not start a thousand interpreters.
MAX_WORKERS = 256

#: The largest number that a count of events takes: for an operator, no limit.
UNBOUNDED = 999_999_999
#: The default port of StatsD.
STATSD_PORT = 8125

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?")
_DURATION_UNITS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: Seconds: some thirty years. What is far longer does not fit a word of the scoreboard, in nanoseconds.
MAX_SECONDS = 1e9
_SIZE = re.compile(r"([0-9]{1,18})\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

#: A second spelling of an address: the host part is an IPv4 address, a name, an IPv6 address in brackets, or empty.
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._*-]*):(?P<port>[0-9]{1,5})")


#: Names of endpoints that are not served, which would pass for hosts.
_OTHER_ENDPOINTS = ("ssl", "tls", "haproxy", "fd", "stdio")


class Span(NamedTuple):
    """A range, both ends included, within which the server chooses."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}:{self.most}"

    def clamp(self, number: int) -> int:
        """The nearest number within."""
        return max(self.least, min(self.most, number))


def duration(text: str) -> float:
    """Seconds from `30s`, `5m`, `1h`, `250ms` or plain seconds."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _DURATION_UNITS[found[2]] if found is not None else MAX_SECONDS + 1
    if seconds > MAX_SECONDS:
        raise ValueError("a duration such as 30 (seconds), 30s, 5m or 250ms")
    return seconds


def duration_text(seconds: float) -> str:
    """The text that `duration` parses to exactly this number of seconds."""
    digits = format(Decimal(repr(seconds)), "f")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}s"


def positive_duration(text: str) -> float:
    """A duration greater than 0."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a duration greater than 0, such as 10s or 250ms")
    return seconds


def size(text: str) -> int:
    """Bytes from `512MB`, `64k`, `1GiB` or a plain number; the units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("a size such as 8190 (bytes), 64k or 512MB")
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def size_text(number: int) -> str:
    """The text that `size` parses to this number of bytes."""
    for unit in ("g", "m", "k"):
        if number and number % _SIZE_UNITS[unit] == 0:
            return f"{number // _SIZE_UNITS[unit]}{unit.upper()}"
    return str(number)


@dataclass(frozen=True)
class Count:
    """A parser of whole numbers from `least` to `most`."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not self.least <= int(text) <= self.most:
            raise ValueError(f"a whole number from {self.least} to {self.most}")
        return int(text)


@dataclass(frozen=True)
class Spanned:
    """A parser of whole numbers from `least` to `most`, or of bounds, such as `2:8`.

    :ivar lowest: the smallest lower bound.
    """

    least: int
    most: int
    lowest: int

    def __call__(self, text: str) -> int | Span:
        low, colon, high = text.partition(":")
        bound = Count(self.lowest, self.most)
        try:
            if not colon:
                return Count(self.least, self.most)(text)
            span = Span(bound(low), bound(high))
            if span.least > span.most:
                raise ValueError
        except ValueError:
            more = f" of at least {self.lowest}" if self.lowest > self.least else ""
            raise ValueError(
                f"a whole number from {self.least} to {self.most}, or a range{more} such as {max(self.lowest, 2)}:8"
            ) from None
        return span if span.least < span.most else span.least


def workers(text: str) -> int | Span:
    """A number of workers, or bounds; `auto` is 0, which the master resolves from processors and cgroup."""
    if text.strip().lower() == "auto":
        return 0
    try:
        return Spanned(1, MAX_WORKERS, 1)(text)
    except ValueError as error:
        raise ValueError(f"auto or {error}") from None


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
    raise ValueError("HOST:PORT, :PORT, unix:/path or an endpoint such as tcp6:8000 or systemd:domain=INET:index=0")


def admin_endpoint(text: str) -> str:
    """As `endpoint`, where a port alone means loopback; empty for none."""
    text = text.strip()
    if re.fullmatch(r":[0-9]{1,5}", text):
        text = f"127.0.0.1{text}"
    return endpoint(text) if text else ""


def statsd_address(text: str) -> str:
    """HOST:PORT from itself, or from HOST with StatsD's usual port; an IPv6 address stands in brackets. Empty: none."""
    text = text.strip()
    found = _HOST_PORT.fullmatch(text if re.search(r":[0-9]+$", text) else f"{text}:{STATSD_PORT}")
    if text and (found is None or found["host"] in ("", "*") or not 0 < int(found["port"]) < 1 << 16):
        raise ValueError("HOST:PORT, such as 127.0.0.1:8125 or [::1]:8125")
    return found[0] if found is not None and text else ""


def text_value(text: str) -> str:
    return text


def script_name(text: str) -> str:
    """A path prefix: empty, or starting with a slash and not ending in one."""
    if text and (not text.startswith("/") or text.endswith("/")):
        raise ValueError("a path that starts with / and does not end with /, such as /shop")
    return text


def field_name(text: str) -> str:
    """The name of a header field (RFC 9110 section 5.1), or nothing."""
    if text and not re.fullmatch(TOKEN, text):
        raise ValueError("a header name such as X-Script-Name")
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
            raise ValueError("* or a comma-separated list of addresses and networks such as 10.0.0.0/8") from None
    return found


class OneOf:
    """A parser of one of a few words."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def __call__(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"{', '.join(self.choices[:-1])} or {self.choices[-1]}")
        return text


def metavar_of(parse: Callable[[str], Any]) -> str:
    """What stands for the value in `--help`."""
    if isinstance(parse, OneOf):
        return f"{{{','.join(parse.choices)}}}"
    if isinstance(parse, Spanned):
        return "N|N:M"
    return "SIZE" if parse is size else "TIME" if parse in (duration, positive_duration) else "N"


def allowed_range(parse: Callable[[str], Any]) -> str:
    """The numbers that a parser accepts, for `--help`; empty where it accepts any, or something else."""
    if isinstance(parse, Count | Spanned) and parse.most < UNBOUNDED:
        return f"{parse.least}-{parse.most}"
    return f"1-{MAX_WORKERS}" if parse is workers else ""


def replay(text: str) -> str:
    """The value of --replay. `on` once included PUT and DELETE: the operator decides whether that is still wanted."""
    if text == "on":
        raise ValueError("safe, idempotent or off; what was called on is idempotent now")
    return OneOf("safe", "idempotent", "off")(text)
