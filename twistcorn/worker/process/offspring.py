"""Ends the application's forked children with their worker: TERM, then KILL.

Law: the last step of an orderly exit. Ends copies of this process (`copies`) and nothing else: programs that the
application started, and children that became daemons, stay. After a crash the master does this (`master.orphans`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from twisted.logger import Logger

from ...copies import copies_of, image_of
from ...logs.server import flush
from ...pristine import os, select, signal, time
from . import forks

#: Seconds from TERM to KILL.
TERM_SECONDS = 0.5

_log = Logger()


def end(patience: float = TERM_SECONDS) -> None:
    """End the copies of this process.

    :param patience: seconds between TERM and KILL.
    """
    if not forks.mark[0]:
        return
    pids = copies_of(image_of(os.getpid()), os.getpid())
    if not pids:
        return
    _log.info(
        "ending {count} forked by the application: {pids}",
        count=f"{len(pids)} process{'es' * (len(pids) > 1)}", pids=", ".join(map(str, pids)),
    )  # fmt: skip
    flush()
    with contextlib.ExitStack() as opened:
        handles = dict(_open(pids, opened))
        for pid in pids:
            _send(pid, signal.SIGTERM)
        for pid in _left(handles, time.monotonic() + patience):
            _send(pid, signal.SIGKILL)


def _open(pids: list[int], opened: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """Pidfds, readable once their process has ended (pidfd_open(2), Linux 5.3); without one, a child gets TERM only."""
    for pid in pids:
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            opened.callback(os.close, handle)
            yield handle, pid


def _left(handles: dict[int, int], deadline: float) -> list[int]:
    """The pids that have not ended by the deadline."""
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    while handles:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ended:
            break
        for handle, _ in ended:
            poll.unregister(handle)
            del handles[handle]
    return list(handles.values())


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
