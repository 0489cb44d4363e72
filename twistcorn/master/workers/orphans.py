"""Ends the processes that the application of a dead worker forked, a short time after the worker.

Law: standalone only (`standalone`), where the kernel gives the master its workers' orphans. Ends copies of a worker
(`copies`) and nothing else: a program that was started, and a daemon, are meant to stay.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ... import copies
from ...policy.worker import Worker

#: prctl(2), Linux 3.4: orphans among our descendants become our children.
PR_SET_CHILD_SUBREAPER = 36
#: Seconds before an orphan gets SIGTERM: a child between fork(2) and execve(2) is another program by then.
EXEC_SECONDS = 0.1
#: Seconds that it has after SIGTERM; and after SIGKILL, which only an uninterruptible process survives.
TERM_SECONDS, AFTER_KILL_SECONDS = 1.0, 2.0

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> bool:
    """Have the kernel give this process its descendants' orphans; returns whether it does."""
    return not _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass
class OrphanCase:
    """The orphans of one worker.

    :ivar who: the worker, as the log names it.
    :ivar number: the signal to send; 0: none yet.
    :ivar sent: the last signal sent to each pid.
    :ivar timer: runs the next step when this signal's time is over.
    """

    who: str
    image: bytes
    number: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    timer: Any = None


class Orphans:
    """Ends the orphans of dead workers.

    :param copies_of: the copies of an image among our descendants.
    :param image_of: the image of a process.
    :param kill: sends a signal.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        copies_of: Callable[[bytes], list[int]] = lambda image: copies.copies_of(image, os.getpid()),
        image_of: Callable[[int], bytes] = copies.image_of,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self._clock = clock
        self._copies_of = copies_of
        self._image_of = image_of
        self._kill = kill
        self._images: dict[int, bytes] = {}
        self._cases: list[OrphanCase] = []
        self._waiting: list[Deferred[None]] = []

    def know(self, worker: Worker) -> None:
        """A worker runs its own program now, and nothing of the application yet."""
        self._images[worker.ident] = self._image_of(worker.pid)

    def left(self, worker: Worker) -> None:
        """A worker is dead and reaped; its orphans are ours by now."""
        image = self._images.pop(worker.ident, b"")
        if self._find(image):
            case = OrphanCase(f"worker {worker.ident} (pid {worker.pid})", image)
            case.timer = self._clock.callLater(EXEC_SECONDS, self._signal, case, signal.SIGTERM)
            self._cases.append(case)

    def search(self) -> None:
        """A process has ended: it may have been the last one, or may have left orphans itself."""
        for case in list(self._cases):
            self._check_case(case)

    def when_ended(self) -> Deferred[None]:
        """Fires when nothing is being ended."""
        ended: Deferred[None] = Deferred()
        self._waiting.append(ended)
        self._report_ended()
        return ended

    def _signal(self, case: OrphanCase, number: int) -> None:
        case.number = number
        if number == signal.SIGTERM:
            case.timer = self._clock.callLater(TERM_SECONDS, self._signal, case, signal.SIGKILL)
        else:
            case.timer = self._clock.callLater(AFTER_KILL_SECONDS, self._give_up, case)
        self._check_case(case)

    def _find(self, image: bytes) -> list[int]:
        """The copies of an image. One whose parent ends during the first search is found by the second one only."""
        return self._copies_of(image) or self._copies_of(image)

    def _check_case(self, case: OrphanCase) -> None:
        found = self._find(case.image)
        if not found:
            self._close(case)
        elif case.number:
            for pid in found:
                if case.sent.get(pid) != case.number:
                    case.sent[pid] = case.number
                    with contextlib.suppress(ProcessLookupError):
                        self._kill(pid, case.number)

    def _give_up(self, case: OrphanCase) -> None:
        pids = self._copies_of(case.image)
        self.log.warn(
            "{who}: processes forked by its application survive SIGKILL: {pids}", who=case.who, pids=_listed(pids)
        )  # fmt: skip
        for pid in pids:
            case.sent.pop(pid, None)
        self._close(case)

    def _close(self, case: OrphanCase) -> None:
        self._cases.remove(case)
        if case.timer.active():
            case.timer.cancel()
        killed = [pid for pid, number in case.sent.items() if number == signal.SIGKILL]
        if case.sent:
            self.log.info(
                "{who}: terminated {count} forked by its application ({pids}{killed})", who=case.who,
                count=f"{len(case.sent)} process{'es' * (len(case.sent) > 1)}", pids=_listed(list(case.sent)),
                killed=f"; by SIGKILL: {_listed(killed)}" if killed else "",
            )  # fmt: skip
        self._report_ended()

    def _report_ended(self) -> None:
        if not self._cases:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids))
