"""The latest events of the log, for `twistcorn logs`.

Law: an observer that keeps a bounded number of events, each cut to a bounded size, and passes new ones to followers;
it writes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, LogLevel, eventAsText
from zope.interface import implementer

from ...logs.events import is_noise

#: Events kept, and the most characters of each: 4 MiB at worst, 100 KiB as a rule.
MAX_EVENTS = 1000
MAX_EVENT_CHARS = 4096

#: An event: `time` in seconds since the epoch, `level`, `text`.
Entry = dict[str, Any]


@implementer(ILogObserver)
class Recent:
    """Observes a log, from level `info`.

    :param deliver: calls a function later, on the reactor's thread: an event may come from any thread, and a follower
        may log another one.
    """

    def __init__(self, deliver: Callable[..., object]) -> None:
        self._deliver = deliver
        self._entries: deque[Entry] = deque(maxlen=MAX_EVENTS)
        self._followers: list[Callable[[Entry], None]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        """One event."""
        level = event.get("log_level") or LogLevel.info
        if level < LogLevel.info or is_noise(event):
            return
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if not text:
            return
        entry = {"time": event["log_time"], "level": level.name, "text": text[:MAX_EVENT_CHARS]}
        self._entries.append(entry)
        if self._followers:
            self._deliver(self._publish, entry)

    def last(self, count: int) -> list[Entry]:
        """The latest `count` events, oldest first."""
        return list(self._entries)[-count:] if count > 0 else []

    def follow(self, follower: Callable[[Entry], None]) -> Callable[[], None]:
        """Pass each new event to `follower`; returns a function that ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def _publish(self, entry: Entry) -> None:
        for follower in list(self._followers):
            follower(entry)
