"""The two scenarios that have to do with too much work: a flood of clients, and an end amid busy ones.

Law: as ``scenarios``, whose table they are in.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from dataclasses import replace

from bench.disrupt.crowds import crowd
from bench.disrupt.stage import Stage
from bench.disrupt.tally import Phase
from bench.proctree import ZOMBIE, family_of, read_stats, tree_memory

FLOOD = 20.0
#: Ten times what 4 workers of 8 threads do at 200 ms a request: 640 clients that ask 1600 times a second.
FLOOD_CLIENTS_EACH = 10
FLOOD_PACE = 0.4
RECOVERY = 2.0
#: Beyond the 30 s that servers usually allow for an orderly end.
TERM_PATIENCE = 35.0


def memory(stage: Stage) -> int:
    """Bytes of the server's whole tree; 0 when a process ended while it was read."""
    with contextlib.suppress(OSError):
        return tree_memory(stage.server.pid)
    return 0


def overload(stage: Stage) -> None:
    """Ask ten times as much as can be answered, then no more than usual."""
    stage.calm()
    before = most = memory(stage)
    usual = stage.crowd.orders
    orders = replace(usual, clients=FLOOD_CLIENTS_EACH * usual.clients, pace=FLOOD_PACE, name="flood")
    stage.disrupt()
    with crowd(orders, stage.load_cpu) as flood:
        end = time.monotonic() + min(FLOOD, stage.pace.seconds)
        while time.monotonic() < end:
            stage.wait(1.0)
            most = max(most, memory(stage))
        stage.look_whether_it_lives()
        stage.phases.append(named("flood", flood.leave()))
    stage.crowd.begin("settling")
    stage.wait(RECOVERY)
    stage.crowd.begin("recovered")
    stage.wait(3.0)
    stage.figures["grown"] = most - before


def named(name: str, phases: tuple[Phase, ...]) -> Phase:
    """The one phase of a crowd that was told of none."""
    [phase] = phases
    return replace(phase, name=name)


def term(stage: Stage) -> None:
    """End the server while each client waits for an answer."""
    stage.calm()
    stage.disrupt()
    family = {(stat.pid, stat.started) for stat in family_of({stage.server.pid})}
    began = time.monotonic()
    stage.crowd.end_asking()
    # Nobody asks any more, before the server is told: what is outstanding now was started before.
    stage.wait(0.05)
    stage.server.process.send_signal(signal.SIGTERM)
    try:
        stage.figures["exit"] = stage.server.process.wait(TERM_PATIENCE)
        stage.figures["seconds to end"] = round(time.monotonic() - began, 2)
    except subprocess.TimeoutExpired:
        stage.figures["exit"] = -1
    left = [s for s in read_stats() if (s.pid, s.started) in family and s.state != ZOMBIE]
    stage.figures["left"] = len(left)
