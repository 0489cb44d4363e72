"""The log line for a dead worker. Pure.

Law: expected exits are silent (info), unexpected ones loud (error), and name pid, cause and what was running.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from twisted.logger import LogLevel

from ...policy.blame import NOBODY, Blame, Cause
from ...policy.worker import LEAVING, Worker

#: As it stands in a stack.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
#: Requests named in one line; the others are counted.
MAX_NAMED_REQUESTS = 8


class Running(NamedTuple):
    """A request that was in the application.

    :ivar slot: of its connection.
    :ivar name: method and path.
    :ivar age: seconds since it began.
    :ivar blamed: whether the worker died of it.
    """

    slot: int
    name: str
    age: float
    blamed: bool = False

    def __str__(self) -> str:
        return f"{self.name} for {self.age:.1f} s" + (" (blamed)" if self.blamed else "")


class Death(NamedTuple):
    """What is known of a death.

    :ivar status: the signal's name or the exit code, as text.
    :ivar age: seconds since the worker was spawned.
    :ivar rss: bytes of memory at the last check, 0 before the first.
    :ivar last_words: what faulthandler wrote.
    :ivar connections: what became of its connections, as text; empty where it held none.
    """

    status: str
    cause: Cause
    blame: Blame = NOBODY
    running: Sequence[Running] = ()
    age: float = 0.0
    rss: int = 0
    last_words: str = ""
    connections: str = ""

    def as_text(self, worker: Worker) -> str:
        """The cause in one word, as the chronicle and the metrics count it."""
        if worker.boot_error or not (worker.was_ready or worker.state in LEAVING):
            return "boot"
        return "killed" if worker.killed and self.cause is not Cause.FROZEN else self.cause.name.lower()


def describe(worker: Worker, death: Death) -> tuple[LogLevel, str]:
    """The level and the text for a dead worker."""
    who = f"worker {worker.ident} (pid {worker.pid})"
    if worker.boot_error:
        return LogLevel.error, f"{who} failed to boot: {worker.boot_error}"
    what = death.status
    if death.cause is Cause.MEMORY:
        what += ", out of memory"
    if death.rss and death.cause is not Cause.ORDERED:
        what += f", {death.rss >> 20} MiB resident"
    connections = f"; connections: {death.connections}" if death.connections else ""
    rest = _requests(death.running) + connections + _words(death)
    if worker.killed:
        return LogLevel.error, f"{who} was killed: {worker.killed}" + rest
    if worker.state in LEAVING:
        if death.cause is Cause.ORDERED and not death.running:
            return LogLevel.info, f"{who} exited{connections}"
        return LogLevel.warn, f"{who} ended while {worker.state.value}: {what}" + rest
    if not worker.was_ready:
        return LogLevel.error, f"{who} died while booting: {what}" + _words(death)
    return LogLevel.error, f"{who} died after {death.age:.1f} s: {what}" + rest


def _requests(running: Sequence[Running]) -> str:
    if not running:
        return "; no request running"
    # A blamed request is always named.
    first = sorted(running, key=lambda each: not each.blamed)
    more = f" and {len(running) - MAX_NAMED_REQUESTS} more" if len(running) > MAX_NAMED_REQUESTS else ""
    return "; running: " + ", ".join(map(str, first[:MAX_NAMED_REQUESTS])) + more


def _words(death: Death) -> str:
    """What faulthandler wrote: the stack of the thread that died, where it says which, down to our own frames."""
    if not death.last_words or death.cause is Cause.FROZEN:
        # A frozen worker's stack was logged when the thread that holds the lock was found.
        return ""
    parts = death.last_words.strip().split("\n\n")
    if any(part.startswith("Current thread") for part in parts):
        others = sum(part.startswith("Thread ") for part in parts)
        parts = [part for part in parts if not part.startswith("Thread ")]
        if others:
            parts.append(f"({others} other thread{'s' * (others > 1)})")
    return "\n" + "\n".join(map(without_ours, parts))


def of_application(stacks: str) -> str:
    """Of the stacks of all threads those that are in the application, or in what it calls, right now."""
    parts = stacks.strip().split("\n\n")
    # The first line below the thread's own is where it is.
    theirs = [part for part in parts if _PACKAGE not in "".join(part.splitlines()[1:2])]
    return "\n".join(map(without_ours, theirs))


def without_ours(stack: str) -> str:
    """The application's frames, which are the newer ones; all of it where it has none."""
    lines = stack.splitlines()
    end = next((number for number, line in enumerate(lines) if _PACKAGE in line), len(lines))
    return "\n".join(lines[:end] if any("File " in line for line in lines[:end]) else lines)
