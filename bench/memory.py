"""The ``memory`` command: what one worker more costs, and what an idle connection costs.

Law: memory is the proportional set size of the whole process tree, in which what processes share counts once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import options as our_options
from bench import outputs, targets
from bench.accounts import Finished
from bench.command import BenchError, Command
from bench.cores import NO_PINS
from bench.idle import idle, is_open, raise_limit
from bench.loads import Generator
from bench.measure import run_load
from bench.plan import APPS, Stage, make_stage
from bench.proctree import tree_memory
from bench.readings import Column, Reading, describe
from bench.rounds import in_turn, say, take
from bench.running import Running, free_port, running, wait_ready
from bench.servers import SERVERS, Server
from bench.targets import NOBODY, Figure
from bench.workloads import WORKLOADS, Workload
from bench.wrk import find_wrk

MIB = 1 / (1 << 20)
#: Memory is read when it has changed by less than this part within a pause, or when patience is over.
CALM = 0.005
PAUSE = 0.5
PATIENCE = 20.0
#: The load before it is read, so that every worker has served.
WARM_CONNECTIONS = 64
WARM_SECONDS = 1
#: What a server with all numbers of workers takes, roughly; only the announced time depends on it.
RUN_SECONDS = 25.0

BY_NAME = {workload.name: workload for workload in WORKLOADS}
#: Connections that close, so that no worker is left out because another one keeps them all.
GROWING = (BY_NAME["hello-close"], BY_NAME["django-close"])
IDLING = BY_NAME["hello-keepalive"]


def columns(counts: Sequence[int]) -> tuple[Column, ...]:
    """What is shown: first of the workers, then of the idle connections."""
    sizes = (Column(f"pss{count}", f"MiB, {count} worker{'s' * (count > 1)}", MIB, ".1f") for count in counts)
    return (
        *sizes,
        Column("extra", "MiB per extra worker", MIB, ".1f", compared=True),
        Column("held", "connections", 1, ".0f"),
        Column("before", "MiB without", MIB, ".1f"),
        Column("after", "MiB with them", MIB, ".1f"),
        Column("each", "KiB each", 1 / 1024, ".2f", compared=True),
    )


def counts_of(text: str) -> list[int]:
    """An argument type: numbers of workers, separated by commas."""
    parse = our_options.at_least(1)
    return sorted({parse(word.strip()) for word in text.split(",")})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    our_options.add_servers(parser)
    our_options.add_workloads(parser, GROWING)
    our_options.add_rounds(parser)
    add = parser.add_argument
    add("--workers", type=counts_of, default=[1, 2, 4, 8], metavar="N,N", help="default: 1,2,4,8")
    what = "idle connections to hold; 0: leave that out; default: %(default)s"
    add("--idle", type=our_options.at_least(0), default=10_000, metavar="N", help=what)
    our_options.add_targets(parser)
    our_options.add_output(parser)


@dataclass(frozen=True)
class Inquiry:
    """What the runs need."""

    stage: Stage
    generator: Generator
    counts: Sequence[int]
    connections: int

    def run_once(self, server: Server, workload: Workload, turn: int) -> Reading:
        """One server: all numbers of workers, or the idle connections."""
        run = self.hold if workload is IDLING else self.grow
        return run(server, workload, turn)

    def grow(self, server: Server, workload: Workload, turn: int) -> Reading:
        """Start it with one number of workers after the other."""
        sizes = {
            count: self.size(server, workload, count)
            for count in self.counts
            if count == 1 or server.processes
        }
        values = {f"pss{count}": float(size) for count, size in sizes.items()}
        if len(sizes) > 1:
            values["extra"] = slope(sizes)
        notes = () if server.processes else ("it has one process and no more",)
        return Reading(server.name, workload.name, turn, values, notes)

    def size(self, server: Server, workload: Workload, workers: int) -> int:
        """Its memory with so many workers, when each of them has served."""
        port = free_port()
        command = replace(self.stage, workers=workers).command(server, workload, port)
        with running(command, APPS, port, self.stage.pins.server) as process:
            wait_ready(process, workload)
            settled(process)
            run_load(self.generator, workload, port, WARM_SECONDS)
            return settled(process)

    def hold(self, server: Server, workload: Workload, turn: int) -> Reading:
        """One worker, and as many idle connections as it takes."""
        port = free_port()
        *options, last = self.stage.command(server, workload, port)
        command = [*options, *server.many, last]
        with running(command, APPS, port, self.stage.pins.server) as process:
            wait_ready(process, workload)
            # Answers first: what the first ones allocate is not the connections'.
            run_load(self.generator, workload, port, 1)
            before = settled(process)
            with idle(port, workload, self.connections) as held:
                after = settled(process)
                count = sum(map(is_open, held))
        values = {"held": float(count), "before": float(before), "after": float(after)}
        if count:
            values["each"] = max(0, after - before) / count
        short = (f"holds {count} of {self.connections}",) if count < self.connections else ()
        return Reading(server.name, workload.name, turn, values, short)


def slope(sizes: dict[int, int]) -> float:
    """What one worker more costs: the straight line through all sizes, by least squares."""
    return statistics.linear_regression(list(sizes), list(sizes.values())).slope


def settled(process: Running) -> int:
    """The memory of the tree when it no longer changes: workers may be starting still."""
    end = time.monotonic() + PATIENCE
    size = tree_memory(process.pid)
    while True:
        process.check_alive()
        time.sleep(PAUSE)
        last, size = size, tree_memory(process.pid)
        if abs(size - last) <= CALM * last:
            return size
        if time.monotonic() > end:
            raise BenchError(f"its memory still changed after {PATIENCE:.0f} s")


def carry_out(inquiry: Inquiry) -> Finished:
    """All rounds."""
    stage, shown = inquiry.stage, columns(inquiry.counts)
    outcomes = in_turn(stage, inquiry.run_once, RUN_SECONDS)
    taken = take(outcomes, stage.rounds, lambda reading: describe(reading, stage.rounds, shown))
    numbers = ", ".join(map(str, inquiry.counts))
    title = "Memory (proportional set size of the process tree)"
    what = f"memory with {numbers} workers and with {inquiry.connections} idle connections, {stage.rounds} rounds"
    facts: dict[str, object] = {"counts": list(inquiry.counts), "connections": inquiry.connections}
    return Finished(stage, taken, shown, title, what, inquiry.generator.version, facts)


def measured(finished: Finished) -> targets.Measured:
    """What a worker more costs ours, for the targets."""
    every = (line for lines in finished.tables() for line in lines if line.server == SERVERS[0].name)
    return {
        (line.workload, Figure.WORKER_PSS, NOBODY): line.values["extra"].median * MIB
        for line in every
        if "extra" in line.values
    }


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    generator = find_wrk(WARM_CONNECTIONS, None)
    workloads = list(options.workloads)
    if options.idle:
        raise_limit(options.idle)
        workloads.append(IDLING)
    # Not pinned: it is not about time, and eight workers would be long in starting on one CPU.
    stage = make_stage(options, workloads, 1, NO_PINS, say)
    finished = carry_out(Inquiry(stage, generator, options.workers, options.idle))
    print(finished.text())
    if options.targets:
        print(f"\n{targets.verdict_table(measured(finished))}")
    outputs.write(options, finished.document, finished.figure)
    return finished.taken.status


COMMAND = Command("memory", "memory of each extra worker, and of idle connections", add_arguments, run)
