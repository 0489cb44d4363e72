"""The ``latency`` command: what requests take at a rate that every server can bear.

Law: finds the rate, then one run after the other; the times count from when each request was due, whether or not the
client had a free connection for it (`pace`).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench import options as our_options
from bench import outputs
from bench.accounts import Finished
from bench.command import BenchError, Command
from bench.loads import Timed
from bench.measure import run_load, run_steady
from bench.plan import APPS, Plan, make_plan
from bench.proctree import cpu_seconds
from bench.readings import Column, Reading, describe
from bench.report import LOAD_LIMIT, error_note
from bench.rounds import in_turn, say, take
from bench.running import free_port, running, wait_ready
from bench.servers import Server
from bench.workloads import WORKLOADS, Workload

START_SECONDS = 1.5
#: What our client bears with CPU time to spare: a client without it would measure itself.
FASTEST = 12000.0
COLUMNS = (
    Column("p50", "p50 ms", 1000, ".2f", compared=True),
    Column("p99", "p99 ms", 1000, ".2f", compared=True),
    Column("p999", "p99.9 ms", 1000, ".2f", compared=True),
    Column("worst", "worst ms", 1000, ".1f"),
    Column("cpu", "CPU us/req", 1e6, ".1f"),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
DEFAULT = [BY_NAME["hello-keepalive"], BY_NAME["mixed-keepalive"]]


def share(text: str) -> float:
    """An argument type: a part of the whole."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    our_options.add_servers(parser)
    our_options.add_workloads(parser, DEFAULT)
    our_options.add_rounds(parser)
    our_options.add_load(parser)
    our_options.add_workers(parser)
    our_options.add_pins(parser)
    add = parser.add_argument
    what = "of the slowest server's capacity; default: %(default)s"
    add("--share", type=share, default=0.5, metavar="PART", help=what)
    what = "requests a second, instead of measuring capacities"
    add("--rate", type=our_options.at_least(1), metavar="N", help=what)
    our_options.add_output(parser)


def capacity(plan: Plan, server: Server, workload: Workload, turn: int) -> Reading:
    """How many requests a second a server bears."""
    # The slow ones by lot, as at the constant rate.
    run = run_steady if workload.case.slow else run_load
    port = free_port()
    with running(plan.command(server, workload, port), APPS, port, plan.pins.server) as process:
        wait_ready(process, workload)
        if plan.warm_up:
            run(plan.generator, workload, port, plan.warm_up)
        timed = run(plan.generator, workload, port, plan.duration)
    return Reading(server.name, workload.name, turn, {"capacity": timed.load.per_second})


CAPACITY = (Column("capacity", "requests per second", 1, ".0f"),)


def find_rates(plan: Plan, part: float) -> dict[str, float]:
    """For each workload the part of what its slowest server bears."""
    once = replace(plan, rounds=1)
    say("capacities:")
    seconds = plan.duration + plan.warm_up + START_SECONDS
    outcomes = in_turn(once, functools.partial(capacity, once), seconds)
    taken = take(outcomes, 1, lambda reading: describe(reading, 1, CAPACITY))
    if taken.interrupted:
        raise KeyboardInterrupt
    found: dict[str, float] = {}
    for reading in taken.outcomes:
        if isinstance(reading, Reading) and reading.values["capacity"]:
            rate = min(reading.values["capacity"] * part, found.get(reading.workload, FASTEST))
            found[reading.workload] = rate
    missing = [workload.name for workload in plan.workloads if workload.name not in found]
    if missing:
        raise BenchError(f"no server could be measured under {', '.join(missing)}")
    return found


def notes_of(timed: Timed) -> tuple[str, ...]:
    """What makes the times mean something else."""
    busy = timed.cpu_seconds / timed.wall_seconds
    late = f"the load generator was the limit ({busy:.0%} busy)" if busy > LOAD_LIMIT else None
    return tuple(note for note in (error_note(timed.load.errors), late) if note)


def run_once(
    plan: Plan, rates: Mapping[str, float], server: Server, workload: Workload, turn: int
) -> Reading:
    """One server at the workload's rate."""
    rate = rates[workload.name]
    port = free_port()
    with running(plan.command(server, workload, port), APPS, port, plan.pins.server) as process:
        wait_ready(process, workload)
        if plan.warm_up:
            run_steady(plan.generator, workload, port, plan.warm_up, rate)
        before = cpu_seconds(process.pid)
        timed = run_steady(plan.generator, workload, port, plan.duration, rate)
        spent = cpu_seconds(process.pid) - before
        process.check_alive()
    times = timed.load.fast
    if times is None or not timed.load.requests:
        raise BenchError("no request was answered")
    values = {"p50": times.p50, "p99": times.p99, "p999": times.p999, "worst": times.worst}
    values["cpu"] = spent / timed.load.requests
    return Reading(server.name, workload.name, turn, values, notes_of(timed))


def carry_out(plan: Plan, rates: Mapping[str, float]) -> Finished:
    """All rounds at these rates."""
    seconds = plan.duration + plan.warm_up + START_SECONDS
    outcomes = in_turn(plan, functools.partial(run_once, plan, rates), seconds)
    taken = take(outcomes, plan.rounds, lambda reading: describe(reading, plan.rounds, COLUMNS))
    facts: dict[str, object] = {
        "rates": dict(rates),
        "duration": plan.duration,
        "connections": plan.generator.connections,
    }
    each = ", ".join(f"{name} at {rate:.0f} requests a second" for name, rate in rates.items())
    title = f"{plan.generator.connections} connections, {each}"
    what = f"{title}; {plan.rounds} rounds of {plan.duration} s after {plan.warm_up} s of warm-up"
    return Finished(plan, taken, COLUMNS, title, what, "bench.steady", facts)


def fixed_rates(workloads: Sequence[Workload], rate: float) -> dict[str, float]:
    """One rate for all."""
    return {workload.name: rate for workload in workloads}


def run(options: argparse.Namespace) -> int:
    """Find the rates, measure, print, write."""
    plan = make_plan(options, say)
    rates = fixed_rates(plan.workloads, options.rate) if options.rate else find_rates(plan, options.share)
    finished = carry_out(plan, rates)
    print(finished.text())
    outputs.write(options, finished.document, finished.figure)
    return finished.taken.status


COMMAND = Command(
    "latency", "what requests take at a constant rate that all servers bear", add_arguments, run
)
