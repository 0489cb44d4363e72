"""The ``throughput`` command: every server in turn under each workload, round by round.

Law: one run, from start to end; the order of the runs is ``rounds``', starting ``running``'s, load ``measure``'s,
arithmetic ``report``'s.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import replace

from bench import options as our_options
from bench import outputs, present
from bench.command import Command
from bench.measure import run_load
from bench.plan import APPS, Plan, make_plan
from bench.proctree import cpu_seconds
from bench.records import Sample
from bench.rounds import in_turn, say, take
from bench.running import Running, free_port, running, wait_ready
from bench.servers import Server
from bench.workloads import WORKLOADS, Workload

# What starting and ending a server takes, roughly; only the announced time depends on it.
START_SECONDS = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    our_options.add_servers(parser)
    our_options.add_workloads(parser, WORKLOADS)
    our_options.add_rounds(parser)
    our_options.add_load(parser)
    our_options.add_workers(parser)
    our_options.add_pins(parser)
    our_options.add_output(parser)
    our_options.add_targets(parser)


def run_once(plan: Plan, server: Server, workload: Workload, turn: int) -> Sample:
    """Start the server, see that it is right, warm it up, measure it, end it."""
    port = free_port()
    with running(plan.command(server, workload, port), APPS, port, plan.pins.server) as process:
        sample = measure_running(plan, process, server, workload, turn)
    return replace(sample, killed=process.killed)


def measure_running(plan: Plan, process: Running, server: Server, workload: Workload, turn: int) -> Sample:
    """Wait until the server answers rightly, warm it up, measure it, see that it is still there."""
    stays_open = wait_ready(process, workload)
    if plan.warm_up:
        run_load(plan.generator, workload, process.port, plan.warm_up)
    before = cpu_seconds(process.pid)
    timed = run_load(plan.generator, workload, process.port, plan.duration)
    spent = cpu_seconds(process.pid) - before
    process.check_alive()
    return Sample(
        server=server.name,
        workload=workload.name,
        round=turn,
        requests=timed.load.requests,
        per_second=timed.load.per_second,
        mean_latency=timed.load.mean_latency,
        errors=timed.load.errors,
        wall_seconds=timed.wall_seconds,
        server_cpu_seconds=spent,
        load_cpu_seconds=timed.cpu_seconds,
        stays_open=stays_open,
        # Without slow ones all requests are of one kind, and the rate says what there is to say.
        fast=timed.load.fast if workload.case.slow else None,
    )


def describe(sample: Sample, rounds: int) -> str:
    """One line of progress."""
    head = f"{sample.round}/{rounds} {sample.workload:18} {sample.server:16}"
    fast = f" {sample.fast.p99 * 1000:8.2f} ms fast p99" if sample.fast else ""
    return f"{head} {sample.per_second:9.0f} req/s {sample.cpu_micros or 0:8.1f} us/req{fast}"


def carry_out(plan: Plan) -> present.Finished:
    """Measure everything, and note how busy the machine was around it."""
    seconds = plan.duration + plan.warm_up + START_SECONDS
    outcomes = in_turn(plan, functools.partial(run_once, plan), seconds)
    return present.Finished(plan, take(outcomes, plan.rounds, lambda sample: describe(sample, plan.rounds)))


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; tell by the status whether a figure is missing."""
    finished = carry_out(make_plan(options, say))
    print(present.text(finished))
    if options.targets:
        print(f"\n{present.verdicts(finished)}")
    outputs.write(options, lambda: present.document(finished), lambda: present.figure(finished))
    return finished.taken.status


COMMAND = Command("throughput", "requests per second and CPU time per request", add_arguments, run)
