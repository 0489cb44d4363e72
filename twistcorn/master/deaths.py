"""What the log says of a worker that is gone. Pure.

Law: expected exits are silent (info), unexpected ones loud (error), and name pid, cause and what was running.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import LogLevel

from ..pool.worker import State, Worker

#: Requests named in one line; the rest are counted.
NAMED = 8


def describe(worker: Worker, status: str, running: Sequence[str], age: float) -> tuple[LogLevel, str]:
    """The level and the text for a dead worker.

    :param status: the signal's name or the exit code, as text.
    :param running: method and path of each request that was in it.
    :param age: seconds since it was spawned.
    """
    who = f"worker {worker.ident} (pid {worker.pid})"
    if worker.boot_error:
        return LogLevel.error, f"{who} could not boot: {worker.boot_error}"
    if worker.killed:
        text = f"{who} was killed: {worker.killed}"
        return LogLevel.error, text + _requests(running)
    if worker.state in (State.DRAINING, State.STOPPING):
        if status in ("exit code 0", "SIGKILL") and not running:
            return LogLevel.info, f"{who} is gone"
        return LogLevel.warn, f"{who} ended while {worker.state.value}: {status}" + _requests(running)
    if not worker.was_ready:
        return LogLevel.error, f"{who} died before it was ready: {status}"
    return LogLevel.error, f"{who} died after {age:.1f} s: {status}" + _requests(running)


def _requests(running: Sequence[str]) -> str:
    if not running:
        return "; no request was running"
    more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
    return "; running: " + ", ".join(running[:NAMED]) + more
