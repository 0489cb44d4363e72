"""The finished run as a person reads it and as a program does.

Law: shows what the records and the plan hold; computes nothing that ``report`` could.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench import report
from bench.plan import Plan
from bench.records import Failure, Outcome, Sample
from bench.servers import BASELINE, Home, Server, command_line

FORMAT = 1
# What both Pythons have and what would bend the comparison where it differs.
SHARED = ("Flask", "Werkzeug", "Twisted")
LEGEND = f"""\
medians over the rounds; min-max is their spread; x {BASELINE} is the row's median over {BASELINE}'s
CPU us/req: user and system time of the server's whole process tree, over the requests wrk completed
server busy, wrk busy: the CPU time of each over the wall time of the run, 100% being one CPU"""


@dataclass(frozen=True)
class Finished:
    """A plan carried out, or as far as it came."""

    plan: Plan
    outcomes: Sequence[Outcome]
    started: datetime
    load_before: float
    load_after: float
    interrupted: bool

    def tables(self) -> list[list[report.Row]]:
        """The rows of each workload, in the plan's order."""
        names = [server.name for server in self.plan.servers]
        connections = self.plan.generator.connections
        return [
            report.summarise(self.outcomes, workload, names, connections) for workload in self.plan.workloads
        ]


def cautions(plan: Plan) -> list[str]:
    """Where the two Pythons differ in what the comparison rests on."""
    own, theirs = plan.installations.get(Home.OWN), plan.installations.get(Home.PEERS)
    if own is None or theirs is None:
        return []
    pairs = ((name, own.version(name), theirs.version(name)) for name in SHARED)
    return [
        f"CAUTION: {name} is {ours or 'missing'} for {BASELINE}, {others} for the peers"
        for name, ours, others in pairs
        if ours != others
    ]


def text(finished: Finished) -> str:
    """The whole report."""
    plan, tables = finished.plan, finished.tables()
    settings = f"{plan.rounds} rounds of {plan.duration} s after {plan.warm_up} s of warm-up"
    versions = (f"{server.name} {plan.version(server) or 'not installed'}" for server in plan.servers)
    parts = [
        f"one worker process, {plan.generator.connections} connections, {settings}",
        "; ".join(versions),
        *cautions(plan),
        f"{plan.generator.version}; {plan.pins.describe()}",
        LEGEND,
    ]
    for workload, rows in zip(plan.workloads, tables, strict=True):
        parts.append(f"\n{workload.name}\n{report.workload_table(rows)}")
    loads = f"{finished.load_before:.2f} before, {finished.load_after:.2f} after"
    parts.append(f"\n{report.noise([row for rows in tables for row in rows])}")
    return "\n".join([*parts, f"load average of the machine: {loads}"])


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def host_facts(finished: Finished) -> dict[str, object]:
    """The machine the figures belong to."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "wrk": finished.plan.generator.version,
        "pins": {"server": finished.plan.pins.server, "wrk": finished.plan.pins.load},
        "load_average": [finished.load_before, finished.load_after],
    }


def server_facts(plan: Plan, server: Server) -> dict[str, object]:
    """The server's version and its command line under each workload."""
    place = plan.place(server, "PORT")
    commands = {workload.name: command_line(server, workload, place) for workload in plan.workloads}
    return {"version": plan.version(server), "commands": commands}


def document(finished: Finished) -> dict[str, object]:
    """Everything, for ``--json``: settings, command lines, each run, the summary."""
    plan = finished.plan
    return {
        "format": FORMAT,
        "started": finished.started.isoformat(timespec="seconds"),
        "interrupted": finished.interrupted,
        "settings": {
            "rounds": plan.rounds,
            "duration": plan.duration,
            "warm_up": plan.warm_up,
            "connections": plan.generator.connections,
        },
        "host": host_facts(finished),
        "cautions": cautions(plan),
        "servers": {server.name: server_facts(plan, server) for server in plan.servers},
        "samples": [asdict(outcome) for outcome in finished.outcomes if isinstance(outcome, Sample)],
        "failures": [asdict(outcome) for outcome in finished.outcomes if isinstance(outcome, Failure)],
        "summary": [asdict(row) for rows in finished.tables() for row in rows],
    }
