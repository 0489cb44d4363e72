"""Repeated log events: which events are alike, and how many of them are written.

Law: pure, time is a parameter. Events held back are counted, and the count is logged: by the first check after their
window ends, or at the end of the process. A repeated event never suppresses a different one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from twisted.logger import formatEvent
from twisted.python.failure import Failure

from .events import level_of

#: Lines of one kind per window of seconds: enough to see every request of a site with some trouble, too few for a loop
#: that logs as fast as it can to fill a disk.
MAX_ALIKE_LINES, WINDOW_SECONDS = 50, 10.0
#: Kinds known at once. Clients cannot invent kinds, but an application can raise in many places.
MAX_KINDS = 512
#: Characters of a text that is its own kind, or that represents held events.
MAX_KIND_CHARS = 500

#: Namespaces whose events count. An application's own log events pass, like its output.
_OURS = frozenset(("twistcorn", "twisted", "ampoule", "log_legacy"))
#: A format without text of its own.
_FIELD = re.compile(r"\{\w+\}")


class Held(NamedTuple):
    """Suppressed events of one kind.

    :ivar event: the gist of the first one: level, namespace and text.
    :ivar times: how many; `seconds`: over what time, written ones included.
    """

    event: dict[str, Any]
    times: int
    seconds: float


class _Run:
    """The current window of one kind."""

    __slots__ = ("held", "like", "since", "told")

    def __init__(self, since: float) -> None:
        self.since = since
        self.told = self.held = 0
        self.like: dict[str, Any] = {}


class Repeats:
    """Counts events by kind. All times are monotonic seconds."""

    def __init__(
        self, most: int = MAX_ALIKE_LINES, window: float = WINDOW_SECONDS, most_kinds: int = MAX_KINDS
    ) -> None:
        self._most, self._window, self._most_kinds = most, window, most_kinds
        #: In the order in which the windows began, and therefore end.
        self._runs: dict[Hashable, _Run] = {}
        self._early: list[Held] = []

    def admit(self, kind: Hashable, now: float, gist: Callable[[], dict[str, Any]]) -> bool:
        """Count an event; returns whether to write it.

        :param gist: returns what to keep of it, if it is the first suppressed one.
        """
        run = self._runs.get(kind)
        if run is None or now - run.since >= self._window:
            self._end(kind, now)
            if len(self._runs) >= self._most_kinds:
                self._end(next(iter(self._runs)), now)
            run = self._runs[kind] = _Run(now)
        if run.told < self._most:
            run.told += 1
            return True
        if not run.held:
            run.like = gist()
        run.held += 1
        return False

    def _end(self, kind: Hashable, now: float) -> None:
        run = self._runs.pop(kind, None)
        if run is not None and run.held:
            self._early.append(Held(run.like, run.held, min(now - run.since, self._window)))

    def over(self, now: float, all_of_them: bool = False) -> list[Held]:
        """The suppressed events of windows that have ended, or of all; each is returned once."""
        while self._runs:
            kind, run = next(iter(self._runs.items()))
            if not all_of_them and now - run.since < self._window:
                break
            self._end(kind, now)
        found, self._early = self._early, []
        return found

    def wait(self, now: float) -> float | None:
        """Seconds until there may be something to log; None: nothing is counted."""
        if self._early:
            return 0.0
        first = next(iter(self._runs.values()), None)
        return None if first is None else max(0.0, first.since + self._window - now)


def kind_of(event: dict[str, Any]) -> Hashable | None:
    """The key by which events are alike; None for events that are always written.

    For an error, the format without its values (each request has another id) and the traceback; for other events, the
    complete text.
    """
    level, namespace = level_of(event), str(event.get("log_namespace") or "")
    whose = namespace.partition(".")[0]
    if level == "debug" or whose not in _OURS or (level == "info" and whose == "log_legacy"):
        return None
    text = str(event.get("log_format") or "")
    failure = _failure(event)
    if "isError" in event and failure is not None:
        # `twisted.python.log.err` puts the exception into its text.
        text = str(event.get("why"))
    elif level == "info" or _FIELD.fullmatch(text):
        text = (formatEvent(event) or "")[:MAX_KIND_CHARS]
    return namespace, level, text, None if failure is None else _place(failure)


def _failure(event: dict[str, Any]) -> Failure | None:
    failure = event.get("log_failure") or event.get("failure")
    return failure if isinstance(failure, Failure) else None


def _place(failure: Failure) -> Hashable:
    """The type of an exception, and the lines of its traceback."""
    lines = []
    traceback = failure.getTracebackObject()
    while traceback is not None:
        lines.append((getattr(traceback.tb_frame.f_code, "co_filename", ""), traceback.tb_lineno))
        traceback = traceback.tb_next
    # A hash instead of a stack of a thousand calls.
    return failure.type, hash(tuple(lines))


def gist(event: dict[str, Any]) -> dict[str, Any]:
    """The part of an event that is kept: no exception, and nothing that one keeps alive."""
    text = (formatEvent(event) or "").partition("\n")[0]
    failure = _failure(event)
    if failure is not None:
        kind = getattr(failure.type, "__name__", str(failure.type))
        text = f"{text}: {kind}: {failure.getErrorMessage()}" if text else f"{kind}: {failure.getErrorMessage()}"
    return {
        "log_level": event.get("log_level"), "log_namespace": event.get("log_namespace"), "text": text[:MAX_KIND_CHARS],
    }  # fmt: skip


def as_event(held: Held, now: float) -> dict[str, Any]:
    """The event that represents the suppressed ones.

    :param now: seconds since the epoch.
    """
    return {
        **held.event, "log_time": now, "log_format": "repeated {repeated} times in {seconds:.1f} s: {text}",
        "repeated": held.times, "seconds": round(held.seconds, 1),
    }  # fmt: skip
