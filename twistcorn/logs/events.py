"""Formats events of the server's log, and lines that an application printed, as text and as JSON.

Law: pure. One event is one line of JSON, whatever it contains; docs/logging.md documents the names of its members.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from twisted.logger import LogLevel, eventAsText, formatEvent

from ..pristine import time

#: Fields of an event that have another name in JSON.
_NAMES = {"ident": "worker"}
#: Members that an event's own fields must not replace, and fields of the legacy logging system.
_TAKEN = {"time", "level", "event", "logger", "text", "traceback", "message", "system", "format", "isError"}
#: Characters of one member: longer ones are cut, so that log readers can take the line.
_MAX_MEMBER_CHARS = 32768

_NOISE = re.compile(
    r"(listener|admin) starting on .*|\((TCP|UNIX) Port .* Closed\)"
    r"|Received SIG[A-Z]+, shutting down\.|Main loop terminated\."
)

_second: tuple[int, str] = (-1, "")


def stamp(seconds: float) -> str:
    """A time in RFC 3339, UTC, to the millisecond."""
    global _second
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    known, text = _second
    if known != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return f"{text}.{thousandths:03d}Z"


def level_of(event: dict[str, Any]) -> str:
    """The name of an event's level."""
    level = event.get("log_level")
    return str(getattr(level, "name", LogLevel.info.name))


#: Characters that move a terminal's cursor, change colours, reverse text or start a line: C0 except tab and line feed,
#: DEL, C1, the line and paragraph separators, and the direction controls (Unicode, UAX 9).
_CONTROLS = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"},
    **{code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def escaped(text: str) -> str:
    """Untrusted text with its control characters escaped, except tabs and line feeds."""
    return text.translate(_CONTROLS)


def harmless(text: str) -> str:
    """Untrusted text as one log entry: control characters escaped, continuation lines indented."""
    return escaped(text).replace("\n", "\n  ")


def is_noise(event: dict[str, Any]) -> bool:
    """Whether Twisted reports what the server has a better line for: a port, its reactor's signal and end."""
    if event.get("log_namespace") not in ("log_legacy", "twisted.internet.base"):
        return False
    return _NOISE.fullmatch(formatEvent(event) or "") is not None


def as_text(event: dict[str, Any], worker: int = 0) -> str:
    """An event as text; empty if it has no text.

    :param worker: the worker that logged it; 0: the master.
    """
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text or is_noise(event):
        return ""
    who = f"[worker {worker}] " if worker else ""
    return f"{stamp(event.get('log_time') or 0)} {level_of(event):<5} {who}{harmless(text)}\n"


def as_json(event: dict[str, Any], worker: int = 0) -> str:
    """An event as JSON; empty if it has no text. A stack is a member of its own, the last one, and not in the text."""
    text = formatEvent(event) or ""
    traceback = ""
    if event.get("log_failure") is not None:
        traceback = eventAsText(event, includeTimestamp=False, includeSystem=False)[len(text) :].strip("\n")
    if is_noise(event) or not (text or traceback):
        return ""
    fields = {
        _NAMES.get(name, name): value
        for name, value in event.items()
        if not name.startswith("log_") and _NAMES.get(name, name) not in _TAKEN and _is_plain(value)
    }
    stacks = {key: value for key, value in fields.items() if isinstance(value, str) and _ends_with(text, value)}
    for stack in stacks.values():
        text = text[: len(text) - len(stack)].rstrip(":\n")
    members: dict[str, Any] = {
        "time": stamp(event.get("log_time") or 0), "level": level_of(event), "event": "log",
        "logger": event.get("log_namespace") or "", "text": text[:_MAX_MEMBER_CHARS],
    }  # fmt: skip
    if worker:
        members["worker"] = worker
    for key, value in [*((key, value) for key, value in fields.items() if key not in stacks), *stacks.items()]:
        members.setdefault(key, value[:_MAX_MEMBER_CHARS] if isinstance(value, str) else value)
    if traceback:
        members["traceback"] = traceback[-_MAX_MEMBER_CHARS:]
    return json.dumps(members) + "\n"


def own(text: str, lost: int) -> dict[str, Any]:
    """An event by which a log reports about itself.

    :param lost: how many lines it dropped, if it reports that.
    """
    event = {"log_time": time.time(), "log_level": LogLevel.warn, "log_format": "{text}", "text": text}
    return {**event, "lost": lost} if lost else event


def _ends_with(text: str, value: str) -> bool:
    """Whether a text ends with these further lines."""
    return "\n" in value and text.endswith("\n" + value)


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)


def output_as_json(now: float, worker: int, stream: str, text: str) -> str:
    """A line that the application printed, as JSON."""
    return json.dumps(
        {
            "time": stamp(now), "level": "info", "event": "app.output", "worker": worker, "stream": stream,
            "text": text,
        }
    ) + "\n"  # fmt: skip
