"""What becomes of the connections of a dead worker.

Law: runs when the worker is reaped and its channel was read to the end, so no process uses them. Decides nothing: it
reads slot and kernel, asks `policy.redo.verdict`, and carries the verdict out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ...policy.blame import Blame
from ...policy.redo import REPEATED, Facts, Log, RedoCase, RedoVerdict, verdict
from ...policy.worker import Worker
from ...settings import Settings
from ...wire.scoreboard import S_CONSUMED0, S_DEADLINE, S_WRITTEN_END, Scoreboard, Slot
from . import tcp_info
from .answers import Answers
from .table import ConnectionRecord, ConnectionTable

_ORDER = list(RedoVerdict)
#: What follows a verdict where the connection goes on.
_GO_ON = (RedoVerdict.LEND, RedoVerdict.REPLAY, RedoVerdict.DISCARD_AND_LEND)


class Recovered(NamedTuple):
    """What became of them.

    :ivar again: the connections to lend again, in the order of the table.
    :ivar words: what became of how many, for the log, in the order of the verdicts.
    """

    again: list[ConnectionRecord]
    words: dict[str, int]


class Recovery:
    """Decides on the connections of dead workers.

    :param now: the monotonic clock of the workers' deadlines, in seconds.
    :ivar counts: whether the kernel counts what the redo log is compared with; where not, nothing is run again.
    :ivar replays: how many requests were to be run once more.
    """

    def __init__(
        self,
        table: ConnectionTable,
        scoreboard: Scoreboard,
        answers: Answers,
        settings: Settings,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._scoreboard = scoreboard
        self._answers = answers
        self.settings = settings
        self._now = now
        self.replays = 0
        self.counts = True

    def recover(self, worker: Worker) -> Recovered:
        """Decide on each connection that a dead worker held, and end those that do not go on."""
        again: list[ConnectionRecord] = []
        found: Counter[tuple[int, str]] = Counter()
        for connection in self._table.held_by(worker):
            slot = self._scoreboard.read_slot(connection.slot)
            decision = self._decide(connection, slot, worker.blame)
            blamed = decision is RedoVerdict.ANSWER_502 and connection.slot in worker.blame.slots
            word = f"answered {worker.blame.status}" if blamed else decision.name_of
            found[_ORDER.index(decision), word] += 1
            if decision in _GO_ON:
                again.append(connection)
        return Recovered(again, {word: count for (_, word), count in sorted(found.items())})

    def _decide(self, connection: ConnectionRecord, slot: Slot, blame: Blame) -> RedoVerdict:
        facts = tcp_info.facts(connection.sock)
        if not self.counts:
            facts = facts._replace(written=None, consumed=None)
        connection.died_at(slot.consumed0)
        # A worker that never took it cannot have died of it; nor one whose cause of death is known.
        carried = self._table.carried(connection)
        if connection.taken and (facts.unread or carried) and blame.fault and not blame.slots:
            connection.deaths += 1
        connection.holder = None
        case = RedoCase(
            blamed=connection.slot in blame.slots,
            others_blamed=bool(blame.slots - {connection.slot}),
            replayed=connection.replays > 0,
            deaths=connection.deaths,
            repeated=REPEATED[self.settings.replay] if blame.again and self.counts else frozenset(),
        )
        decision = verdict(log_of(slot, len(carried)), facts, case)
        status = blame.status if case.blamed else 502
        self._carry_out(decision, connection, slot, facts, status)
        if decision is RedoVerdict.REPLAY:
            self.replays += 1
            connection.attempt += 1
            connection.replays += not case.others_blamed
        return decision

    def _carry_out(
        self, decision: RedoVerdict, connection: ConnectionRecord, slot: Slot, facts: Facts, status: int
    ) -> None:
        if decision is RedoVerdict.ANSWER_502:
            # The method of a request that no app has seen is not in the slot, but still in the kernel.
            method = slot.head.partition(" ")[0] if slot.state.name in ("IN_APP", "RESPONDING") else ""
            if not method and connection.carried.lstrip(b"\r\n").startswith(b"HEAD "):
                method = "HEAD"
            self._answers.answer(connection, status, method)
        elif decision is RedoVerdict.CUT:
            self._answers.note_cut(connection)
            self._answers.end(connection)
        elif decision is RedoVerdict.RESET:
            self._answers.note_cut(connection)
            self._table.close(connection, reset=True)
        elif decision is RedoVerdict.CLOSE:
            self._answers.end(connection)
        else:
            self._restore(decision, connection, slot, facts)

    def _restore(self, decision: RedoVerdict, connection: ConnectionRecord, slot: Slot, facts: Facts) -> None:
        """The next holder goes on from where the kernel is, whatever the last one had noted half."""
        words, base = self._scoreboard.words, self._scoreboard.slot_base(connection.slot)
        if facts.consumed is not None and facts.written is not None:
            consumed = facts.consumed - len(self._table.carried(connection))
            if decision is RedoVerdict.DISCARD_AND_LEND:
                consumed = facts.consumed + tcp_info.discard(connection.sock, slot.consume_to - facts.consumed)
                words[base + S_DEADLINE] = int((self._now() + self.settings.keep_alive) * 1e9)
            words[base + S_CONSUMED0] = consumed
            words[base + S_WRITTEN_END] = facts.written


def log_of(slot: Slot, carried: int = 0) -> Log:
    """The redo log of a slot, of whose request the master has some bytes itself."""
    return Log(
        slot.state.name, slot.consumed, slot.ends, slot.framed, slot.head.partition(" ")[0],
        slot.consumed0, slot.consume_to, slot.written0, slot.written_end, carried,
    )  # fmt: skip
