"""The finished run as a person reads it and as a program does.

Law: shows what the records and the plan hold; computes nothing that ``report`` could.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bench import host, report, targets
from bench.plan import Plan, Stage
from bench.plot import Bar, Panel, draw
from bench.records import Failure, Sample
from bench.rounds import Result, Taken
from bench.servers import BASELINE, Home, Server, baseline

FORMAT = 2
# What both Pythons have and what would bend the comparison where it differs.
SHARED = ("Flask", "Werkzeug", "Django", "Twisted")
LEGEND = """\
medians over the rounds; min-max is their spread; ratio is {baseline}'s median over the row's
threads: those that run the application, in each worker process
CPU us/req: user and system time of the server's whole process tree, over the requests that were answered
server busy, load busy: the CPU time of server and load generator over the wall time of the run, 100% being one CPU"""


@dataclass(frozen=True)
class Finished:
    """A plan carried out, or as far as it came."""

    plan: Plan
    taken: Taken[Sample]

    def tables(self) -> list[list[report.Row]]:
        """The rows of each workload, in the plan's order."""
        names = [server.name for server in self.plan.servers]
        connections = self.plan.generator.connections
        return [
            report.summarise(self.taken.outcomes, workload, names, connections)
            for workload in self.plan.workloads
        ]

    def measured(self) -> targets.Measured:
        """The ratios that targets are about."""
        return targets.measured(row for rows in self.tables() for row in rows)


def cautions(stage: Stage) -> list[str]:
    """Where the two Pythons differ in what the comparison rests on."""
    own, theirs = stage.installations.get(Home.OWN), stage.installations.get(Home.PEERS)
    if own is None or theirs is None:
        return []
    pairs = ((name, own.version(name), theirs.version(name)) for name in SHARED)
    return [
        f"CAUTION: {name} is {ours or 'missing'} for {BASELINE}, {others} for the peers"
        for name, ours, others in pairs
        if ours != others
    ]


def heading(stage: Stage, what: str, tools: str) -> list[str]:
    """The first lines of a report: what ran, in which versions, on which CPUs."""
    versions = (f"{server.name} {stage.version(server) or 'not installed'}" for server in stage.servers)
    plural = "es" if stage.workers > 1 else ""
    return [
        f"{stage.workers} worker process{plural}, {what}",
        "; ".join(versions),
        *cautions(stage),
        "; ".join(filter(None, [tools, stage.pins.describe()])),
    ]


def text(finished: Finished) -> str:
    """The whole report."""
    plan, taken, tables = finished.plan, finished.taken, finished.tables()
    settings = f"{plan.rounds} rounds of {plan.duration} s after {plan.warm_up} s of warm-up"
    names = [server.name for server in plan.servers]
    parts = heading(plan, f"{plan.generator.connections} connections, {settings}", plan.generator.version)
    parts.append(LEGEND.format(baseline=baseline(names)))
    threads = {server.name: server.threads for server in plan.servers}
    for workload, rows in zip(plan.workloads, tables, strict=True):
        parts.append(f"\n{workload.name}\n{report.workload_table(rows, threads)}")
    parts.append(f"\n{report.noise([row for rows in tables for row in rows])}")
    return "\n".join([*parts, host.disturbance(taken.before, taken.after)])


def verdicts(finished: Finished) -> str:
    """Which targets were reached, and whether the run was one to judge them by."""
    plan = finished.plan
    fit = plan.workers == 1 and plan.generator.connections == 32 and plan.rounds >= 5 and plan.pins.server
    text = targets.verdict_table(finished.measured())
    return text if fit else f"{text}\n{targets.UNFIT}"


def figure(finished: Finished) -> str:
    """The plot: a panel for each workload, of the figure that it is about."""
    plan = finished.plan
    best = baseline([server.name for server in plan.servers])
    panels = []
    for workload, rows in zip(plan.workloads, finished.tables(), strict=True):
        by_times = any(row.fast_p99 for row in rows)
        what = "ms, 99th percentile of the fast requests" if by_times else "CPU us per request"
        bars = [
            Bar(row.server, report.milliseconds(row.fast_p99) if by_times else row.cpu, row.server == best)
            for row in rows
        ]
        panels.append(Panel(f"{workload.name}: {what}", bars))
    legend = f"less is better; medians of {plan.rounds} rounds, lines from the least to the greatest"
    plural = "es" if plan.workers > 1 else ""
    return draw(
        f"{plan.workers} worker process{plural}, {plan.generator.connections} connections", legend, panels
    )


def server_facts(stage: Stage, server: Server) -> dict[str, object]:
    """The server's version and its command line under each workload."""
    commands = {workload.name: stage.command(server, workload, "PORT") for workload in stage.workloads}
    return {"version": stage.version(server), "threads": server.threads, "commands": commands}


def envelope(stage: Stage, taken: Taken[Result]) -> dict[str, object]:
    """What every document begins with: settings, machine, command lines, what failed."""
    return {
        "format": FORMAT,
        "started": taken.started.isoformat(timespec="seconds"),
        "interrupted": taken.interrupted,
        "rounds": stage.rounds,
        "workers": stage.workers,
        "pins": asdict(stage.pins),
        "host": host.facts(taken.before, taken.after),
        "cautions": cautions(stage),
        "servers": {server.name: server_facts(stage, server) for server in stage.servers},
        "failures": [asdict(outcome) for outcome in taken.outcomes if isinstance(outcome, Failure)],
    }


def document(finished: Finished) -> dict[str, object]:
    """Everything, for ``--json``: settings, command lines, each run, the summary."""
    plan, taken = finished.plan, finished.taken
    return {
        **envelope(plan, taken),
        "settings": {
            "duration": plan.duration,
            "warm_up": plan.warm_up,
            "connections": plan.generator.connections,
            "wrk": plan.generator.version,
        },
        "samples": [asdict(outcome) for outcome in taken.outcomes if isinstance(outcome, Sample)],
        "targets": [asdict(verdict) for verdict in targets.judge(finished.measured())],
        "summary": [asdict(row) for rows in finished.tables() for row in rows],
    }
