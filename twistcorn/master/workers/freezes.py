"""Workers without a heartbeat: which thread holds the lock, which clients wait, and when the worker is killed.

Law: observes, lets `policy.freeze` judge, and kills nothing. It reads the kernel's account of threads and the
scoreboard, and signals one thread to write its stack. A frozen worker may resume at any time: the master counts the
unread bytes on its connections, and neither reads, writes nor lends them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from ...logs.logger import Logger
from ...policy.blame import current_thread
from ...policy.freeze import (
    FIRST_CHECK_SHARE,
    SUSPICION_SHARE,
    Freeze,
    FreezeLimits,
    Look,
    Task,
    computing,
    is_kept_waiting,
    is_stopped,
    parse_task,
    verdict,
)
from ...policy.redo import REPEATED
from ...policy.worker import Worker
from ...settings import Settings
from ...wire.scoreboard import S_RESTART, Scoreboard, SlotState
from ...wire.testimony import TESTIFY
from ..sockets import tcp_info
from ..sockets.recovery import log_of
from ..sockets.table import ConnectionTable
from .death_report import of_application, without_ours
from .process import MAX_LAST_WORDS_BYTES

#: Seconds between two searches for waiting clients: each asks the kernel about every connection of the worker.
SEARCH_SECONDS = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


class Witness:
    """Observes the threads of a worker from outside."""

    def tasks(self, worker: Worker) -> dict[int, Task]:
        """All its threads by id; fewer, or none, where they are ending."""
        found = {}
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{worker.pid}/task"):
                path = f"/proc/{worker.pid}/task/{name}/stat"
                with contextlib.suppress(OSError, ValueError, IndexError), open(path, encoding="latin-1") as file:
                    found[int(name)] = parse_task(file.read())
        return found

    def ask(self, worker: Worker, thread: int) -> bool:
        """Signal one thread to write the stacks (tgkill(2)); false where that is impossible."""
        try:
            return bool(_libc.tgkill(worker.pid, thread, TESTIFY) == 0)
        except AttributeError:
            # A C library without it; the process as a whole would have any of its threads answer.
            return False

    def hear(self, worker: Worker) -> str:
        """What was written so far."""
        return os.pread(worker.process.box, MAX_LAST_WORDS_BYTES, 0).decode("utf-8", "replace")

    def forget(self, worker: Worker) -> None:
        """Empty the file for the last words, of which the worker has the same open description."""
        os.ftruncate(worker.process.box, 0)
        os.lseek(worker.process.box, 0, os.SEEK_SET)


class _Running(NamedTuple):
    """A request in the application; `age`: seconds of its time."""

    name: str
    thread: int
    age: float


class Freezes:
    """Examines workers without a heartbeat.

    :param now: monotonic nanoseconds, as the workers write them.
    """

    log = Logger()

    def __init__(
        self,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        witness: Witness | None = None,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._table = table
        self._scoreboard = scoreboard
        self._witness = witness or Witness()
        self._now = now

    def examine(self, worker: Worker, now: float, settings: Settings) -> None:
        """Update what is known of a worker after a heartbeat check; a live one is forgotten."""
        timeout, still, freeze = settings.heartbeat_timeout, worker.pulse.still, worker.freeze
        if not worker.pulse.is_lost(FIRST_CHECK_SHARE * timeout):
            if freeze is not None and freeze.asked and freeze.tasks:
                self._witness.forget(worker)
            worker.freeze = None
            return
        if freeze is None:
            freeze = worker.freeze = Freeze(self._witness.tasks(worker))
        elif still > SUSPICION_SHARE * timeout and not freeze.asked:
            self._ask(worker, freeze)
        elif freeze.asked and not freeze.heard:
            self._hear(worker, freeze)
        elif freeze.asked and freeze.thread is None and now - freeze.searched >= SEARCH_SECONDS:
            # On a busy machine one count may say too little; the holder shows sooner or later.
            self._ask(worker, freeze)
        if now - freeze.searched >= SEARCH_SECONDS:
            waits = self._is_waited_for(worker, freeze, settings)
            # A client found at the first search may have waited from the start.
            began = now - still if freeze.searched < 0 else freeze.searched
            freeze.since = (freeze.since or began) if waits else None
            freeze.searched = now

    def judge(self, worker: Worker, now: float, settings: Settings, crowded: bool) -> str:
        """Why the worker is to be killed now; empty when it is not."""
        freeze = worker.freeze
        if freeze is None:
            return ""
        running = self._running(worker)
        guilty = [each for each in running if each.thread == freeze.thread] or running
        look = Look(
            worker.pulse.still,
            freeze.stopped,
            max((each.age for each in guilty), default=None),
            None if freeze.since is None else now - freeze.since,
            crowded,
        )
        why, freeze.status = verdict(look, FreezeLimits(settings.heartbeat_timeout, settings.request_timeout))
        return why

    def _ask(self, worker: Worker, freeze: Freeze) -> None:
        again, freeze.asked = freeze.asked, True
        tasks = self._witness.tasks(worker)
        freeze.stopped = is_stopped(tasks)
        thread = computing(freeze.tasks, tasks)
        freeze.alone = thread is not None
        freeze.tasks = tasks or freeze.tasks
        if not tasks or freeze.stopped or (again and thread is None):
            return
        if again:
            self._witness.forget(worker)
            freeze.heard = ""
        # A thread that waits for the lock looks like one that sleeps with it: have the main thread write all stacks.
        self._witness.ask(worker, worker.pid if thread is None else thread)

    def _hear(self, worker: Worker, freeze: Freeze) -> None:
        if freeze.stopped:
            return
        freeze.heard = self._witness.hear(worker) if freeze.tasks else ""
        if not freeze.heard:
            return
        if freeze.alone:
            freeze.thread = current_thread(freeze.heard)
        running = self._running(worker)
        names = [each.name for each in running if each.thread == freeze.thread]
        if freeze.thread is not None:
            who = names[0] if names else "a background thread of the application"
            stacks = _of(freeze.heard)
        else:
            who = running[0].name if len(running) == 1 else "an unidentified thread"
            stacks = of_application(freeze.heard)
        text = f"worker {worker.ident} (pid {worker.pid}): {who} holds the interpreter lock:\n" + stacks.rstrip("\n")
        # As `text`, which is no further member in JSON: the stack is there once.
        self.log.error("{text}", text=text, ident=worker.ident, pid=worker.pid)

    def _running(self, worker: Worker) -> list[_Running]:
        found, now = [], self._now()
        for connection in self._table.held_by(worker):
            slot = self._scoreboard.read_slot(connection.slot)
            if slot.state in (SlotState.IN_APP, SlotState.RESPONDING) and slot.thread:
                restart = self._scoreboard.words[self._scoreboard.slot_base(connection.slot) + S_RESTART]
                found.append(_Running(slot.head, slot.thread, (now - max(slot.since, restart)) / 1e9))
        return found

    def _is_waited_for(self, worker: Worker, freeze: Freeze, settings: Settings) -> bool:
        repeated = REPEATED[settings.replay]
        for connection in self._table.held_by(worker):
            with contextlib.suppress(OSError):
                if not (unread := tcp_info.unread(connection.sock)):
                    continue
                slot = self._scoreboard.read_slot(connection.slot)
                if is_kept_waiting(log_of(slot), unread, slot.thread, freeze.thread, repeated):
                    return True
        return False


def _of(stacks: str) -> str:
    """The stack of the thread that was asked."""
    return without_ours(next((part for part in stacks.split("\n\n") if part.startswith("Current thread")), stacks))
