"""The proof that a worker hears: it acknowledges what it is lent, and its channel holds.

Law: looks and says why a worker must go; who ends it is `care`. Reads the channel before it judges.
"""

from __future__ import annotations

from ..pool.worker import Worker

#: Seconds from an error of its channel until a worker that lives on is ended: one that is dying is gone by then.
GRACE = 1.0


def why_deaf(worker: Worker, beat: int, now: float) -> str:
    """Why a worker that serves is to be ended; empty when it hears.

    :param beat: its last heartbeat; `now`: seconds.
    """
    if worker.channel_failed and now - worker.channel_failed > GRACE:
        return "its channel is broken, though it lives"
    for last in (False, True):
        worker.hearing = worker.hearing.look(worker.unacknowledged, worker.acknowledged, beat, now)
        if not worker.hearing.is_deaf(now):
            return ""
        if not last:
            # What it has said may still wait here.
            worker.process.catch_up()
    return f"its heart beats, but it has acknowledged no connection for {now - worker.hearing.since:.1f} s"
