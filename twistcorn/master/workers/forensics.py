"""What a dead worker died of: its exit, its last words, its memory, and the requests that were in it.

Law: reads what a dead worker left: the scoreboard, faulthandler's output, the kernel's count of processes killed for
memory. `policy.blame` judges; nothing is logged here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ...policy.blame import SIGKILL, Blame, Cause, blame, cause, current_thread
from ...policy.cgroups import read_oom_kills
from ...policy.quarantine import Quarantine
from ...policy.worker import LEAVING, Worker
from ...wire.scoreboard import Scoreboard, SlotState
from .. import procfs
from ..sockets.table import ConnectionTable
from .death_report import Death, Running
from .process import ExitStatus


class Forensics:
    """Examines dead workers.

    :ivar quarantine: which requests killed workers recently.
    :param now: monotonic nanoseconds, as the workers write them.
    :param oom_kills: how many processes of our cgroup were killed for memory so far; None if uncounted.
    """

    def __init__(
        self,
        clock: IReactorTime,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        now: Callable[[], int] = time.monotonic_ns,
        oom_kills: Callable[[], int | None] = lambda: read_oom_kills(procfs.read),
    ) -> None:
        self._clock = clock
        self._table = table
        self._scoreboard = scoreboard
        self._now = now
        self._oom_kills = oom_kills
        self._known_kills = oom_kills()
        self.quarantine = Quarantine()

    def examine(self, worker: Worker, status: ExitStatus) -> Death:
        """The cause of a death; the channel was read to the end, and the connections are not decided on yet."""
        freeze = worker.freeze
        why = cause(
            status.code, status.signal, worker.state in LEAVING, bool(worker.killed),
            status.signal == SIGKILL and self._killed_for_memory(), freeze is not None and not freeze.stopped,
        )  # fmt: skip
        last_words = worker.process.last_words()
        if why is Cause.FROZEN and freeze is not None and freeze.thread is None:
            # The stacks of all threads were logged already; none of them is known to be the cause.
            last_words = ""
        slots = self._running(worker)
        threads = {slot: thread for slot, (_, thread, _) in slots.items()}
        known = self.quarantine.suspects([name for name, _, _ in slots.values()], self._clock.seconds())
        suspects = [slot for slot, (name, _, _) in slots.items() if name in known]
        stuck = frozenset(slot for slot, since in worker.stuck.items() if slot in slots and slots[slot][2] == since)
        if stuck and not why.is_fault:
            guilt = Blame(stuck, fault=False, status=504)
        elif why is Cause.FROZEN and freeze is not None:
            slots_of_it = blame(True, freeze.thread, threads, suspects)
            guilt = Blame(slots_of_it, False, freeze.status, bool(slots_of_it) or freeze.thread is not None)
        else:
            guilt = Blame(blame(why.is_fault, current_thread(last_words), threads, suspects), why.is_fault)
        now = self._now()
        running = [
            Running(slot, name, max(0.0, (now - since) / 1e9), slot in guilt.slots)
            for slot, (name, _, since) in slots.items()
        ]
        age = self._clock.seconds() - worker.born
        return Death(str(status), why, guilt, running, age, worker.rss, last_words)

    def attribute_death(self, death: Death, after: int) -> dict[str, int]:
        """Count a death against the requests that may have caused it; returns the offenders to log, with their deaths.

        :param after: deaths of one method and path that bring it into quarantine; 0: none.
        """
        blamed = [each.name for each in death.running if each.blamed]
        if not death.cause.is_fault or not death.running:
            return {}
        if not blamed and current_thread(death.last_words) is not None:
            # A thread of the application's own died; the requests only happened to be there.
            return {}
        names = blamed or [each.name for each in death.running]
        self.quarantine, offenders = self.quarantine.add_deaths(self._clock.seconds(), names, after)
        return offenders

    def _running(self, worker: Worker) -> dict[int, tuple[str, int, int]]:
        """The requests that were in the application: by slot the name, the thread and the beginning of each."""
        found = {}
        for connection in self._table.held_by(worker):
            slot = self._scoreboard.read_slot(connection.slot)
            # Without a thread the response is complete, and only waits to be sent.
            if slot.state in (SlotState.IN_APP, SlotState.RESPONDING) and slot.thread:
                found[connection.slot] = slot.head, slot.thread, slot.since
        return found

    def _killed_for_memory(self) -> bool:
        kills = self._oom_kills()
        more = kills is not None and self._known_kills is not None and kills > self._known_kills
        self._known_kills = kills
        return more
